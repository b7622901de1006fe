// Placeholder until the handlers land: every problem code, its status and title, in one table.

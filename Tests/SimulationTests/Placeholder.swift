// Keeps the target's place until the simulator's tests move in.
import Testing

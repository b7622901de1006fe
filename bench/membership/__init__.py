"""Membership beside the peer's; run.py is the program, and this is how bench/run.py runs it."""
import pathlib
import subprocess
import sys

from harness.report import Report
from membership import table


def measure() -> Report:
    """In a process of its own, since that lives in a network namespace."""
    program = pathlib.Path(__file__).with_name("run.py")
    subprocess.run([sys.executable, program, "--no-table"], check=True)
    return table.report(table.load(table.RESULTS))

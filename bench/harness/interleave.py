"""Side by side: each run measures every contender once, each on a fresh server; then the next run."""
import sys
from collections.abc import Callable

from harness import settings
from harness.report import Report
from harness.servers import Server

Contender = tuple[str, Callable[[], Server], Callable[[Server], dict]]


def interleave(report: Report, contenders: list[Contender]) -> None:
    results: dict[str, list[dict]] = {label: [] for label, _, _ in contenders}
    for run in range(settings.RUNS):
        for label, make, measure in contenders:
            print(f"run {run + 1}/{settings.RUNS}: {label}", file=sys.stderr, flush=True)
            with make() as server:
                results[label].append(measure(server))
    for label, runs in results.items():
        report.keep(label, runs)

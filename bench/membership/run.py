#!/usr/bin/env python3
"""`millrace member` and Debian's serf side by side, in a network namespace that this makes.

    bench/membership/run.py [--quick] [SLICE…]

Slices: 5, 30, faults, 100 and partition; 50 and sealed (30 with a key) when asked for. Each makes one cluster of
either, one after the other, and takes at most four minutes (100: five), so that a machine in use can be had to itself
for it. What one finds replaces what it found before in bench/results/membership.json; the table is of all that is
there. --quick: 5, 30 and faults without loss, four minutes together.
"""
import argparse
import pathlib
import signal
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from membership import namespace, plan, table  # noqa: E402
from membership.agents import ALL  # noqa: E402


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("slices", nargs="*", metavar="SLICE")
    options.add_argument("--quick", action="store_true", help="the short form")
    options.add_argument("--peers", default=",".join(ALL), help="which, with commas (%(default)s)")
    options.add_argument("--seed", type=int, default=1, help="of the choice of victims (%(default)s)")
    options.add_argument("--results", type=pathlib.Path, default=table.RESULTS)
    what = options.add_mutually_exclusive_group()
    what.add_argument("--table", action="store_true", help="only print the table of what was found before")
    what.add_argument("--no-table", action="store_true", help="print none")
    chosen = options.parse_args()
    slices = plan.QUICK if chosen.quick else plan.WHOLE
    names = chosen.slices or [name for name, part in slices.items() if part.by_default]
    if unknown := [name for name in names if name not in slices]:
        options.error(f"no slice of {', '.join(slices)}: {', '.join(unknown)}")
    if not chosen.table:
        measure(chosen, {name: slices[name] for name in names})
    if not chosen.no_table:
        print(table.report(table.load(chosen.results)).markdown("membership"), flush=True)
    return 0


def measure(chosen: argparse.Namespace, slices: dict[str, plan.Slice]) -> None:
    namespace.enter()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # the clusters end what they started
    found = table.load(chosen.results) if chosen.slices and chosen.results.exists() else {}
    for name, part in slices.items():
        results = plan.run(name, part, chosen.peers.split(","), chosen.seed)
        found[name] = found.get(name, {}) | results
        table.report(found).write(chosen.results)


if __name__ == "__main__":
    sys.exit(main())

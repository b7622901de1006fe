#!/usr/bin/env python3
"""Runs benchmarks by name and prints Markdown; every figure of every run goes to bench/results/NAME.json.

    bench/run.sh append|http2|batch|latency|streams|fanout|idle|catchup|restart|all
    bench/run.sh pull|consume-sse|webhooks|subscriptions|inflight
    bench/run.sh membership

Environment: BENCH_RUNS (5), BENCH_SECONDS (5) a run, BENCH_PORT (21700) the first of ten ports, BENCH_DIR where data
goes (a temporary directory), MILLRACE another binary to measure, FILL_GB (10) for restart.
"""
import sys

import membership
from harness import machine, workloads

ALL = workloads.ALL | {"membership": membership.measure}


def main() -> int:
    names = sys.argv[1:]
    if names == ["all"]:
        names = list(ALL)
    if not names or any(name not in ALL for name in names):
        print(__doc__, file=sys.stderr)
        return 2
    print(machine.describe(), flush=True)
    missed = 0
    for name in names:
        report = ALL[name]()
        report.save(name)
        print(report.markdown(name), flush=True)
        missed += report.missed
    print(f"\n{missed} target(s) missed." if missed else "\nEvery target reached.")
    return 0


if __name__ == "__main__":
    sys.exit(main())

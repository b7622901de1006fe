#!/usr/bin/env bash
# The HTTP/1.1 parser beside SwiftNIO's decoder: bench/http1/run.sh [times|verdicts]. Verdicts are over the cases of the
# acceptance tests (Tests/AcceptanceTests/test_smuggling.py).
set -euo pipefail
cd "$(dirname "$0")"
swift build -c release >&2
program=$(swift build -c release --show-bin-path)/HTTP1Bench
case "${1:-times}" in
  times) "$program" times ;;
  verdicts)
    PYTHONPATH=../../Tests/AcceptanceTests "${PYTHON:-../../.venv/bin/python}" -c '
import test_smuggling
for name, (sent, _, _) in test_smuggling.CASES.items():
    if len(sent) < 20_000:
        print(name, sent.hex(), sep="\t")' | "$program" verdicts ;;
esac

#!/usr/bin/env bash
# Everything that must pass, stage after stage, the quick ones first; ends with each runner's closing lines.
# Usage: scripts/test.sh [STAGE…]   (all of them unless named)
set -uo pipefail
cd "$(dirname "$0")/.."

logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
closing=()
failed=()

# stage NAME PATTERN COMMAND…: runs it; the last lines that match PATTERN are its closing lines.
stage() {
  local name=$1 pattern=$2 started=$SECONDS code=0
  shift 2
  if [ ${#only[@]} -gt 0 ] && [[ " ${only[*]} " != *" $name "* ]]; then return; fi
  echo "== $name: $*"
  "$@" 2>&1 | tee "$logs/$name" || code=${PIPESTATUS[0]}
  local took=$((SECONDS - started)) line
  line=$(grep -E "$pattern" "$logs/$name" | tail -n 3 || true)
  closing+=("$(printf '%s (%d s, exit %d)\n%s' "$name" "$took" "$code" "${line:-(it printed no summary)}")")
  [ "$code" = 0 ] || failed+=("$name")
}

only=("$@")
all=(fmt tidy swift build member-sim api acceptance docs fuzz)
for name in "${only[@]}"; do
  [[ " ${all[*]} " == *" $name "* ]] || { echo "no stage $name; there are: ${all[*]}" >&2; exit 64; }
done
python=.venv/bin/python

stage fmt "format: " scripts/fmt.sh check
stage tidy "^(tidy:|Ran |OK|FAILED)" sh -c "python3 Tests/test_tidy.py && python3 Tests/tidy.py"
# What talks over real sockets has time limits: it runs by itself, for the simulators' tests take every thread.
stage swift "^(✔|✘) Test run|Executed [0-9]+ test|error:" sh -c \
  "swift test --quiet --skip 'Outbound|Sockets' && swift test --quiet --skip-build --filter 'Outbound|Sockets'"
stage build "^Build of|error:" make --no-print-directory build
# A thousand members take a release build; so do more seeds than the swift stage plays.
stage member-sim "^(seed|[0-9]+ seeds passed)" sh -c \
  "make --no-print-directory member-sim SEED=1 N=1000 && make --no-print-directory member-sim SEED=100 SEEDS=100"
stage api " (passed|failed|error)|^contract: [^s]" sh -c \
  "$python -m pytest -q Tests/AcceptanceTests -k openapi && $python scripts/contract.py --examples 120"
stage acceptance " (passed|failed|error)" $python -m pytest -q Tests/AcceptanceTests -k "not openapi"
stage docs "^doc-test:" $python scripts/doc-test.py README.md docs
# Nine targets of eight seconds; `make fuzz` takes its time.
stage fuzz "^(== [a-z0-9]+: |Done )" fuzz/run.sh 8

echo
echo "== closing lines"
printf '%s\n' "${closing[@]}"
if [ ${#failed[@]} -gt 0 ]; then
  echo "FAILED: ${failed[*]}"
  exit 1
fi
echo "All stages passed in $SECONDS s."

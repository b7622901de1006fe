#!/bin/sh
# Builds the server and the load programs in release and runs one benchmark, or all: bench/run.sh NAME|all
set -eu
cd "$(dirname "$0")"
sh ./deps.sh
swift build -c release --product load >&2
[ -n "${MILLRACE:-}" ] || (cd .. && make build >&2)
exec python3 run.py "$@"

#!/usr/bin/env bash
# Fuzzes each target for SECONDS (10): fuzz/run.sh [SECONDS] [TARGET…]. Ends with 1 at the first input that breaks a
# promise; the input stays in fuzz/corpus/found/, and `Fuzz TARGET FILE` runs it again.
# New inputs that reach further are kept in fuzz/corpus/TARGET, which is not part of the sources; fuzz/seeds are.
set -euo pipefail
cd "$(dirname "$0")"

seconds=${1:-10}
shift || true
targets=("$@")
if [ ${#targets[@]} -eq 0 ]; then targets=(json ndjson frame cursor text http1 http2 packet swim); fi

resources=$(swiftc -print-target-info | sed -n 's/.*"runtimeResourcePath": "\(.*\)".*/\1/p')
fuzzer=$(find -L "$resources/clang/lib/linux" -name "libclang_rt.fuzzer_no_main-$(uname -m).a")
# Release builds leave out the checks of unsafe pointers: debug assertions bring them back. Coverage counters tell
# libFuzzer what is new; the address sanitizer sees reads that no check saw. The transport's connection is no public
# interface: targets reach it as tests do.
swift build -c release --scratch-path .build --product Fuzz --sanitize address \
  -Xswiftc -assert-config -Xswiftc Debug -Xswiftc -enable-testing \
  -Xswiftc -sanitize-coverage=edge,inline-8bit-counters,pc-table,trace-cmp \
  -Xcc -fsanitize-coverage=inline-8bit-counters,pc-table,trace-cmp \
  -Xlinker "$fuzzer" -Xlinker -lstdc++ -Xlinker -lm -Xlinker -lpthread
program=$(swift build -c release --scratch-path .build --show-bin-path)/Fuzz

mkdir -p corpus/found
for target in "${targets[@]}"; do
  echo "== $target: $seconds s"
  mkdir -p "corpus/$target" "seeds/$target"
  dictionary=()
  if [ -f "dictionaries/$target" ]; then dictionary=("-dict=dictionaries/$target"); fi
  # Memory that the Swift runtime keeps for good is no leak.
  ASAN_OPTIONS=detect_leaks=0 SWIFT_BACKTRACE=enable=no \
    "$program" "$target" "-max_total_time=$seconds" -max_len=4096 -timeout=5 \
    -print_final_stats=1 -artifact_prefix=corpus/found/ "${dictionary[@]}" "corpus/$target" "seeds/$target" \
    >"corpus/$target.log" 2>&1 || { tail -n 60 "corpus/$target.log"; exit 1; }
  grep -E "^(Done|stat::number_of_executed_units|stat::new_units_added)" "corpus/$target.log"
done

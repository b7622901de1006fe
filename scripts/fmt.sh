#!/usr/bin/env bash
# Formats the Swift sources in place, or with `check` only says what is not formatted.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ "${1:-}" = check ]; then
  swift format lint --strict --parallel -r Sources Tests bench/Sources Package.swift bench/Package.swift
  echo "format: clean"
else
  swift format format --in-place --parallel -r Sources Tests bench/Sources Package.swift bench/Package.swift
fi

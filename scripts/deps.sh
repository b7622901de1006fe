#!/usr/bin/env bash
# Makes sure that what a make target needs is on this Debian machine: packages, Swift, and a Python venv for tests.
# Usage: scripts/deps.sh build|test
set -euo pipefail
cd "$(dirname "$0")/.."

build=(libnghttp2-dev libssl-dev libjansson-dev libcurl4-openssl-dev libsqlite3-dev zlib1g-dev pkg-config git make)
tests=(curl jq strace iproute2 nftables python3 python3-venv openssl nghttp2-client chromium)

case "${1:-build}" in
  build) needed=("${build[@]}") ;;
  test) needed=("${build[@]}" "${tests[@]}") ;;
  *) echo "usage: scripts/deps.sh build|test" >&2; exit 64 ;;
esac

if ! command -v swift >/dev/null; then
  echo "Swift is not on the PATH. Install Swift 6.3 for Debian 12 from https://www.swift.org/install/linux/" >&2
  exit 1
fi
version=$(swift --version 2>/dev/null | sed -n 's/.*Swift version \([0-9]*\.[0-9]*\).*/\1/p' | head -n 1)
if [ "$(printf '%s\n6.2\n' "$version" | sort -V | head -n 1)" != 6.2 ]; then
  echo "Swift $version is too old: Millrace is built with Swift 6.3 (6.2 at least)." >&2
  exit 1
fi

missing=()
for package in "${needed[@]}"; do
  status=$(dpkg-query -W -f='${Status}' "$package" 2>/dev/null || true)
  [ "$status" = "install ok installed" ] || missing+=("$package")
done

if [ ${#missing[@]} -gt 0 ]; then
  echo "Millrace needs these Debian packages that are not here yet: ${missing[*]}"
  as_root=()
  if [ "$(id -u)" != 0 ]; then
    if ! command -v sudo >/dev/null; then
      echo "Only root may install them, and there is no sudo. As root, run:" >&2
      echo "  apt-get update && apt-get install -y --no-install-recommends ${missing[*]}" >&2
      exit 1
    fi
    as_root=(sudo)
  fi
  echo "Installing them with apt-get${as_root[*]:+ (as root, by sudo)}; nothing else here needs root."
  install_missing() {
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
      apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
  }
  # Package lists that are not there, or older than what the mirror has, are fetched first.
  known=yes
  for package in "${missing[@]}"; do apt-cache show "$package" >/dev/null 2>&1 || known=no; done
  if [ $known = no ] || ! install_missing; then
    "${as_root[@]}" apt-get update -qq
    install_missing
  fi
fi

if [ "${1:-build}" = test ]; then
  wanted=$(sha256sum Tests/requirements.txt | cut -d ' ' -f 1)
  if [ "$(cat .venv/requirements.sha256 2>/dev/null || true)" != "$wanted" ]; then
    echo "Making .venv with the tests' Python packages (Tests/requirements.txt)."
    rm -rf .venv
    python3 -m venv .venv
    .venv/bin/python -m pip install --quiet --disable-pip-version-check -r Tests/requirements.txt
    echo "$wanted" >.venv/requirements.sha256
  fi
fi

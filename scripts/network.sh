#!/bin/sh
# Runs a command where browsers open peer connections: they look for the address of the default route and find none in a
# sandbox that has none. The machine's own network where it has such a route, else a network namespace made for the command.
#
# Usage: sh scripts/network.sh command args…
set -eu

# Not Linux: a desktop, which has a route.
[ "$(uname)" = Linux ] || exec "$@"
[ -z "$(ip -4 route show default; ip -6 route show default)" ] || exec "$@"

# Outside root the namespace needs a user namespace around it, which not every kernel allows.
[ "$(id -u)" = 0 ] && unshare='unshare --net' || unshare='unshare --map-root-user --net'
$unshare true 2>/dev/null || {
  echo 'The tests with browsers need a default route, or root (or user namespaces) to make a network namespace with one.' >&2
  exit 1
}
# 198.51.100.0/24 is for documentation (RFC 5737): nothing is there, and nothing needs to be.
# shellcheck disable=SC2016
exec $unshare sh -euc '
  ip link set lo up
  ip link add browsers0 type veth peer name browsers1
  ip address add 198.51.100.1/24 dev browsers0
  ip link set browsers0 up
  ip link set browsers1 up
  ip route add default dev browsers0
  exec "$@"' sh "$@"

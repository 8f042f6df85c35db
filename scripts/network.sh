#!/bin/sh
# Runs a command where browsers open peer connections: they look for the address of the default
# route and find none in a sandbox that has none. The machine's own network where it has such a
# route, else a network namespace made for the command. With a shape it is always a network
# namespace; elsewhere than on Linux it is the machine's network all the same.
#
# Usage: sh scripts/network.sh [--shape name] command args…
#
#   loopback  nothing else
#   ipv4      an IPv4 interface with a default route; this is what a machine without a route gets
#   dual      the same with IPv6 beside it
#   many      the same, with two uplinks, a container bridge, a VPN and link-local IPv6 addresses
set -eu

shape=''
if [ "$1" = --shape ]; then
  shape=$2
  shift 2
fi

# Not Linux: a desktop, which has a route.
[ "$(uname)" = Linux ] || exec "$@"
if [ -z "$shape" ]; then
  [ -z "$(ip -4 route show default; ip -6 route show default)" ] || exec "$@"
  shape=ipv4
fi

# Outside root the namespace needs a user namespace around it, which not every kernel allows.
[ "$(id -u)" = 0 ] && unshare='unshare --net' || unshare='unshare --map-root-user --net'
$unshare true 2>/dev/null || {
  echo 'The tests with browsers need a default route, or root (or user namespaces) to make a network namespace with one.' >&2
  exit 1
}
# The addresses are for documentation (RFC 5737), unique local (RFC 4193) or private: nothing is there, and nothing needs to
# be. Without "nodad" an IPv6 address could not be used in the first two seconds.
# shellcheck disable=SC2016
exec $unshare sh -euc '
  shape=$1
  shift
  up() { # interface, address…: a cable whose other end is in the namespace, too
    ip link add "$1" type veth peer name "$1-end"
    ip link set "$1-end" up
    addresses "$@"
  }
  addresses() {
    interface=$1
    shift
    for address in "$@"; do
      case $address in
        *:*) ip -6 address add "$address" dev "$interface" nodad ;;
        *) ip address add "$address" dev "$interface" ;;
      esac
    done
    ip link set "$interface" up
  }
  dual() {
    up eth0 198.51.100.1/24 fd00::2/64
    ip route add default dev eth0
    ip -6 route add default dev eth0
  }
  ip link set lo up
  case $shape in
    loopback) ;;
    ipv4)
      up eth0 198.51.100.1/24
      ip route add default dev eth0
      ;;
    dual) dual ;;
    many)
      dual
      addresses eth0 fe80::2/64
      up wlan0 203.0.113.1/24 fd01::2/64 fe80::3/64
      ip route add default dev wlan0 metric 600
      ip -6 route add default dev wlan0 metric 2048
      # A bridge without a member has no carrier, and a tun without a program neither: nobody would
      # see them.
      ip link add docker0 type bridge
      up container0
      ip link set container0 master docker0
      addresses docker0 172.17.0.1/16
      up tun0 10.8.0.2/24 fd08::2/64
      ;;
    *)
      echo "There is no network shape $shape." >&2
      exit 2
      ;;
  esac
  exec "$@"' sh "$shape" "$@"

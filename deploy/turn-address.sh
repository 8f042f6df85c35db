#!/bin/sh
# Prints the public IPv4 address of the TURN server: TURN_IP, or else the one that the DNS record of
# TURN_HOST has. Nobody else is asked, unless TURN_CHECK names a STUN server to compare it with. Says
# in one line what it found, and fails without an address that peers could reach.
set -eu

address=${TURN_IP:-}
source=TURN_IP
if [ -z "$address" ]; then
  # Each line begins with an address.
  # shellcheck disable=SC2046
  set -- $(getent ahostsv4 "$TURN_HOST" || true)
  address=${1:-}
  source="the DNS record of $TURN_HOST"
fi
case $address in
'')
  echo "TURN_HOST $TURN_HOST has no IPv4 address in DNS. Add the record, or set TURN_IP to the public address of this machine." >&2
  exit 1
  ;;
127.* | 0.*)
  [ -n "${TURN_IP:-}" ] || {
    echo "TURN_HOST $TURN_HOST leads to $address, which is this machine only. Set TURN_IP to its public address." >&2
    exit 1
  }
  ;;
esac

seen=
if [ -n "${TURN_CHECK:-}" ]; then
  seen=$(timeout 5 turnutils_stunclient -p "${TURN_CHECK##*:}" "${TURN_CHECK%:*}" 2>/dev/null |
    sed -n 's/.*reflexive addr: \([0-9.]*\):.*/\1/p' | head -n 1) || true
fi
case $address in
10.* | 192.168.* | 172.1[6-9].* | 172.2?.* | 172.3[01].* | 169.254.* | 100.6[4-9].* | 100.[7-9]?.* | 100.1[01]?.* | 100.12[0-7].*)
  private=" It is a private one, which peers in other networks cannot reach: set TURN_IP to the public address of this machine, unless all peers are in this network."
  ;;
*) private= ;;
esac
if [ -z "${TURN_CHECK:-}" ]; then
  echo "The TURN server's public address is $address, by $source.$private" >&2
elif [ -z "$seen" ]; then
  echo "The TURN server's public address is $address, by $source. It was not checked: no STUN server answers at $TURN_CHECK.$private" >&2
elif [ "$seen" = "$address" ]; then
  echo "The TURN server's public address is $address, and $TURN_CHECK sees the same one." >&2
else
  echo "The TURN server's public address is $address, by $source, but $TURN_CHECK sees $seen. Unless a router forwards $address to this machine, correct the DNS record of $TURN_HOST, or set TURN_IP." >&2
fi
echo "$address"

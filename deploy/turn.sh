#!/bin/sh
# Starts the TURN server with what is known only here, in files that are gone with the container:
# arguments would show in a list of processes. Ends with the server, and has it load its certificate
# again when that was renewed.
set -eu
umask 077
certificate=/run/certificate/certificate.pem

wait_for_certificate() {
  # Where none can come, none is waited for.
  [ -d "${certificate%/*}" ] || return 0
  for _ in $(seq 60); do
    [ ! -s "$certificate" ] || return 0
    sleep 1
  done
  echo "There is no certificate for $TURN_HOST yet: TURN over TLS begins when there is one."
}

# Without it coturn would take its public address for somebody else's, and pass on packets to
# whatever else is there.
public=$(sh "$(dirname "$0")/turn-address.sh") || {
  # Until then there is nothing to serve; the engine starts this again.
  sleep 10
  exit 1
}
secret=${TURN_SECRET:-$(cat /run/keys/turn-secret)}
own=$(hostname -i | cut -d ' ' -f 1)
wait_for_certificate
{
  cat /etc/turnserver.conf
  echo "realm=$TURN_HOST"
  echo "static-auth-secret=$secret"
  echo "listening-ip=$own"
  echo "relay-ip=$own"
  echo "min-port=$TURN_MIN_PORT"
  echo "max-port=$TURN_MAX_PORT"
  # Peers that are both behind this server reach each other at its public address, which coturn
  # takes for the container's own before it looks at the list: nothing but the TURN server is there,
  # whatever else the machine has at its public address.
  echo "allowed-peer-ip=$own"
  echo "external-ip=$public/$own"
  if [ -s "$certificate" ]; then
    echo "cert=$certificate"
    echo "pkey=/run/certificate/key.pem"
  else
    echo no-tls
  fi
} >/tmp/turnserver.conf
seen=$(cksum "$certificate" 2>/dev/null || true)

# Whether the public address leads here only a packet tells, and the server itself answers one.
check_address() {
  port=$(sed -n 's/^listening-port=//p' /etc/turnserver.conf)
  for _ in $(seq 5); do
    sleep 1
    if timeout 3 turnutils_stunclient -p "$port" "$public" 2>/dev/null | grep -q 'reflexive addr'; then
      echo "The TURN server answers at its public address, $public:$port."
      return
    fi
  done
  echo "The TURN server does not answer at its public address, $public:$port, when asked from here. Check it from elsewhere with: mcp-rendezvous doctor. A router that does not return packets to its own network may be the reason; otherwise open the port, or correct TURN_IP or the DNS record of $TURN_HOST."
}

turnserver -c /tmp/turnserver.conf &
server=$!
check_address &
check=$!
trap 'kill "$server" "$check" 2>/dev/null || true; wait "$server" || true; exit 0' TERM INT
while kill -0 "$server" 2>/dev/null; do
  sleep 5 &
  # A trap runs only between commands, unless the command is `wait`.
  wait $! || true
  now=$(cksum "$certificate" 2>/dev/null || true)
  [ "$now" = "$seen" ] && continue
  # Without TLS so far: the engine starts this again, with it.
  [ -n "$seen" ] || kill "$server"
  seen=$now
  kill -USR2 "$server" || true
done
wait "$server"

#!/bin/sh
# Runs a command with a Docker engine and Compose 2: those of this machine where they work, else a
# private engine, made from Debian's packages, in a network and a mount namespace that it shares
# with the command. Ports that are published there exist only there; the machine's own routes, rules
# and mounts stay as they are. The private engine has stand-ins for the public images
# (scripts/stand-ins.sh).
#
# Usage: sh scripts/engine.sh command args…
set -eu

scripts=$(cd "$(dirname "$0")" && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/mcp-rendezvous
programs=$cache/docker
state=${ENGINE_STATE:-$cache/engine}

fail() {
  echo "$1" >&2
  exit 1
}

# Runs in the namespaces: starts the engine, runs the command, stops the engine.
inside() {
  ip link set lo up
  rm -f "$state/docker.sock"
  echo $$ >"$state/namespace.pid"
  for _ in $(seq 200); do
    [ -z "$(ip route show default)" ] || break
    sleep 0.1
  done
  dockerd --host "$DOCKER_HOST" --data-root "$state/data" --exec-root "$state/run" --pidfile "$state/dockerd.pid" \
    --storage-driver overlay2 >"$state/dockerd.log" 2>&1 &
  dockerd=$!
  trap 'kill "$dockerd" 2>/dev/null && wait "$dockerd" || true' EXIT
  trap 'exit 130' INT TERM
  for _ in $(seq 300); do
    docker info >/dev/null 2>&1 && break
    kill -0 "$dockerd" 2>/dev/null || break
    sleep 0.1
  done
  docker info >/dev/null 2>&1 || {
    tail -n 20 "$state/dockerd.log" >&2
    fail "The Docker engine did not start."
  }
  sh "$scripts/stand-ins.sh"
  "$@"
}

# What the engine runs on, from this machine's own release.
install_helpers() {
  packages=
  while read -r command package; do
    command -v "$command" >/dev/null 2>&1 || packages="$packages $package"
  done <<'END'
iptables iptables
slirp4netns slirp4netns
ip iproute2
runc runc
mmdebstrap mmdebstrap
tini-static tini
END
  [ -n "$packages" ] || return 0
  apt-get update -qq
  # shellcheck disable=SC2086
  RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $packages debian-archive-keyring >/dev/null
}

# Debian 12 has no Compose 2. Debian 13's engine is unpacked beside this system, not installed; its
# programs need no other libraries. Caddy comes from its backports, because the public image is as
# new.
unpack_engine() {
  [ ! -e "$programs/complete" ] || return 0
  rm -rf "$programs"
  mkdir -p "$programs/apt/lists/partial" "$programs/apt/archives/partial" "$programs/bin" "$programs/config/cli-plugins"
  mirror=$(apt-get indextargets --format '$(SITE)' | grep -v security | sort -u | head -n 1)
  for suite in trixie trixie-backports; do
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main"
  done >"$programs/apt/sources.list"
  apt() {
    apt-get -qq -o Dir::Etc::sourcelist="$programs/apt/sources.list" -o Dir::Etc::sourceparts=- \
      -o Dir::State::lists="$programs/apt/lists" -o Dir::Cache="$programs/apt" -o APT::Sandbox::User=root "$@"
  }
  apt update
  (
    cd "$programs/apt"
    apt download docker.io docker-cli docker-compose docker-buildx containerd
    apt -t trixie-backports download caddy
    for package in *.deb; do dpkg -x "$package" "$programs/root"; done
  )
  for program in "$programs"/root/usr/bin/* "$programs"/root/usr/sbin/*; do ln -s "$program" "$programs/bin/"; done
  ln -sf "$(command -v tini-static)" "$programs/bin/docker-init"
  find "$programs/root" -path '*/cli-plugins/*' -exec ln -s '{}' "$programs/config/cli-plugins/" ';'
  rm -r "$programs/apt"
  touch "$programs/complete"
}

case ${1:-} in
--inside)
  shift
  inside "$@"
  exit
  ;;
--prepare)
  install_helpers
  unpack_engine
  exit
  ;;
esac

# One that works, with Compose's `up --wait`: what DOCKER_HOST or the context says.
if docker info >/dev/null 2>&1 && docker compose up --help 2>/dev/null | grep -q -- --wait; then exec "$@"; fi

why='These tests need a Docker engine with Compose 2, or root on Debian to make one'
[ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1 || fail "$why."
unshare --net --mount true 2>/dev/null || fail "$why; this root may not make a network namespace."
log=$(mktemp)
# A process of its own, because `set -e` counts for nothing before `||`.
sh "$scripts/engine.sh" --prepare >"$log" 2>&1 || {
  tail -n 20 "$log" >&2
  fail "$why; making one failed as above."
}
rm "$log"
mkdir -p "$state"
exec 9>"$state/lock"
flock -n 9 || fail "Another run uses the engine in $state."

rm -f "$state/namespace.pid"
PATH=$programs/bin:$PATH DOCKER_HOST=unix://$state/docker.sock DOCKER_CONFIG=$programs/config ENGINE_PROGRAMS=$programs \
  unshare --net --mount --propagation private sh "$scripts/engine.sh" --inside "$@" &
engine=$!
trap 'kill "$engine" 2>/dev/null || true' INT TERM
until [ -s "$state/namespace.pid" ] || ! kill -0 "$engine" 2>/dev/null; do sleep 0.1; done
# The way out, by plain sockets of this machine: builds fetch packages.
slirp4netns --configure --mtu=1400 --disable-host-loopback "$(cat "$state/namespace.pid")" tap0 >"$state/slirp.log" 2>&1 9>&- &
slirp=$!
status=0
wait "$engine" || status=$?
kill "$slirp" 2>/dev/null || true
exit "$status"

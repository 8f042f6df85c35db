#!/bin/sh
# Builds the peer on Pion that tests start: once for each content of its sources, in
# ~/.cache/mcp-rendezvous. Needs a package index for Go itself, whatever Go is installed, and a proxy
# for Go modules; nothing but the program stays of either. Nothing is optimized: that halves the build.
set -eu
cd "$(dirname "$0")/../test/interop/pion"

# The same files in the same order as in test/interop/pion.ts.
digest=$(cat requirements.txt go.mod go.sum main.go room.go session.go | sha256sum | cut -c 1-16)
folder=$HOME/.cache/mcp-rendezvous/pion-$digest
[ ! -e "$folder/complete" ] || exit 0
echo "Building the peer on Pion in $folder"
mkdir -p "$folder"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
build() {
  /usr/bin/python3 -m venv "$work/python" &&
    "$work/python/bin/python" -m pip install --no-input --no-compile --require-hashes --only-binary :all: -r requirements.txt &&
    GOTOOLCHAIN=local GOCACHE=$work/cache GOMODCACHE=$work/modules CGO_ENABLED=0 \
      "$work"/python/lib/python3*/site-packages/go/bin/go build -buildvcs=false -modcacherw -trimpath -gcflags='all=-N -l' -o "$folder/peer" .
}
build >"$work/log" 2>&1 </dev/null || {
  cat "$work/log" >&2
  echo 'The tests need the packages of test/interop/pion, and pip or Go could not install or build them.' >&2
  exit 1
}
touch "$folder/complete"

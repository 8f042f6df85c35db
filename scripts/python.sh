#!/bin/sh
# Makes the virtual environment with the MCP SDK for Python, mcp-webrtc and aiortc that tests use: once
# for each content of its requirements, in ~/.cache/mcp-rendezvous. Version 2 of the SDK is in its
# folder mcp-2, for PYTHONPATH. Needs a package index.
set -eu
cd "$(dirname "$0")/../test/interop"

digest=$(cat requirements.txt requirements-2.txt | sha256sum | cut -c 1-16)
folder=$HOME/.cache/mcp-rendezvous/python-$digest
[ ! -e "$folder/complete" ] || exit 0
echo "Installing the MCP SDK for Python in $folder"
mkdir -p "$(dirname "$folder")"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
{
  rm -rf "$folder" && /usr/bin/python3 -m venv "$folder" &&
    "$folder/bin/python" -m pip install --no-input --require-hashes -r requirements.txt &&
    "$folder/bin/python" -m pip install --no-input --require-hashes --no-deps --target "$folder/mcp-2" -r requirements-2.txt
} >"$log" 2>&1 </dev/null || {
  cat "$log" >&2
  echo 'The tests need the packages of test/interop/requirements*.txt, and pip could not install them.' >&2
  exit 1
}
touch "$folder/complete"

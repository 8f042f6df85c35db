#!/bin/sh
# Prints a room token that the relay signs itself, for its operator.
#
# Usage: RELAY=https://relay.example ADMIN_TOKEN=… sh token.sh room server|client subject [ttl, such
# as 15m]
set -eu
[ $# -ge 3 ] || { echo "Usage: sh token.sh room server|client subject [ttl]" >&2; exit 2; }
case "$1$3${4:-}" in
*[!A-Za-z0-9._~:/@-]*) echo 'Room, subject and ttl consist of letters, digits and . _ ~ : / @ - here.' >&2; exit 2 ;;
esac

body=$(printf '{"room":"%s","role":"%s","sub":"%s","ttl":"%s"}' "$1" "$2" "$3" "${4:-15m}")
# By standard input, because other users of a machine can read command lines.
answer=$(printf 'Authorization: Bearer %s\n' "$ADMIN_TOKEN" |
  curl --silent --show-error --header @- --header 'Content-Type: application/json' --data "$body" "${RELAY%/}/v1/tokens")
token=$(printf %s "$answer" | sed -n 's/.*"token":"\([^"]*\)".*/\1/p')
[ -n "$token" ] || { printf 'The relay said: %s\n' "$answer" >&2; exit 1; }
printf '%s\n' "$token"

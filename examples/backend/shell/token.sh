#!/bin/sh
# Prints a room token, signed with the private key of key.sh (EdDSA).
#
# Usage: sh token.sh private-key.pem https://app.example room server|client subject [seconds]
set -eu
[ $# -ge 5 ] || { echo "Usage: sh token.sh private-key.pem issuer room server|client subject [seconds]" >&2; exit 2; }
key=$1 issuer=$2 room=$3 role=$4 subject=$5 seconds=${6:-900}

# These go into JSON as they are.
case "$issuer$room$subject" in
*[!A-Za-z0-9._~:/@-]*) echo 'Issuer, room and subject consist of letters, digits and . _ ~ : / @ - here.' >&2; exit 2 ;;
esac
case $role in server | client) ;; *) echo 'The role is server or client.' >&2; exit 2 ;; esac
case $seconds in *[!0-9]* | '') echo 'How long it is valid is a number of seconds.' >&2; exit 2 ;; esac

base64url() {
  base64 | tr -d '\n=' | tr '+/' '-_'
}

now=$(date +%s)
claims=$(printf '{"iss":"%s","aud":"mcp-rendezvous","room":"%s","role":"%s","sub":"%s","jti":"%s","iat":%d,"exp":%d}' \
  "$issuer" "$room" "$role" "$subject" "$(openssl rand -hex 16)" "$now" "$((now + seconds))")
signed=$(printf '{"alg":"EdDSA","typ":"JWT"}' | base64url).$(printf %s "$claims" | base64url)

# openssl wants a file to sign with Ed25519.
file=$(mktemp)
trap 'rm -f "$file"' EXIT
printf %s "$signed" >"$file"
signature=$(openssl pkeyutl -sign -rawin -inkey "$key" -in "$file" | base64url)
printf '%s.%s\n' "$signed" "$signature"

#!/bin/sh
# Makes a key pair, once, and prints the issuers file of the relay, which has its public half:
# RELAY_ISSUERS_FILE. The relay can verify tokens with it, and cannot make any.
#
# Usage: sh key.sh private-key.pem https://app.example >issuers.json
set -eu
[ $# = 2 ] || { echo "Usage: sh key.sh private-key.pem issuer" >&2; exit 2; }
key=$1
issuer=$2

[ -s "$key" ] || (umask 077 && openssl genpkey -algorithm ed25519 -out "$key")
# The last 32 bytes of the public key are the point of RFC 8037 §2.
x=$(openssl pkey -in "$key" -pubout -outform DER | tail -c 32 | base64 | tr -d '\n=' | tr '+/' '-_')
printf '[{ "issuer": "%s", "jwks": { "keys": [{ "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "x": "%s" }] } }]\n' "$issuer" "$x"

#!/bin/sh
# Copies the certificate that Caddy has for TURN_HOST to where the TURN server may read it, now and
# whenever it is renewed.
set -eu
umask 022

while :; do
  # One folder for each authority that Caddy was ever given a certificate by; the newest counts.
  # shellcheck disable=SC2012
  newest=$(ls -t /data/caddy/certificates/*/"$TURN_HOST/$TURN_HOST.crt" 2>/dev/null | head -n 1)
  if [ -n "$newest" ] && [ -s "${newest%.crt}.key" ] && ! cmp -s "$newest" /certificate/certificate.pem; then
    # The key first: whoever sees the new certificate finds its key.
    cat "${newest%.crt}.key" >/certificate/key.pem.new
    cat "$newest" >/certificate/certificate.pem.new
    mv /certificate/key.pem.new /certificate/key.pem
    mv /certificate/certificate.pem.new /certificate/certificate.pem
    echo "certificate of $TURN_HOST handed on"
  fi
  sleep 5
done

#!/bin/sh
# Makes the keys of an installation that are not there yet, and leaves the others as they are. Each
# user of a key gets it in a volume of its own, where everybody in its container may read it:
# containers differ in their users, and have one purpose each.
#
# With `rotate` room tokens are signed with a new key from now on; those signed with the one before
# are still valid.
set -eu
umask 022
cd /keys

# 36 random bytes, as 48 characters that need no quotes anywhere.
random() {
  head -c 36 /dev/urandom | base64 | tr '+/' '-_'
}

# Writes standard input to a file, all of it or nothing.
write() {
  cat >"$1.new"
  mv "$1.new" "$1"
}

if [ ! -s relay/relay-secret ]; then
  random | write relay/relay-secret
  echo 'This installation has made itself a key for room tokens, in a volume. To see it:'
  echo '  docker compose exec relay cat /run/keys/relay-secret'
  echo 'To use keys of your own, set RELAY_SECRET or RELAY_ISSUERS in .env.'
fi
if [ "${1:-}" = rotate ]; then
  { random; head -n 1 relay/relay-secret; } | write relay/relay-secret
fi
[ -s relay/admin-token ] || random | write relay/admin-token
[ -s turn/turn-secret ] || random | write turn/turn-secret
write relay/turn-secret <turn/turn-secret

[ -s redis/password ] || random | write redis/password
password=$(cat redis/password)
echo "redis://relay:$password@redis:6379" | write relay/redis-url
# The relay may do what docs/run/redis.md lists; anybody may ask whether Redis is
# there.
write redis/users.acl <<END
user default on nopass -@all +ping
user relay on >$password ~rendezvous:* &rendezvous:* -@all +@connection +@pubsub +@scripting +@hash +@sortedset +get +set +exists +del +time +cluster|slots +cluster|shards +info
END

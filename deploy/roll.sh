#!/bin/sh
# Replaces the relay's instances by new ones, one after the other: a new build, or another
# configuration. The new ones are there before the first of the old ones is asked to go, so that its
# peers have somewhere to resume.
#
# Usage, in the folder of docker-compose.yml: sh deploy/roll.sh
set -eu

old=$(docker compose ps --quiet relay)
count=$(echo "$old" | wc -w)
if [ "$count" = 0 ]; then
  echo 'There is no relay to replace. Start everything with: docker compose up --build --wait --detach' >&2
  exit 1
fi

docker compose build relay
docker compose up --detach --wait --no-deps --no-recreate --scale "relay=$((2 * count))" relay
# Healthy means that they run. Whether they can place peers needs Redis.
for container in $(docker compose ps --quiet relay); do
  tries=0
  until docker exec "$container" node healthcheck.js /readyz 2>/dev/null; do
    tries=$((tries + 1))
    if [ "$tries" = 60 ]; then
      echo "The new instances are not ready, so the old ones stay. Their log says why: docker logs $container" >&2
      exit 1
    fi
    sleep 1
  done
done
for container in $old; do
  # It drains: see stop_grace_period.
  docker stop "$container" >/dev/null
  docker rm "$container" >/dev/null
done
docker compose up --detach --wait --no-deps --no-recreate --scale "relay=$count" relay

#!/bin/sh
# Makes stand-ins for the public images that docker-compose.yml names, under their names, for an
# engine that can reach no image registry: the same programs from Debian's packages, and this
# repository's own Node. What they cannot show: the size of the public images, and what is peculiar
# to them (musl, their entrypoints).
#
# Usage: sh scripts/stand-ins.sh    with an engine that scripts/engine.sh has started
set -eu

repository=$(cd "$(dirname "$0")/.." && pwd)
# Made by this very script.
complete=stand-ins:$(cksum <"$0" | cut -d ' ' -f 1)
docker image inspect "$complete" >/dev/null 2>&1 && exit 0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mirror=$(apt-get indextargets --format '$(SITE)' | grep -v security | sort -u | head -n 1)

# Unpacked and not configured, which is enough for what runs here and takes a quarter of the time.
essential=base-files,libc-bin,base-passwd,dash,coreutils,grep,sed,hostname,diffutils,findutils,busybox,netbase,libatomic1,libcap2-bin
# What the relay's image takes its init with.
init=apt,gpgv,debian-archive-keyring
mmdebstrap --quiet --variant=extract --include="$essential,$init,redis-server,coturn,prometheus,haproxy" bookworm "$work/root.tar" "$mirror" \
  2>"$work/log" || { cat "$work/log" >&2; exit 1; }
docker import "$work/root.tar" stand-ins:root >/dev/null
rm "$work/root.tar"

mkdir "$work/files"
cp "$repository/node_modules/node/bin/node" "$ENGINE_PROGRAMS/root/usr/bin/caddy" /etc/ssl/certs/ca-certificates.crt "$work/files"
npm=$(realpath "$(command -v npm)")
cp -r "${npm%/bin/npm-cli.js}" "$work/files/npm"
cat >"$work/Dockerfile" <<'END'
FROM stand-ins:root AS base
COPY files/ca-certificates.crt /etc/ssl/certs/
# The users that the public images have, and busybox where they have it.
RUN ldconfig && cp /usr/share/base-passwd/passwd.master /etc/passwd && cp /usr/share/base-passwd/group.master /etc/group \
  && echo redis:x:999:1000::/data:/bin/sh >>/etc/passwd && echo redis:x:1000: >>/etc/group \
  && echo node:x:1000:1001::/home/node:/bin/sh >>/etc/passwd && echo node:x:1001: >>/etc/group \
  && echo haproxy:x:99:99::/var/lib/haproxy:/bin/sh >>/etc/passwd && echo haproxy:x:99: >>/etc/group \
  && mkdir -p /usr/local/bin && ln -s /bin/busybox /usr/local/bin/wget

FROM base AS node
ENV NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt
COPY files/node /usr/local/bin/
COPY files/npm /usr/local/lib/node_modules/npm
# apt's user and folders are made when the package is configured; it reads keys in text with awk.
RUN echo 'APT::Sandbox::User "root";' >/etc/apt/apt.conf.d/stand-in && mkdir -p /var/lib/apt/lists/partial /var/cache/apt/archives/partial \
  && rm /etc/apt/trusted.gpg.d/* && cp /usr/share/keyrings/debian-archive-keyring.gpg /etc/apt/trusted.gpg.d/
RUN ln -s ../lib/node_modules/npm/bin/npm-cli.js /usr/local/bin/npm && npm --version
CMD ["node"]

FROM base AS redis
RUN mkdir -p /data && chown redis:redis /data
VOLUME /data
WORKDIR /data
CMD ["redis-server"]

FROM base AS caddy
COPY files/caddy /usr/bin/
# As in the public image: a container whose capabilities are all dropped cannot start it.
RUN setcap cap_net_bind_service=+ep /usr/bin/caddy
ENV XDG_CONFIG_HOME=/config XDG_DATA_HOME=/data
RUN mkdir -p /config/caddy /data/caddy
CMD ["caddy", "run", "--config", "/etc/caddy/Caddyfile", "--adapter", "caddyfile"]

FROM base AS coturn
RUN setcap cap_net_bind_service=+ep /usr/bin/turnserver
USER nobody:nogroup
ENTRYPOINT ["turnserver"]

FROM base AS haproxy
USER haproxy
CMD ["haproxy", "-f", "/usr/local/etc/haproxy/haproxy.cfg"]

FROM base AS prometheus
RUN mkdir -p /prometheus && chown nobody:nogroup /prometheus
USER nobody
VOLUME /prometheus
WORKDIR /prometheus
ENTRYPOINT ["prometheus"]
END
for image in node:26-slim redis:7-alpine caddy:2 haproxy:3.0-alpine coturn/coturn:4.6 prom/prometheus:v2.55.1; do
  target=${image%%:*}
  docker build -q -t "$image" --target "${target##*/}" "$work" >/dev/null
done
docker tag stand-ins:root "$complete"

# The relay. Build cache and image hold nothing but what package-lock.json names.

FROM node:26-slim AS build
WORKDIR /build
COPY package.json package-lock.json .npmrc ./
COPY protocol/package.json protocol/
COPY sdk/package.json sdk/
COPY server/package.json server/
COPY console/package.json console/
COPY bench/package.json bench/
# Without install scripts: what they fetch or build, browsers and engines, is for tests.
RUN --mount=type=cache,target=/root/.npm npm ci --ignore-scripts
COPY tsconfig.base.json ./
COPY scripts/bundle.ts scripts/
COPY protocol protocol
COPY sdk sdk
COPY server server
COPY console console
# Types are checked where the tests run; here they are only left out.
RUN node_modules/.bin/tsc -b --noCheck server/tsconfig.build.json && npm run bundle && npm run lua && npm run --if-present console

FROM node:26-slim AS dependencies
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
COPY protocol/package.json protocol/
COPY sdk/package.json sdk/
COPY server/package.json server/
COPY console/package.json console/
COPY bench/package.json bench/
RUN --mount=type=cache,target=/root/.npm \
  npm ci --omit=dev --ignore-scripts --workspace server \
  && find node_modules -type f '(' -name '*.ts' -o -name '*.[cm]ts' -o -name '*.map' ')' -delete \
  && rm -r package-lock.json .npmrc node_modules/.package-lock.json sdk console bench
COPY LICENSE ./
COPY server/bin server/bin
COPY --from=build /build/protocol/dist protocol/dist
COPY --from=build /build/server/dist server/dist
RUN find protocol server -type f '(' -name '*.d.ts' -o -name .tsbuildinfo ')' -delete

# The kernel drops a signal to the first process of a container that has no handler for it yet, as
# Node in its first moments.
FROM node:26-slim AS init
WORKDIR /init
RUN apt-get update && apt-get download tini && dpkg --extract tini_*.deb .

FROM node:26-slim
ENV NODE_ENV=production RELAY_HOST=0.0.0.0
COPY --from=dependencies /app /app
COPY --from=init /init/usr/bin/tini /usr/bin/tini
COPY deploy/healthcheck.js /app/
WORKDIR /app
USER node
EXPOSE 8787
# That it runs, whatever Redis does. There is no curl in this image, and node is there anyway.
HEALTHCHECK --interval=5s --timeout=4s --start-period=30s --retries=3 CMD ["node", "healthcheck.js"]
ENTRYPOINT ["/usr/bin/tini", "--"]
CMD ["node", "server/bin/mcp-rendezvous-server.js"]

ARG VERSION=dev
LABEL org.opencontainers.image.title="mcp-rendezvous-server" \
  org.opencontainers.image.description="Signaling relay that pairs MCP clients and servers by room tokens" \
  org.opencontainers.image.licenses="Apache-2.0" \
  org.opencontainers.image.version="${VERSION}"

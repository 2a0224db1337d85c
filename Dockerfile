# One image per service: docker build --target tcp .
FROM node:20.20.2-bookworm-slim AS build
WORKDIR /skbus
COPY package.json package-lock.json .npmrc ./
COPY apps ./apps
COPY libs ./libs
COPY proto ./proto
COPY tools ./tools
COPY tsconfig.base.json tsconfig.engine.json nx.json ./
RUN node tools/setup.mjs --no-system
# Loading modules is most of a start, and so of the time in which a killed layer is away.
RUN node --experimental-import-meta-resolve tools/bundle.mjs apps/orchestrator/dist/keys.js \
 apps/nic/dist/main.js apps/neigh/dist/main.js apps/ip/dist/main.js apps/udp/dist/main.js apps/tcp/dist/main.js \
 apps/socket/dist/main.js apps/demo/dist/main.js
# Sources and the compiler stay here; swagger names a compiler as its peer, and works without.
RUN npm prune --omit=dev --no-audit --no-fund \
 && rm -rf node_modules/typescript node_modules/@typescript node_modules/.bin node_modules/.cache \
 && find apps libs -name src -prune -exec rm -rf {} + \
 && find apps libs \( -name '*.tsbuildinfo' -o -name '*.d.ts' -o -name tsconfig.json \) -exec rm -f {} +

FROM node:20.20.2-bookworm-slim AS runtime
WORKDIR /skbus
ENV NODE_ENV=production
COPY --from=build /skbus/package.json ./
COPY --from=build /skbus/node_modules ./node_modules
COPY --from=build /skbus/libs ./libs
COPY --from=build /skbus/apps ./apps
# Where the door's Unix socket is shared between the socket service and programs.
RUN mkdir -p /run/skbus && chown node:node /run/skbus
USER node

# As root only to give files to others; everything else is dropped by the compose file.
FROM runtime AS keys
USER root
ENTRYPOINT ["node", "apps/orchestrator/dist/keys.js"]

FROM runtime AS orchestrator
EXPOSE 7070
CMD ["node", "--enable-source-maps", "apps/orchestrator/dist/main.js"]

FROM runtime AS socket
EXPOSE 1080 8118
CMD ["node", "apps/socket/dist/main.js"]

FROM runtime AS tcp
CMD ["node", "apps/tcp/dist/main.js"]

FROM runtime AS udp
CMD ["node", "apps/udp/dist/main.js"]

FROM runtime AS ip
CMD ["node", "apps/ip/dist/main.js"]

FROM runtime AS neigh
CMD ["node", "apps/neigh/dist/main.js"]

# CAP_NET_ADMIN is effective for root only; everything else is dropped by the compose file.
FROM runtime AS nic
USER root
CMD ["node", "apps/nic/dist/main.js"]

FROM runtime AS demo
CMD ["node", "apps/demo/dist/main.js"]

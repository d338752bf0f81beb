# The images of the services: docker build --target gateway . (or analyzer, or mqtt).
# The base images are arguments, for private registries and machines that cannot pull images. BUILD_IMAGE
# needs glibc, Node 20 or newer and npm; NODE_IMAGE needs only Node 24 as `node` on PATH, not even a shell.
ARG BUILD_IMAGE=node:24-bookworm-slim
ARG NODE_IMAGE=node:24-alpine

FROM ${BUILD_IMAGE} AS build
WORKDIR /build
# The manifests first, so that a change of the sources does not install the dependencies again.
COPY package.json pnpm-lock.yaml pnpm-workspace.yaml ./
COPY tools/bootstrap.mjs tools/package.json tools/
COPY test/package.json test/
COPY packages/analyzer/package.json packages/analyzer/
COPY packages/client/package.json packages/client/
COPY packages/console/package.json packages/console/
COPY packages/gateway/package.json packages/gateway/
COPY packages/mqtt/package.json packages/mqtt/
COPY packages/shared/package.json packages/shared/
COPY packages/testkit/package.json packages/testkit/
# Behind a proxy or with a private registry: --secret id=npmrc,src=$HOME/.npmrc and
# --secret id=ca,src=CERTIFICATES.pem. Both exist in this step only and are stored in no layer.
RUN --mount=type=secret,id=npmrc,target=/run/secrets/npmrc --mount=type=secret,id=ca,target=/run/secrets/ca.pem \
    if [ -s /run/secrets/npmrc ]; then ln -s /run/secrets/npmrc "$HOME/.npmrc"; fi; \
    if [ -s /run/secrets/ca.pem ]; then export NODE_EXTRA_CA_CERTS=/run/secrets/ca.pem; fi; \
    node tools/bootstrap.mjs --install && rm -f "$HOME/.npmrc"
COPY tsconfig.json ./
COPY tools/build.ts tools/
COPY docs/runbook.md docs/
COPY packages packages
# Readable for any user, even if the umask of the build machine is strict.
RUN node tools/bootstrap.mjs tools/build.ts && chmod -R a+rX packages/*/dist

FROM ${NODE_IMAGE} AS runtime
ENV NODE_ENV=production
WORKDIR /app
# A number, because Kubernetes rejects names when it requires a user other than root. Any other user works
# too: the services write no files.
USER 1000:1000
STOPSIGNAL SIGTERM
# /metrics and the health routes.
EXPOSE 9464

FROM runtime AS gateway
LABEL org.opencontainers.image.title="Tidemark gateway" \
      org.opencontainers.image.description="Stores samples from HTTP in Redis and serves their verdicts" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /build/packages/gateway/dist/ ./
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 \
  CMD ["node", "-e", "fetch(`http://localhost:${process.env.PORT || 8080}/livez`).then(r => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
CMD ["node", "--disable-proto=delete", "main.mjs"]

FROM runtime AS analyzer
LABEL org.opencontainers.image.title="Tidemark analyzer" \
      org.opencontainers.image.description="Scores each sample, in order and exactly once" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /build/packages/analyzer/dist/ ./
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 \
  CMD ["node", "-e", "fetch(`http://localhost:${process.env.METRICS_PORT || 9464}/livez`).then(r => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
CMD ["node", "--disable-proto=delete", "main.mjs"]

FROM runtime AS mqtt
LABEL org.opencontainers.image.title="Tidemark MQTT bridge" \
      org.opencontainers.image.description="Sends the messages of an MQTT broker to a gateway, as samples" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /build/packages/mqtt/dist/ ./
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 \
  CMD ["node", "-e", "fetch(`http://localhost:${process.env.METRICS_PORT || 9464}/livez`).then(r => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
CMD ["node", "--disable-proto=delete", "main.mjs"]

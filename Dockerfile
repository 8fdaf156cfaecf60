# The server and its page in an image of about 40 MB: no shell, no package manager, not root, nothing to write to.
#
#   docker build --tag video-call-server --build-arg GIT_REVISION="$(git rev-parse HEAD)" .
#
# Dependencies have layers of their own, which a change of our own code leaves as they are. Nothing here needs BuildKit.

# As in rust-toolchain.toml.
ARG RUST_VERSION=1.95.0
ARG NODE_VERSION=24

# ---- the page ----

FROM node:${NODE_VERSION}-bookworm-slim AS web
WORKDIR /web
COPY web/package.json web/package-lock.json ./
RUN npm ci --no-audit --no-fund
COPY web ./
RUN npm run build

# ---- the server ----

FROM rust:${RUST_VERSION}-slim-bookworm AS rust
# make and a C compiler are for jemalloc and ring; the compiler comes with the image.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends make \
    && rm -rf /var/lib/apt/lists/* \
    && cargo install cargo-chef --version 0.1.78 --locked
WORKDIR /build

# What is depended on, without our own code: the same recipe, the same layer below.
FROM rust AS recipe
COPY . .
RUN cargo chef prepare --recipe-path recipe.json

FROM rust AS build
# In production a PostgreSQL is configured, so the one that downloads itself is left out.
ARG FEATURES=jemalloc
COPY .cargo .cargo
COPY --from=recipe /build/recipe.json recipe.json
RUN cargo chef cook --locked --release --no-default-features --features "$FEATURES" --package video-call-server --recipe-path recipe.json
COPY . .
# What `video-call-server --version` says; there is no .git in here. Railway says it by itself.
ARG GIT_REVISION
ARG RAILWAY_GIT_COMMIT_SHA
RUN cargo build --locked --release --no-default-features --features "$FEATURES" --package video-call-server --bin video-call-server

# ---- what runs ----

# glibc, libgcc, certificates and a user of its own (65532), of the same Debian that the build is from.
FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=web /web/dist /srv/web
COPY --from=build /build/target/release/video-call-server /usr/local/bin/video-call-server
ENV APP_ENV=production \
    PORT=3001 \
    WEB_ROOT=/srv/web
EXPOSE 3001
USER 65532:65532
# Calls are ended and history is written within SHUTDOWN_TIMEOUT (20 s): give it more before it is killed, `docker stop --time 30`.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD ["/usr/local/bin/video-call-server", "health"]
ENTRYPOINT ["/usr/local/bin/video-call-server"]
CMD ["serve"]

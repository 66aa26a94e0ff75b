# The sidecar in an image without a shell: `docker build -t onceward:0.1.0 .`
#
# The same sources give the same binary, byte for byte: the toolchain and the distribution are named,
# Cargo.lock holds every dependency, and no path or time of the build gets in. The bases are pinned by
# tag; give digests of your own mirror for more: --build-arg RUST=rust@sha256:...
ARG RUST=rust:1.95.0-slim-bookworm
ARG BASE=gcr.io/distroless/cc-debian12:nonroot

# hadolint ignore=DL3006
FROM ${RUST} AS build
# Seconds since 1970: the time of the last commit, where the file's time should be told.
ARG SOURCE_DATE_EPOCH=0
WORKDIR /build
COPY . .
RUN CARGO_INCREMENTAL=0 RUSTFLAGS="--remap-path-prefix=$PWD=/onceward --remap-path-prefix=$CARGO_HOME=/cargo" scripts/release
RUN mkdir out && cp target/release/onceward out/ && touch --date="@$SOURCE_DATE_EPOCH" out/onceward

# hadolint ignore=DL3006
FROM ${BASE}
COPY --from=build /build/out/onceward /usr/local/bin/onceward
# By number, so that Kubernetes can see that it is not root.
USER 65532:65532
EXPOSE 8080 9090
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s CMD ["onceward", "health"]
ENTRYPOINT ["/usr/local/bin/onceward"]

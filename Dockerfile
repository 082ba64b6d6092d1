# The images of Overtake:
#
#   docker build -t overtake:1.0.0 .                        the program, alone in its image
#   docker build -t overtake-marks:1.0.0 --target marks .   the same, for socket marks and priorities above 6
#   docker build -t overtake-init:1.0.0 --target init .     redirects a pod's connections to its sidecar
#
# It takes BuildKit, which is what docker build and podman build use. Another platform
# (--platform linux/arm64) is cross-compiled, not emulated.
#
# Tags are exact. Who wants builds that no registry can change adds the digests, as
# docker buildx imagetools inspect golang:1.26.8-bookworm prints them: NAME:TAG@sha256:...

FROM --platform=$BUILDPLATFORM golang:1.26.8-bookworm AS build
WORKDIR /src
ENV CGO_ENABLED=0 GOTOOLCHAIN=local
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod \
    go mod download
COPY . .
ARG TARGETOS TARGETARCH
# What overtake version prints: the repository is not in the build's context.
ARG VERSION="" COMMIT="" DATE=""
RUN --mount=type=cache,target=/go/pkg/mod \
    --mount=type=cache,target=/root/.cache/go-build \
    GOOS=$TARGETOS GOARCH=$TARGETARCH go build -trimpath -o image/usr/local/bin/overtake \
    -ldflags "-s -w -X main.stampedVersion=$VERSION -X main.stampedCommit=$COMMIT -X main.stampedDate=$DATE" .
RUN mkdir data \
    && install -D -m 644 /etc/ssl/certs/ca-certificates.crt image/etc/ssl/certs/ca-certificates.crt \
    && install -D -m 644 LICENSE image/usr/share/licenses/overtake/LICENSE

# A file capability is the only way in which a process that is not root gets one in
# Kubernetes, which knows no ambient ones.
FROM build AS capable
RUN --mount=type=cache,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,target=/var/lib/apt,sharing=locked \
    apt-get update && apt-get install -y --no-install-recommends libcap2-bin
RUN setcap cap_net_admin+ep image/usr/local/bin/overtake

FROM debian:12.14-slim AS init
RUN --mount=type=cache,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,target=/var/lib/apt,sharing=locked \
    apt-get update && apt-get install -y --no-install-recommends iptables
COPY --chmod=755 charts/overtake/files/redirect.sh /usr/local/bin/overtake-redirect
LABEL org.opencontainers.image.title="overtake-init" \
      org.opencontainers.image.description="Redirects a pod's connections to its Overtake sidecar, and ends" \
      org.opencontainers.image.licenses="Apache-2.0"
# Root, as changing a network namespace's tables takes it, with NET_ADMIN and NET_RAW
# and nothing else.
USER 0:0
ENTRYPOINT ["/usr/local/bin/overtake-redirect"]

# The program needs no other file than these, writes to its data folder only, and runs
# on a root file system that is read-only.
FROM scratch AS base
COPY --from=build --chown=65532:65532 /src/data /var/lib/overtake
WORKDIR /var/lib/overtake
VOLUME ["/var/lib/overtake"]
EXPOSE 8080 9901
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/overtake"]
CMD ["gateway", "-c", "/etc/overtake/overtake.yaml"]
ARG VERSION="" COMMIT="" DATE=""
LABEL org.opencontainers.image.title="overtake" \
      org.opencontainers.image.description="A message-queue-aware priority gateway" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$COMMIT" \
      org.opencontainers.image.created="$DATE"

# The program with CAP_NET_ADMIN, see docs/kernel.md. The container must be given it
# (--cap-add NET_ADMIN) and may not have no-new-privileges: else the program does not
# start.
FROM base AS marks
COPY --from=capable /src/image/ /

# The last target is the one that is built when none is named.
FROM base AS overtake
COPY --from=build /src/image/ /

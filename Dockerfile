# syntax=docker/dockerfile:1

# Build a static binary; nothing of the toolchain reaches the second stage.
FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=""
RUN CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags "-s -w -X main.release=${VERSION}" -o /customer-gateway ./cmd/customer-gateway \
    && mkdir /data

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /customer-gateway /customer-gateway
# Not root, and nothing but the ledger's directory is writable: the configuration is
# mounted. Keep /data on a volume, or what is accepted goes with the container.
COPY --from=build --chown=65532:65532 /data /data
ENV GATEWAY_LEDGER__DSN=/data/gateway.db
VOLUME /data
USER 65532:65532
EXPOSE 8080
HEALTHCHECK --interval=15s --timeout=4s --start-period=5s CMD ["/customer-gateway", "health"]
ENTRYPOINT ["/customer-gateway"]
CMD ["serve", "--config", "/etc/customer-gateway/config.yaml"]

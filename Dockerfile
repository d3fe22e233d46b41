# syntax=docker/dockerfile:1
# Builds the one binary, then ships it alone on a slim Debian.
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
# Which commit it is: the sources come without git.
ARG COMMIT=unknown
# What was compiled the last time is kept beside the layers: a change compiles what it touches.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    ANAMNESIS_COMMIT=$COMMIT cargo build --profile dist --locked --package anamnesis \
    && cp target/dist/anamnesis /anamnesis

FROM debian:bookworm-slim
ARG COMMIT=unknown
LABEL org.opencontainers.image.title="Anamnesis" \
      org.opencontainers.image.description="Event-sourced backend for clinical trials" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.revision="$COMMIT"
RUN useradd --system --uid 10001 --create-home --home-dir /var/lib/anamnesis anamnesis \
    && install --directory --owner=anamnesis --group=anamnesis --mode=0700 /var/lib/anamnesis/anamnesis-data
# For TLS to a PostgreSQL or NATS elsewhere.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /anamnesis /usr/local/bin/anamnesis
USER anamnesis
WORKDIR /var/lib/anamnesis
ENV ANAMNESIS_LISTEN=0.0.0.0:8080
EXPOSE 8080 8081 9464
# The embedded engine's data; roles over PostgreSQL keep nothing here.
VOLUME /var/lib/anamnesis/anamnesis-data
# The slim image has bash and no curl.
HEALTHCHECK --interval=10s --timeout=4s --start-period=30s --retries=3 \
    CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/8080 && printf 'GET /readyz HTTP/1.0\\r\\nHost: localhost\\r\\n\\r\\n' >&3 && read -r _ status _ <&3 && [ $status = 200 ]"]
ENTRYPOINT ["/usr/local/bin/anamnesis"]
CMD ["serve"]

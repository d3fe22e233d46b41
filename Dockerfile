# syntax=docker/dockerfile:1
# Builds the one binary, then ships it alone: with the four libraries that it is linked to, and nothing that one could run besides.
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
# Which commit it is: the sources come without git.
ARG COMMIT=unknown
# What was compiled the last time is kept beside the layers: a change compiles what it touches.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    ANAMNESIS_COMMIT=$COMMIT cargo build --profile dist --locked --package anamnesis \
    && install -D target/dist/anamnesis /root-of/usr/local/bin/anamnesis
# The libraries by the names under which the program asks for them, what reaches TLS elsewhere, and a folder for the embedded engine.
RUN ldd /root-of/usr/local/bin/anamnesis | grep -o '/[^ ]*' | while read -r library; do \
        install -D "$library" "/root-of$library"; \
    done \
    && install -D /etc/ssl/certs/ca-certificates.crt /root-of/etc/ssl/certs/ca-certificates.crt \
    && install --directory --mode=0700 /home-of/anamnesis/anamnesis-data

FROM scratch
ARG COMMIT=unknown
LABEL org.opencontainers.image.title="Anamnesis" \
      org.opencontainers.image.description="Event-sourced backend for clinical trials" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.revision="$COMMIT"
COPY --from=build /root-of/ /
COPY --from=build --chown=10001:10001 /home-of/ /var/lib/
USER 10001:10001
WORKDIR /var/lib/anamnesis
ENV ANAMNESIS_LISTEN=0.0.0.0:8080 PATH=/usr/local/bin HOME=/var/lib/anamnesis
EXPOSE 8080 8081 9464
# The embedded engine's data; roles over PostgreSQL keep nothing here.
VOLUME /var/lib/anamnesis/anamnesis-data
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 CMD ["anamnesis", "ready"]
ENTRYPOINT ["/usr/local/bin/anamnesis"]
CMD ["serve"]

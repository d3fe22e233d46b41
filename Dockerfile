# Builds the one binary, then ships it alone on a slim Debian.
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
RUN cargo build --profile dist --locked --package anamnesis

FROM debian:bookworm-slim
RUN useradd --system --uid 10001 --create-home --home-dir /var/lib/anamnesis anamnesis
# For TLS to a PostgreSQL or NATS elsewhere.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /src/target/dist/anamnesis /usr/local/bin/anamnesis
USER anamnesis
WORKDIR /var/lib/anamnesis
EXPOSE 8080
ENTRYPOINT ["/usr/local/bin/anamnesis"]
CMD ["serve", "--listen", "0.0.0.0:8080"]

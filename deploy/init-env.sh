#!/bin/sh
# Makes the .env of docker-compose.yml: a key that signs tokens, one that signs published events, the master key that wraps all
# others, a password for the database's administrator and each of its roles, and keys of those who speak to NATS (nkeys). What stands there already is kept, so that running it again changes nothing: the database keeps the
# passwords that it was made with, tokens hold as long as their key is the same, and without the master key nothing that is
# kept under it can be used.
#
#   sh deploy/init-env.sh [FILE]     by default .env beside docker-compose.yml
set -eu
umask 077
file=${1:-$(dirname "$0")/../.env}

# 32 random bytes as hexadecimal digits, by what every system has.
random() { od -An -N32 -tx1 /dev/urandom | tr -d ' \n'; }

[ -e "$file" ] || : > "$file"
chmod 600 "$file"
for name in ANAMNESIS_SIGNING_KEY ANAMNESIS_MASTER_KEY POSTGRES_PASSWORD OWNER_PASSWORD COMMANDS_PASSWORD QUERIES_PASSWORD VIEWS_PASSWORD \
    SAGAS_PASSWORD RELAY_PASSWORD OUTBOUND_PASSWORD; do
    if grep -q "^$name=..*" "$file"; then
        echo "$name: kept"
    else
        printf '%s=%s\n' "$name" "$(random)" >> "$file"
        echo "$name: made"
    fi
done
# NATS's form of a key: prefix, 32 bytes and their CRC-16/XMODEM (low byte first) in base32.
# https://docs.nats.io/running-a-nats-service/configuration/securing_nats/auth_intro/nkey_auth
nkey() {
    crc=$(printf '%s' "$1" | fold -w2 | awk '
        BEGIN { digits = "0123456789abcdef" }
        { byte = (index(digits, substr($0, 1, 1)) - 1) * 16 + index(digits, substr($0, 2, 1)) - 1
          for (bit = 128; bit >= 1; bit /= 2) {
              top = (crc >= 32768) != (int(byte / bit) % 2 == 1)
              crc = (crc * 2) % 65536
              if (top) crc = xor16(crc)
          } }
        END { printf "%02x%02x", crc % 256, int(crc / 256) }
        # With 0x1021, bit by bit: not every awk has xor.
        function xor16(value) {
            value = flip(value, 4096); value = flip(value, 32); return flip(value, 1)
        }
        function flip(value, bit) { return int(value / bit) % 2 == 1 ? value - bit : value + bit }')
    printf '%s%s\n' "$1" "$crc" | bytes | base32 | tr -d '=\n'
}

# Hexadecimal digits as bytes.
bytes() { fold -w2 | while read -r byte; do printf '%b' "\\0$(printf '%o' "0x$byte")"; done; }
# The public key of Ed25519 (RFC 8032), 32 bytes: OpenSSL takes the seed as PKCS #8 (RFC 8410).
public() {
    printf '302e020100300506032b657004220420%s\n' "$1" | bytes | openssl pkey -inform DER -pubout -outform DER | tail -c 32
}

# The key that signs published events is the relay's; its public half, as JWKs have it, is shown to subscribers.
if grep -q "^ANAMNESIS_EVENT_SIGNING_KEY=..*" "$file"; then
    echo "ANAMNESIS_EVENT_SIGNING_KEY, EVENT_PUBLIC_KEY: kept"
else
    seed=$(random)
    printf 'ANAMNESIS_EVENT_SIGNING_KEY=%s\nEVENT_PUBLIC_KEY=%s\n' "$seed" \
        "$(public "$seed" | base64 | tr '+/' '-_' | tr -d '=\n')" >> "$file"
    echo "ANAMNESIS_EVENT_SIGNING_KEY, EVENT_PUBLIC_KEY: made"
fi

for name in NATS_RELAY NATS_LISTENER; do
    if grep -q "^${name}_NKEY=..*" "$file"; then
        echo "${name}_NKEY, ${name}_SEED: kept"
    else
        seed=$(random)
        # A user's keys: 0xa0 for the public one; of a seed (0x90) it is pushed behind the first five bits.
        printf '%s_SEED=%s\n%s_NKEY=%s\n' "$name" "$(nkey "9500$seed")" "$name" "$(nkey "a0$(public "$seed" | od -An -v -tx1 | tr -d ' \n')")" >> "$file"
        echo "${name}_NKEY, ${name}_SEED: made"
    fi
done
echo "in $file. Keep a copy in a safe place: without its keys no token holds and nothing starts, without the passwords the database is shut."

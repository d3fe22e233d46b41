#!/bin/sh
# Makes the .env of docker-compose.yml: a key that signs tokens, the master key that wraps all others, and a password for the database's administrator and
# each of its roles. What stands there already is kept, so that running it again changes nothing: the database keeps the
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
    SAGAS_PASSWORD RELAY_PASSWORD; do
    if grep -q "^$name=..*" "$file"; then
        echo "$name: kept"
    else
        printf '%s=%s\n' "$name" "$(random)" >> "$file"
        echo "$name: made"
    fi
done
echo "in $file. Keep a copy in a safe place: without its keys no token holds and nothing starts, without the passwords the database is shut."

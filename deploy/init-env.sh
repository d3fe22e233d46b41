#!/bin/sh
# Makes the .env of docker-compose.yml: a key that signs tokens and a password of the database. What stands there
# already is kept, so that running it again changes nothing: the database keeps the password that it was made with,
# and tokens hold as long as the key is the same.
#
#   sh deploy/init-env.sh [FILE]     by default .env beside docker-compose.yml
set -eu
umask 077
file=${1:-$(dirname "$0")/../.env}

# 32 random bytes as hexadecimal digits, by what every system has.
random() { od -An -N32 -tx1 /dev/urandom | tr -d ' \n'; }

[ -e "$file" ] || : > "$file"
chmod 600 "$file"
for name in ANAMNESIS_JWT_KEY POSTGRES_PASSWORD; do
    if grep -q "^$name=..*" "$file"; then
        echo "$name: kept"
    else
        printf '%s=%s\n' "$name" "$(random)" >> "$file"
        echo "$name: made"
    fi
done
echo "in $file. Keep a copy in a safe place: without the key no token holds, without the password the database is shut."

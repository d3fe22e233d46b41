#!/bin/sh
# Gives the roles of roles.sql the passwords of <ROLE>_PASSWORD, such as OWNER_PASSWORD: hexadecimal digits, as
# deploy/init-env.sh draws them. The postgres image runs it when the database is made.
statements=$(
    for role in owner commands queries views sagas relay outbound; do
        eval "password=\$$(echo "$role" | tr '[:lower:]' '[:upper:]')_PASSWORD"
        case $password in
            '' | *[!0-9a-f]*) echo "the password of anamnesis_$role is missing or not hexadecimal" >&2; exit 1 ;;
        esac
        echo "ALTER ROLE anamnesis_$role PASSWORD '$password';"
    done
) || exit 1
# By its input: what stands in arguments others can read.
echo "$statements" |
    psql --no-psqlrc --quiet --set=ON_ERROR_STOP=1 --username="${POSTGRES_USER:-postgres}" --dbname="${POSTGRES_DB:-anamnesis}"

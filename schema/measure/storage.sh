#!/usr/bin/env bash
# What the storage options of the table cost and save: the figures of docs/schema.md.
#
#   schema/measure/storage.sh postgres://postgres@127.0.0.1:5432/scratch [seconds per run]
#
# Each run reserves and finishes keys as the store does, from 64 connections, on a table of its own. Between the two a
# handler runs for 20 ms: the page that the key was put into has filled up by then. Sizes, the share of HOT updates and
# the WAL written are what counts; keys per second depend on the machine.
set -euo pipefail
url=${1:?a database URL}
seconds=${2:-10}
here=$(mktemp -d)
trap 'rm -rf "$here"' EXIT

sql() { psql --no-psqlrc --quiet --tuples-only --no-align --field-separator ' ' --set ON_ERROR_STOP=1 "$url" "$@"; }

table() { # options
    sql <<SQL
SET client_min_messages = warning;
DROP TABLE IF EXISTS measured;
CREATE TABLE measured (
    principal_fingerprint TEXT NOT NULL,
    key TEXT NOT NULL,
    request_hash BYTEA NOT NULL,
    reservation_id UUID NOT NULL,
    response_status INT,
    response_headers BYTEA,
    response_body BYTEA,
    created_at TIMESTAMPTZ NOT NULL DEFAULT NOW(),
    expires_at TIMESTAMPTZ NOT NULL,
    lease_expires_at TIMESTAMPTZ,
    attempt INT,
    PRIMARY KEY (principal_fingerprint, key)
) $1;
CREATE INDEX measured_expires_idx ON measured (expires_at);
SQL
}

script() { # body bytes, renewals
    # Bodies are random: compression would flatter the table.
    cat > "$here/keys.sql" <<SQL
\set principal random(1, 1000)
\set a random(1, 9000000000000000)
\set b random(1, 9000000000000000)
INSERT INTO measured AS held (principal_fingerprint, key, request_hash, reservation_id, created_at, lease_expires_at, expires_at, attempt)
SELECT encode(sha256(convert_to(:principal::text, 'UTF8')), 'hex'), :a::text || '-' || :b::text,
       sha256(convert_to(:a::text, 'UTF8')), gen_random_uuid(), NOW(), NOW() + INTERVAL '30 seconds', NOW() + INTERVAL '1 day', 1
ON CONFLICT (principal_fingerprint, key) DO UPDATE SET attempt = 2 WHERE held.expires_at <= NOW();
\\sleep 20 ms
SQL
    for _ in $(seq 1 "$2"); do cat >> "$here/keys.sql" <<SQL
UPDATE measured SET lease_expires_at = NOW() + INTERVAL '30 seconds', expires_at = GREATEST(expires_at, NOW())
WHERE principal_fingerprint = encode(sha256(convert_to(:principal::text, 'UTF8')), 'hex') AND key = :a::text || '-' || :b::text;
SQL
    done
    cat >> "$here/keys.sql" <<SQL
UPDATE measured SET response_status = 201, response_headers = decode(repeat('ab', 60), 'hex'),
    response_body = (SELECT decode(string_agg(md5(random()::text), ''), 'hex') FROM generate_series(1, $1 / 16))
WHERE principal_fingerprint = encode(sha256(convert_to(:principal::text, 'UTF8')), 'hex') AND key = :a::text || '-' || :b::text;
SQL
}

echo "fillfactor body keys/s hot% heap-bytes/key toast-bytes/key index-bytes/key wal-bytes/key"
for body in 0 304 1008 1504; do
    script "$body" 0
    for fillfactor in 100 90 80 70 60 50; do
        table "WITH (fillfactor = $fillfactor)"
        sql -c 'CHECKPOINT' -c 'SELECT pg_stat_reset()' > "$here/ignored"
        before=$(sql -c 'SELECT pg_current_wal_lsn()')
        rate=$(pgbench --no-vacuum --client 64 --jobs 2 --protocol prepared --time "$seconds" --file "$here/keys.sql" "$url" 2>/dev/null |
            sed -n 's/^tps = \([0-9]*\).*/\1/p')
        after=$(sql -c 'SELECT pg_current_wal_lsn()')
        sleep 1.5
        sql -v body="$body" -v f="$fillfactor" -v rate="$rate" -v b="$before" -v a="$after" <<'SQL'
SELECT :f, :body, :rate, round(100.0 * n_tup_hot_upd / n_tup_upd, 1),
       pg_relation_size('measured') / n_tup_ins,
       coalesce(pg_total_relation_size(nullif(c.reltoastrelid, 0)), 0) / n_tup_ins,
       pg_indexes_size('measured') / n_tup_ins,
       round(pg_wal_lsn_diff(:'a', :'b') / n_tup_ins)
FROM pg_stat_user_tables AS s JOIN pg_class AS c ON c.oid = s.relid WHERE s.relname = 'measured';
SQL
    done
done

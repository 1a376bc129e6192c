#!/usr/bin/env bash
# What autovacuum makes of the table at its steady size: the other figures of docs/schema.md.
#
#   schema/measure/churn.sh postgres://postgres@127.0.0.1:5432/scratch [seconds per run]
#
# 200,000 rows live for 100 seconds each; 2,000 a second come, are finished after 20 ms, and are swept when they expire.
# That is a day's retention in small: what matters is how many rows die between two looks of autovacuum, as a share of
# the table. Needs a server of its own, with `autovacuum_naptime = 1s`.
set -euo pipefail
url=${1:?a database URL}
seconds=${2:-200}
here=$(mktemp -d)
trap 'rm -rf "$here"' EXIT

sql() { psql --no-psqlrc --quiet --tuples-only --no-align --field-separator ' ' --set ON_ERROR_STOP=1 "$url" "$@"; }

cat > "$here/keys.sql" <<'SQL'
\set a random(1, 9000000000000000)
\set b random(1, 9000000000000000)
INSERT INTO churned (principal_fingerprint, key, request_hash, reservation_id, lease_expires_at, expires_at, attempt)
VALUES (encode(sha256(convert_to((:a::bigint % 1000)::text, 'UTF8')), 'hex'), :a::text || '-' || :b::text,
        sha256(convert_to(:a::text, 'UTF8')), gen_random_uuid(), NOW() + INTERVAL '30 seconds', NOW() + INTERVAL '100 seconds', 1);
\sleep 20 ms
UPDATE churned SET response_status = 201, response_headers = decode(repeat('ab', 60), 'hex'),
    response_body = (SELECT decode(string_agg(md5(random()::text), ''), 'hex') FROM generate_series(1, 19))
WHERE principal_fingerprint = encode(sha256(convert_to((:a::bigint % 1000)::text, 'UTF8')), 'hex') AND key = :a::text || '-' || :b::text;
SQL
cat > "$here/sweep.sql" <<'SQL'
DELETE FROM churned WHERE expires_at + INTERVAL '0' <= NOW() AND ctid = ANY (ARRAY(
    SELECT ctid FROM churned WHERE expires_at <= NOW() ORDER BY expires_at LIMIT 1000 FOR UPDATE SKIP LOCKED));
\sleep 100 ms
SQL

echo "options heap-MB index-MB peak-MB hot% vacuums live dead wal-bytes/key latency-ms"
while read -r options; do
    sql <<SQL
SET client_min_messages = warning;
DROP TABLE IF EXISTS churned;
CREATE TABLE churned (
    principal_fingerprint TEXT NOT NULL, key TEXT NOT NULL, request_hash BYTEA NOT NULL, reservation_id UUID NOT NULL,
    response_status INT, response_headers BYTEA, response_body BYTEA, created_at TIMESTAMPTZ NOT NULL DEFAULT NOW(),
    expires_at TIMESTAMPTZ NOT NULL, lease_expires_at TIMESTAMPTZ, attempt INT, PRIMARY KEY (principal_fingerprint, key)
) $options;
CREATE INDEX churned_expires_idx ON churned (expires_at);
INSERT INTO churned
SELECT encode(sha256(convert_to((n % 1000)::text, 'UTF8')), 'hex'), (random() * 9e15)::bigint::text || '-' || (random() * 9e15)::bigint::text,
       sha256(convert_to(n::text, 'UTF8')), gen_random_uuid(), 201, decode(repeat('ab', 60), 'hex'),
       (SELECT decode(string_agg(md5(part::text || n::text), ''), 'hex') FROM generate_series(1, 19) AS part),
       NOW(), NOW() + n * INTERVAL '0.5 ms', NULL, 1
FROM generate_series(1, 200000) AS n;
ANALYZE churned;
SQL
    sql -c 'CHECKPOINT' -c 'SELECT pg_stat_reset()' > "$here/ignored"
    before=$(sql -c 'SELECT pg_current_wal_lsn()')
    pgbench --no-vacuum --client 1 --protocol prepared --time "$seconds" --file "$here/sweep.sql" "$url" > "$here/swept" 2>&1 &
    sweeper=$!
    (while kill -0 "$sweeper" 2> "$here/ignored"; do sql -c "SELECT pg_total_relation_size('churned')"; sleep 2; done > "$here/sizes") &
    latency=$(pgbench --no-vacuum --client 64 --jobs 2 --protocol prepared --rate 2000 --time "$seconds" --file "$here/keys.sql" "$url" 2>/dev/null |
        sed -n 's/^latency average = \([0-9.]*\).*/\1/p')
    wait
    after=$(sql -c 'SELECT pg_current_wal_lsn()')
    sleep 1
    peak=$(sort -n "$here/sizes" | tail -1)
    sql -v b="$before" -v a="$after" -v l="$latency" -v p="$peak" -v o="${options:-none}" <<'SQL'
SELECT quote_literal(:'o'), pg_relation_size('churned') / 1000000, pg_indexes_size('churned') / 1000000, :p / 1000000,
       round(100.0 * n_tup_hot_upd / n_tup_upd, 1), autovacuum_count, n_live_tup, n_dead_tup,
       round(pg_wal_lsn_diff(:'a', :'b') / n_tup_ins), :l
FROM pg_stat_user_tables WHERE relname = 'churned';
SQL
done <<'LIST'

WITH (fillfactor = 90)
WITH (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_insert_scale_factor = 0.05)
WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.02)
WITH (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.02)
WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0)
LIST

#!/usr/bin/env bash
#
# How long questions to the stored windows take (bench/query_bench.sql says which).
#
#   bench/query_bench.sh
#
# Starts a throw-away PostgreSQL in a directory of its own (never as root: see
# scripts/as_postgres.sh), fills it, asks, and leaves nothing behind. The
# extension must be installed.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
dir=$(mktemp -d "${TMPDIR:-/tmp}/topk-bench.XXXXXX")
PATH=$("${PG_CONFIG:-pg_config}" --bindir):$PATH
export PGHOST=$dir PGPORT=${PGPORT:-5432} PGDATABASE=postgres
unset PGUSER

stop()
{
    pg_ctl -D "$dir/data" -m immediate -w stop >/dev/null 2>&1 || true
    rm -rf "$dir"
}
trap stop EXIT

initdb -D "$dir/data" -A trust -E UTF8 --locale=C.UTF-8 >"$dir/initdb.log"
cat >>"$dir/data/postgresql.conf" <<SETTINGS
shared_preload_libraries = 'topk_bridge'
topk.enabled = off
listen_addresses = ''
unix_socket_directories = '$dir'
shared_buffers = '512MB'
max_wal_size = '4GB'
fsync = off
autovacuum = off
SETTINGS
pg_ctl -D "$dir/data" -l "$dir/log" -w start >/dev/null
psql -Xq -f "$here/query_bench.sql"

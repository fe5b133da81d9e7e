# shellcheck shell=bash
#
# For benches to source: a throw-away PostgreSQL in a directory of its own, which
# leaves nothing behind (never as root: see scripts/as_postgres.sh).
#
#   start_cluster <<SETTINGS ...     further lines for postgresql.conf
#
# Afterwards psql finds it by PGHOST and the like.
dir=$(mktemp -d "${TMPDIR:-/tmp}/topk-bench.XXXXXX")
PATH=$("${PG_CONFIG:-pg_config}" --bindir):$PATH
export PGHOST=$dir PGPORT=${PGPORT:-5432} PGDATABASE=postgres
unset PGUSER

stop_cluster()
{
    pg_ctl -D "$dir/data" -m immediate -w stop >/dev/null 2>&1 || true
    rm -rf "$dir"
}
trap stop_cluster EXIT

start_cluster()
{
    initdb -D "$dir/data" -A trust -E UTF8 --locale=C.UTF-8 >"$dir/initdb.log"
    {
        echo "listen_addresses = ''"
        echo "unix_socket_directories = '$dir'"
        echo "fsync = off"
        echo "autovacuum = off"
        cat
    } >>"$dir/data/postgresql.conf"
    pg_ctl -D "$dir/data" -l "$dir/log" -w start >/dev/null
}

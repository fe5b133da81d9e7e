#!/usr/bin/env bash
#
# A throw-away PostgreSQL, Apache Kafka and Redis to try things on.
#
#   scripts/dev.sh start     start them, print how to reach them, and leave them running
#   scripts/dev.sh status    print it again
#   scripts/dev.sh stop      stop them and remove all that they hold
#
# The extension must be installed (make install).  Everything is under .dev in
# the tree; for root, who cannot run PostgreSQL, .dev is a link to a directory
# for temporary files that belongs to user postgres, with a copy of the scripts
# in it, because that user may not be able to enter root's tree.
set -euo pipefail

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
link=$top/.dev
PATH=$("${PG_CONFIG:-pg_config}" --bindir):$PATH
export PATH

die()
{
    echo "dev: $*" >&2
    exit 1
}

# Run a command as the owner of the servers.
as_owner()
{
    if [ "$(id -u)" -ne 0 ]
    then
        "$@"
        return
    fi
    setpriv --reuid postgres --regid "$(id -g postgres)" --init-groups env HOME="$link" USER=postgres LOGNAME=postgres "$@"
}

make_directory()
{
    local dir

    if [ "$(id -u)" -ne 0 ]
    then
        mkdir "$link"
        tree=$top
        return
    fi
    dir=$(mktemp -d "${TMPDIR:-/tmp}/topk-dev.XXXXXX")
    ln -s "$dir" "$link"
    tree=$dir/tree
    mkdir "$tree"
    tar -C "$top" -cf - scripts test/perl test/kafka build | tar -C "$tree" -xf -
    chown -R postgres "$dir"
}

show()
{
    local KAFKA='' PGPORT='' REDIS_PORT=''

    # shellcheck disable=SC1091
    . "$link/servers"
    cat <<END

  PostgreSQL  port $PGPORT      psql -h 127.0.0.1 -p $PGPORT -U postgres
  Redis       port $REDIS_PORT      redis-cli -p $REDIS_PORT
  Kafka       $KAFKA  kcat -b $KAFKA -t events -C

  CREATE SERVER k FOREIGN DATA WRAPPER topk_kafka OPTIONS (bootstrap_servers '$KAFKA');
  CREATE SERVER r FOREIGN DATA WRAPPER topk_redis OPTIONS (host '127.0.0.1', port '$REDIS_PORT');

  events:     build/topk_gen --brokers $KAFKA --topic events --rate 1000 --seconds 60
  logs:       $link/postgresql.log, $link/kafka/node1/log, $link/redis/redis.log
  the end:    make dev-stop

END
}

start()
{
    if [ -e "$link/servers" ]
    then
        echo "==> already running" >&2
        show
        return
    fi
    if [ -L "$link" ] || [ -e "$link" ]
    then
        stop
    fi
    [ -x "$top/build/kafka_admin" ] || die "build/kafka_admin is missing: run make tools"
    "$top/scripts/kafka-jars.sh"
    make_directory
    if ! (cd "$link/" && as_owner perl "$tree/scripts/dev_servers.pl" "$(readlink -f "$link")")
    then
        stop
        die "the servers did not start"
    fi
    show
}

# Only a process that names our directory is ours: ids are used again.
end_process()
{
    local dir

    dir=$(readlink -f "$link")
    if [ -n "$1" ] && { [ "$(readlink "/proc/$1/cwd")" = "$dir" ] || [[ $(readlink "/proc/$1/cwd") == "$dir/"* ]]; }
    then
        kill -KILL "$1"
    fi
}

stop()
{
    local KAFKA_PID='' REDIS_PID='' dir

    [ -e "$link" ] || [ -L "$link" ] || return 0
    dir=$(readlink -m "$link")
    # shellcheck disable=SC1091
    [ ! -e "$link/servers" ] || . "$link/servers"
    [ ! -e "$link/postgresql/postmaster.pid" ] || as_owner pg_ctl -D "$dir/postgresql" -s -w -m immediate stop || true
    end_process "$KAFKA_PID" 2>/dev/null || true
    end_process "$REDIS_PID" 2>/dev/null || true
    rm -rf "$dir"
    rm -f "$link"
}

case ${1:-} in
    start) start ;;
    status) [ -e "$link/servers" ] || die "nothing runs: make dev"; show ;;
    stop) stop; echo "==> stopped" >&2 ;;
    *) die "start, status or stop?" ;;
esac

#!/usr/bin/env bash
#
# The regression tests of the type, on a PostgreSQL that runs under valgrind.
#
#   scripts/valgrind.sh [TEST]...
#
# TEST is a name in test/sql without its suffix; without any, all of type_*.  The
# extension must be installed.  A throw-away server is made; every process of it
# is watched by memcheck, and what it finds goes to tmp_check/valgrind, a file
# for each process.  PostgreSQL leaves memory to the end of the process on
# purpose, and writes padding bytes that nobody has set, so leaks do not count, and
# an error counts only if topk.so is in one of its stacks: those are shown, and
# fail the run, as does a test whose output is not what is expected.
#
# This takes several minutes.  PostgreSQL's allocator hands out pieces of larger
# blocks, so an overflow from one piece into the next is not seen here; the unit
# tests and fuzzers, under the address sanitizer, see those of the sketch library.
set -euo pipefail

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
pg_config=${PG_CONFIG:-pg_config}

if [ "$(id -u)" -eq 0 ]
then
    exec "$top/scripts/as_postgres.sh" --back tmp_check/valgrind --back results --back regression.diffs scripts/valgrind.sh "$@"
fi

cd "$top"
bindir=$("$pg_config" --bindir)
pg_regress=$(dirname "$("$pg_config" --pgxs)")/../test/regress/pg_regress
dir=$top/tmp_check/valgrind
socket=$(mktemp -d "${TMPDIR:-/tmp}/topk-valgrind.XXXXXX")
port=65433
postmaster=

# shellcheck disable=SC2329
clean_up()
{
    if [ -n "$postmaster" ]
    then
        kill -INT "$postmaster" 2>/dev/null || true
        wait "$postmaster" || true
    fi
    rm -rf "$socket" "$dir/data"
}
trap clean_up EXIT

make_server()
{
    rm -rf "$dir"
    mkdir -p "$dir"
    "$bindir/initdb" -D "$dir/data" -A trust -N -E UTF8 --no-locale >"$dir/initdb.log"
    cat "$top/test/regress.conf" - >>"$dir/data/postgresql.conf" <<END
listen_addresses = ''
unix_socket_directories = '$socket'
port = $port
jit = off
END
}

# Memcheck's findings as XML, which names the object of each stack frame.
start_server()
{
    valgrind --quiet --trace-children=yes --track-origins=yes --num-callers=40 --xml=yes --xml-file="$dir/%p.xml" "$bindir/postgres" -D "$dir/data" >"$dir/server.log" 2>&1 &
    postmaster=$!
    for _ in $(seq 300)
    do
        ! "$bindir/pg_isready" -q -h "$socket" -p "$port" || return 0
        kill -0 "$postmaster" 2>/dev/null || break
        sleep 0.5
    done
    cat "$dir/server.log" >&2
    echo "valgrind: the server did not start" >&2
    exit 1
}

stop_server()
{
    kill -INT "$postmaster"
    wait "$postmaster" || true
    postmaster=
}

# Show each error with topk.so in it, once, as "kind: function (file:line) < caller ..."; fails if there are any.
report()
{
    perl -0777 -ne '
        while (m{<error>(.*?)</error>}gs)
        {
            my ($error, $frames) = ($1, "");
            next if $error =~ m{<kind>Leak_};
            $all++;
            next unless $error =~ m{<obj>[^<]*/topk\.so</obj>};
            my ($kind) = $error =~ m{<kind>(.*?)</kind>};
            while ($error =~ m{<frame>(.*?)</frame>}gs)
            {
                my %frame = $1 =~ m{<(fn|file|line|obj)>(.*?)</\1>}g;
                $frames .= "    " . ($frame{fn} // "?") . " (" . ($frame{file} ? "$frame{file}:$frame{line}" : $frame{obj} // "?") . ")\n";
            }
            $seen{"$kind:\n$frames"}++;
        }
        $processes++;
        END
        {
            print "$_\n" for sort keys %seen;
            printf "valgrind: %d processes, %d errors, %d of them with topk.so in the stack\n", $processes, $all, scalar keys %seen;
            exit(keys %seen || $processes < 5);
        }' "$dir"/*.xml
}

tests=("$@")
[ $# -gt 0 ] || mapfile -t tests < <(cd test/sql && printf '%s\n' type_*.sql | sed 's/\.sql$//')
make_server
start_server
status=0
"$pg_regress" --bindir="$bindir" --host="$socket" --port="$port" --encoding=UTF8 --no-locale --inputdir=test \
    --dlpath="$("$pg_config" --pkglibdir)" --dbname=topk_valgrind "${tests[@]}" || status=$?
stop_server
[ -s "$top/regression.diffs" ] && head -n 100 "$top/regression.diffs" >&2
report || status=1
exit "$status"

#!/usr/bin/env bash
#
# Run TAP tests: scripts/tap.sh [PROVE-OPTION]... TEST.pl...
#
# What PGXS would do for `prove`, without a server of its own: PostgreSQL's test
# modules and ours in Perl's path, pg_regress (which they use to set up
# authentication), and tmp_check in the top of the tree for data and logs.
# Not as root: see scripts/as_postgres.sh.
set -euo pipefail

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
pg_config=${PG_CONFIG:-pg_config}
pgxs=$(dirname "$(dirname "$("$pg_config" --pgxs)")")

if [ "$(id -u)" -eq 0 ]
then
    echo "tap: PostgreSQL refuses to run as root; use scripts/as_postgres.sh scripts/tap.sh ..." >&2
    exit 1
fi
cd "$top"
mkdir -p tmp_check
PATH=$("$pg_config" --bindir):$PATH
TESTDIR=$top
TESTDATADIR=$top/tmp_check
TESTLOGDIR=$top/tmp_check/log
PG_REGRESS=$pgxs/test/regress/pg_regress
PGPORT=65432
export PATH TESTDIR TESTDATADIR TESTLOGDIR PG_REGRESS PGPORT
exec prove -I "$pgxs/test/perl" -I test/perl "$@"

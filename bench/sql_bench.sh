#!/usr/bin/env bash
#
# What the type costs in SQL, and how well it answers. bench/sql_bench.md is what
# it printed when it was last run.
#
#   bench/sql_bench.sh [ROWS]        ROWS of the large streams, 10,000,000 unless said
#
# Starts a throw-away PostgreSQL in a directory of its own (never as root: see
# scripts/as_postgres.sh), fills it, measures, prints tables in Markdown and
# leaves nothing behind. The extension must be installed. Settings, from the
# environment:
#
#   ROUNDS=5              measurements of each query, of which the best counts
#   SHARED_BUFFERS=5GB    enough to keep every table, so that no disk is measured
#   PYTHON=python3        with the packages chdb and duckdb it measures them too
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
rows=${1:-10000000}
# shellcheck source=bench/cluster.sh
. "$here/cluster.sh"
export PGOPTIONS='-c client_min_messages=warning'
start_cluster <<SETTINGS
shared_buffers = '${SHARED_BUFFERS:-5GB}'
work_mem = '2GB'
max_wal_size = '8GB'
jit = off
max_parallel_workers_per_gather = 0
SETTINGS

echo "filling tables: $rows rows in each of five, twice as many in one" >&2
psql -Xq -v ON_ERROR_STOP=1 -v rows="$rows" -f "$here/sql_bench_data.sql"
"${PYTHON:-python3}" "$here/sql_bench.py" "$rows" "${ROUNDS:-5}"

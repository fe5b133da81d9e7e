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
# shellcheck source=bench/cluster.sh
. "$here/cluster.sh"
start_cluster <<SETTINGS
shared_preload_libraries = 'topk_bridge'
topk.enabled = off
shared_buffers = '512MB'
max_wal_size = '4GB'
SETTINGS
psql -Xq -f "$here/query_bench.sql"

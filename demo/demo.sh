#!/usr/bin/env bash
#
# Run the demo: see demo/README.md, and demo/demo.pl for what it does.
#
# `make demo` calls this when all is built.  For root, whom PostgreSQL refuses,
# the demo runs as user postgres in a copy of the tree that is removed afterwards.
set -euo pipefail

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# Into the tree that was called from, because what is fetched into a copy is lost with it.
if [ "${KAFKA:-}" = real ]
then
    "$top/scripts/bootstrap.sh" kafka
    "$top/scripts/kafka-jars.sh"
fi

# A terminal that goes away tells every process.  The demo itself stops all in order, and is waited for.
trap '' HUP
exec "$top/scripts/as_postgres.sh" perl demo/demo.pl

#!/usr/bin/env bash
#
# Who may include whom.  The rules are those of docs/ARCHITECTURE.md, "Parts"; this finds who breaks them.
#
#   src/sketch            nobody's header but its own and libc's
#   src                   src/sketch, PostgreSQL; nothing of bridge
#   bridge, pure parts    src/sketch; no PostgreSQL, librdkafka or hiredis
#   bridge, edges         librdkafka only in consumer.c, hiredis only in redis_client.c, SPI only in the stores;
#                         no edge includes another
set -uo pipefail
shopt -s extglob nullglob

cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit
failed=0

# forbid WHAT PATTERN FILE...: no #include of the files may match.
forbid()
{
    local what=$1 pattern=$2 found

    shift 2
    found=$(grep -nE "^[[:space:]]*#[[:space:]]*include[[:space:]]*[<\"]($pattern)" "$@" /dev/null)
    [ -z "$found" ] && return
    echo "$what:" >&2
    echo "$found" | sed 's/^/  /' >&2
    failed=1
}

postgresql='postgres\.h|fmgr\.h|c\.h|access/|catalog/|commands/|executor/|lib/|nodes/|storage/|utils/|miscadmin\.h'
pure=(bridge/{event_time,watermark,path,extract,counted_memory,shape,family,tenant,guard,pane}.c bridge/decode_json.cc
    bridge/{event_time,watermark,decode,extract,counted_memory,tenant,pane,pane_set}.h)
not_consumer=(bridge/!(consumer).c bridge/*.cc bridge/*.h)
not_redis=(bridge/!(redis_client).c bridge/*.cc bridge/*.h)

forbid 'the sketch library must stand alone' "$postgresql|\.\./|librdkafka|hiredis" src/sketch/*.[ch]
forbid 'the type must not know the bridge' '\.\./bridge|bridge/|librdkafka|hiredis|simdjson' src/*.[ch] src/sketch/*.[ch]
forbid 'a pure part of the bridge includes PostgreSQL, Kafka or Redis' \
    "$postgresql|librdkafka|hiredis|host\.h|store\.h|consumer\.h|redis_client\.h" "${pure[@]}"
forbid 'only bridge/consumer.c may know librdkafka' 'librdkafka' "${not_consumer[@]}"
forbid 'only bridge/redis_client.c may know hiredis' 'hiredis' "${not_redis[@]}"
forbid 'the edge to Kafka includes another part' "$postgresql|host\.h|store\.h|redis_client\.h" bridge/consumer.[ch]
forbid 'the edge to Redis includes another part' "$postgresql|host\.h|store\.h|consumer\.h" bridge/redis_client.[ch]
forbid 'an edge to PostgreSQL includes another edge' 'consumer\.h|redis_client\.h|librdkafka|hiredis' \
    bridge/{store,config,publish_store,spi_util}.[ch]

[ "$failed" -eq 0 ] && echo "layers: nobody includes what it must not know"
exit "$failed"

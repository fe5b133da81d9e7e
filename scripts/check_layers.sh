#!/usr/bin/env bash
#
# Who may include whom.  The rules are those of docs/ARCHITECTURE.md, "Parts"; this finds who breaks them.
#
#   src/sketch            nobody's header but its own and libc's
#   src                   src/sketch, PostgreSQL; nothing of bridge
#   bridge, pure parts    src/sketch; no PostgreSQL, librdkafka or hiredis
#   bridge, edges         librdkafka only in consumer*.c, hiredis only in redis_*.c, behind
#                         redis_client.h; SPI only in the stores; no edge includes another
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
pure=(bridge/{event_time,watermark,path,rule_filter,text_pool,extract,extract_rule,counted_memory,shape,family,tenant,guard,pane,pane_row,pane_offset,redis_address,redis_slot}.c bridge/decode_json.cc
    bridge/{event_time,watermark,decode,rule_filter,text_pool,extract,extractor,counted_memory,tenant,pane,pane_set,pane_offset,redis_address,redis_slot}.h)
not_consumer=(bridge/!(consumer|consumer_close|consumer_prefetch).c bridge/*.cc bridge/*.h)
behind_redis='redis_(command|script|link|tls|cluster|sentinel|write)\.h'
redis=(bridge/redis_{client,link,tls,cluster,sentinel,write}.c bridge/redis_*.h)
not_redis=(bridge/!(redis_*).c bridge/redis_{address,slot}.c bridge/*.cc bridge/!(redis_*).h)

forbid 'the sketch library must stand alone' "$postgresql|\.\./|librdkafka|hiredis" src/sketch/*.[ch]
forbid 'the type must not know the bridge' '\.\./bridge|bridge/|librdkafka|hiredis|simdjson' src/*.[ch] src/sketch/*.[ch]
forbid 'a pure part of the bridge includes PostgreSQL, Kafka or Redis' \
    "$postgresql|librdkafka|hiredis|host\.h|store\.h|consumer\.h|redis_client\.h" "${pure[@]}"
forbid 'only bridge/consumer*.c may know librdkafka' 'librdkafka' "${not_consumer[@]}"
forbid 'only the edge to Redis may know hiredis and what is behind redis_client.h' "hiredis|$behind_redis" "${not_redis[@]}"
forbid 'redis_client.h shows what is behind it' "hiredis|$behind_redis" bridge/redis_client.h
forbid 'the edge to Kafka includes another part' "$postgresql|host\.h|store\.h|redis_client\.h" bridge/consumer{,_close,_prefetch}.[ch]
forbid 'the edge to Redis includes another part' "$postgresql|host\.h|store\.h|consumer\.h" "${redis[@]}"
forbid 'an edge to PostgreSQL includes another edge' 'consumer\.h|redis_client\.h|librdkafka|hiredis' \
    bridge/{store,store_letter,store_pane,config,publish_store,spi_util}.[ch] bridge/store_offset.c bridge/replay_store.[ch]

[ "$failed" -eq 0 ] && echo "layers: nobody includes what it must not know"
exit "$failed"

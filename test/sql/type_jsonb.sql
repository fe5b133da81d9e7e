-- the cast to jsonb
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS topk;
RESET client_min_messages;
SELECT jsonb_pretty(topk_agg(x, 2, w)::jsonb) FROM (VALUES ('a', 5), ('b "quoted" \ ü', 25), ('c', 1)) v(x, w);
SELECT topk_agg(x, 2)::jsonb FROM (VALUES (5), (-7), (5)) v(x);
SELECT topk_agg('ffffffff-ffff-ffff-ffff-fffffffffff9'::uuid, 2, 9223372036854775807)::jsonb;
SELECT NULL::topk::jsonb IS NULL AS strict;
-- what it says is what the accessors say
CREATE TEMP TABLE s AS SELECT topk_agg('item-' || i % (1 + i % 997), 10, i, 30) AS s FROM generate_series(1, 20000) i;
SELECT (j ->> 'k')::int = topk_k(s) AS k, (j ->> 'capacity')::int = topk_capacity(s) AS capacity,
       (j ->> 'total')::bigint = topk_total(s) AS total, (j ->> 'max_error')::bigint = topk_max_error(s) AS max_error,
       (j ->> 'exact')::boolean = topk_is_exact(s) AS exact, j ->> 'item_type' = topk_item_type(s) AS item_type
    FROM (SELECT s, s::jsonb AS j FROM s) t;
SELECT count(*), count(*) FILTER (WHERE to_jsonb(i) = j.value) AS same
    FROM s, topk_items(s) WITH ORDINALITY i(rank, item, estimate, lower_bound, upper_bound, guaranteed, n)
    JOIN LATERAL (SELECT value || jsonb_build_object('n', n) AS value FROM jsonb_array_elements(s::jsonb -> 'items') WITH ORDINALITY e(value, n)
                  WHERE e.n = i.n) j ON true;
-- assigned to a jsonb column
CREATE TEMP TABLE document (j jsonb);
INSERT INTO document SELECT s FROM s;
SELECT jsonb_array_length(j -> 'items') FROM document;

-- every error that a user can meet, with its SQLSTATE
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS topk;
RESET client_min_messages;
CREATE FUNCTION pg_temp.try(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    detail text;
    hint text;
BEGIN
    EXECUTE query;
    RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    RETURN concat_ws(' | ', SQLSTATE || ' ' || SQLERRM, nullif(detail, ''), nullif(hint, ''));
END $$;
\x on
\t on
-- parameters
SELECT pg_temp.try($$SELECT topk_agg('a', 0)$$);
SELECT pg_temp.try($$SELECT topk_agg('a', -1)$$);
SELECT pg_temp.try($$SELECT topk_agg('a', 65537)$$);
SELECT pg_temp.try($$SELECT topk_agg('a', 2147483647)$$);
SELECT pg_temp.try($$SELECT topk_agg('a', NULL)$$);
SELECT pg_temp.try($$SELECT topk_agg(NULL::text, NULL)$$);
SELECT pg_temp.try($$SELECT topk_agg('a', 10, 1, 9)$$);
SELECT pg_temp.try($$SELECT topk_agg('a', 10, 1, 65537)$$);
SELECT pg_temp.try($$SELECT topk_agg('a', 10, 1, NULL)$$);
SELECT pg_temp.try($$SELECT topk_agg('a', i) FROM generate_series(1, 2) i$$);
SELECT pg_temp.try($$SELECT topk_agg('a', 10, 1, 10 + i) FROM generate_series(1, 2) i$$);
SELECT pg_temp.try($$SELECT topk_agg('a', CASE WHEN i = 1 THEN 5 END) FROM generate_series(1, 2) i$$);
-- weights
SELECT pg_temp.try($$SELECT topk_agg('a', 10, -1)$$);
SELECT pg_temp.try($$SELECT topk_agg('a', 10, 9223372036854775807) FROM generate_series(1, 2)$$);
SELECT pg_temp.try($$SELECT topk_agg(i::text, 10, 9223372036854775807) FROM generate_series(1, 2) i$$);
SELECT pg_temp.try($$SELECT topk_add(topk_agg('a'), 'b', -1)$$);
SELECT pg_temp.try($$SELECT topk_add(topk_agg('a'), 'b', 9223372036854775807)$$);
-- items
SELECT pg_temp.try($$SELECT topk_agg(repeat('x', 65536))$$);
SELECT pg_temp.try($$SELECT topk_total(topk_agg(repeat('x', 65535)))$$);
SELECT pg_temp.try($$SELECT topk_add(topk_agg('a'), 1)$$);
SELECT pg_temp.try($$SELECT topk_estimate(topk_agg(1), 'a')$$);
SELECT pg_temp.try($$SELECT topk_merge(s) FROM (SELECT topk_agg('1') AS s UNION ALL SELECT topk_agg(gen_random_uuid())) t$$);
SELECT pg_temp.try($$SELECT topk_agg('a') || topk_agg(1)$$);
SELECT pg_temp.try($$SELECT topk_items_bigint(topk_agg('a'))$$);
SELECT pg_temp.try($$SELECT topk_agg(1.5)$$);
-- readers
SELECT pg_temp.try($$SELECT topk_items(topk_agg('a'), -1)$$);
SELECT pg_temp.try($$SELECT topk_heavy_hitters(topk_agg('a'), -0.1)$$);
SELECT pg_temp.try($$SELECT topk_heavy_hitters(topk_agg('a'), 1.1)$$);
SELECT pg_temp.try($$SELECT topk_heavy_hitters_complete(topk_agg('a'), 'NaN')$$);
SELECT pg_temp.try($$SELECT topk_capacity_for(0)$$);
SELECT pg_temp.try($$SELECT topk_capacity_for(1)$$);
SELECT pg_temp.try($$SELECT topk_capacity_for('NaN')$$);
SELECT pg_temp.try($$SELECT topk_capacity_for(1e-9)$$);
-- formats
SELECT pg_temp.try($$SELECT ''::topk$$);
SELECT pg_temp.try($$SELECT 'x'::topk$$);
SELECT pg_temp.try($$SELECT '\x'::topk$$);
SELECT pg_temp.try($$SELECT '\x0'::topk$$);
SELECT pg_temp.try($$SELECT '\x0g'::topk$$);
SELECT pg_temp.try($$SELECT '\x01 01'::topk$$);
SELECT pg_temp.try($$SELECT '\x01'::topk$$);
SELECT pg_temp.try($$SELECT '\x01'::bytea::topk$$);
SELECT pg_temp.try($$SELECT '\xff'::bytea::topk$$);
SELECT pg_temp.try($$SELECT topk_from_datasketches('\x')$$);
SELECT pg_temp.try($$SELECT topk_from_datasketches('\x0000000000000000')$$);
SELECT pg_temp.try($$SELECT topk_from_datasketches('\x0101050301050000', 'uuid')$$);
SELECT pg_temp.try($$SELECT topk_to_datasketches(topk_agg(gen_random_uuid()))$$);
-- inner functions
SELECT pg_temp.try($$SELECT topk_agg_trans(NULL, 'a')$$);
SELECT pg_temp.try($$SELECT topk_combine(NULL, topk_agg('a'))$$);

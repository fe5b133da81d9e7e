-- exchange with Apache DataSketches; test/tap/010_datasketches.pl compares with their library itself
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS topk;
RESET client_min_messages;
-- written by their library
CREATE TEMP TABLE theirs (name text, bytes bytea);
INSERT INTO theirs VALUES
    ('empty', '\x01010a0303050000'),
    ('exact', '\x04010a030300000004000000000000001c3700000000000000000000000000000b04000000000000b00f000000000000d10b00000000000090170000000000000a000000c3bcc3bc6974656d2d32060000006974656d2d3308000000c3bc6974656d2d3408000000c3bc6974656d2d31'),
    ('not exact', '\x04010a03030000000600000000000000043a0600000000005a6d0100000000000100000000000000070000000000000007000000000000000100000000000000160000000000000005000000000000000c000000c3bcc3bc6974656d2d3131330b000000c3bcc3bc6974656d2d31370a000000c3bcc3bc6974656d2d320b000000c3bcc3bc6974656d2d32390c000000c3bcc3bc6974656d2d34333708000000c3bc6974656d2d31');
SELECT name, topk_total(s), topk_max_error(s), topk_capacity(s), topk_k(s), topk_is_exact(s), topk_item_type(s)
    FROM theirs, topk_from_datasketches(bytes) s;
SELECT name, i.* FROM theirs, topk_from_datasketches(bytes) s, topk_items(s, 10) i;
SELECT topk_total(topk_merge(topk_from_datasketches(bytes))) = sum(topk_total(topk_from_datasketches(bytes))) AS merged FROM theirs;

-- there and back
SELECT topk_to_datasketches(topk_from_datasketches(bytes)) FROM theirs WHERE name <> 'not exact';
CREATE TEMP TABLE ours AS
    SELECT topk_agg('item-' || i % (1 + i % 700), 10, i, 30) AS s FROM generate_series(1, 20000) i;
SELECT topk_total(a) = topk_total(s) AS total, topk_max_error(a) = topk_max_error(s) AS max_error, topk_is_exact(s)
    FROM ours, topk_from_datasketches(topk_to_datasketches(s)) a;
SELECT count(*) > 10 AS items, bool_and(a.upper_bound = i.upper_bound) AS upper, bool_and(a.lower_bound <= i.lower_bound) AS lower
    FROM ours, topk_items(topk_from_datasketches(topk_to_datasketches(s)), 30) a JOIN topk_items((SELECT s FROM ours), 30) i USING (item);

-- longs are bigint; which of the two it is, the bytes do not say
SELECT i.item, i.estimate
    FROM topk_items_bigint((SELECT topk_from_datasketches(topk_to_datasketches(topk_agg(x)), 'bigint')
                            FROM unnest(ARRAY[5, -7, 5, 9223372036854775807]::bigint[]) x)) i;
SELECT topk_from_datasketches(bytes, 'uuid') FROM theirs LIMIT 1;
SELECT topk_from_datasketches(bytes, 'bigint') FROM theirs WHERE name = 'exact';
SELECT topk_to_datasketches(topk_agg(gen_random_uuid()));

-- each byte changed, each truncation: an error with the right code, or a sketch that can be read
CREATE FUNCTION pg_temp.try(bytes bytea, item_type text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM topk_from_datasketches(bytes, item_type)::jsonb;
    PERFORM topk_from_datasketches(bytes, item_type)::text::topk;
    RETURN 'read';
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE;
END $$;
CREATE TEMP TABLE hostile AS
    SELECT set_byte(bytes, i, b) AS bytes FROM theirs, generate_series(0, length(bytes) - 1) i, generate_series(0, 255, 5) b
    UNION ALL SELECT substr(bytes, 1, n) FROM theirs, generate_series(0, length(bytes) - 1) n
    UNION ALL SELECT bytes || '\x00' FROM theirs;
SELECT DISTINCT item_type, pg_temp.try(bytes, item_type) AS outcome FROM hostile, unnest(ARRAY['text', 'bigint']) item_type ORDER BY 1, 2;
SELECT count(*) AS truncated_but_read FROM theirs, generate_series(0, length(bytes) - 1) n
    WHERE pg_temp.try(substr(bytes, 1, n), 'text') = 'read';

-- items of type bigint and uuid: counted, listed and merged without a round trip through text
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS topk;
RESET client_min_messages;
-- smaller integers become bigint
SELECT topk_item_type(topk_agg(1::smallint)), topk_item_type(topk_agg(1)), topk_item_type(topk_agg(1::bigint)),
       topk_item_type(topk_agg('1')), topk_item_type(topk_agg(gen_random_uuid()));
CREATE TEMP TABLE number AS
    SELECT topk_agg(x, 5) AS s FROM (
        SELECT unnest(ARRAY[-9223372036854775808, -1, 0, 1, 9223372036854775807, NULL, 7]::bigint[]) AS x, generate_series(1, 2)
        UNION ALL SELECT 7, 1) v;
-- equal weights in the order of the numbers; as text and as numbers
SELECT rank, item, estimate FROM number, topk_items(s, 10);
SELECT rank, item, item + 0 AS number, estimate FROM number, topk_items_bigint(s);
SELECT e.* FROM number, topk_estimate(s, 7) e;
SELECT e.* FROM number, topk_estimate(s, -9223372036854775808) e;
SELECT e.* FROM number, topk_estimate(s, 8::smallint) e;

CREATE TEMP TABLE id AS
    SELECT topk_agg(lpad(to_hex(i % 4), 32, 'f')::uuid, 3, i) AS s FROM generate_series(1, 100) i;
SELECT rank, item, estimate FROM id, topk_items(s);
SELECT item, pg_typeof(item), estimate FROM id, topk_items_uuid(s, 1);
SELECT e.* FROM id, topk_estimate(s, 'ffffffff-ffff-ffff-ffff-fffffffffff3'::uuid) e;

-- all overloads
SELECT topk_capacity(topk_agg(i)), topk_capacity(topk_agg(i, 5)), topk_total(topk_agg(i, 5, 2)), topk_capacity(topk_agg(i, 5, 2, 9))
    FROM generate_series(1, 10) i;
SELECT topk_capacity(topk_agg(u)), topk_capacity(topk_agg(u, 5)), topk_total(topk_agg(u, 5, 2)), topk_capacity(topk_agg(u, 5, 2, 9))
    FROM (SELECT gen_random_uuid() AS u FROM generate_series(1, 10)) t;

-- merged, stored, added to, in many groups
SELECT topk_total(s || s), topk_item_type(s || s) FROM number;
SELECT topk_total(s::text::topk), topk_item_type(s::bytea::topk) FROM id;
SELECT item, estimate FROM topk_items_bigint((SELECT topk_add(topk_add(s, 7), 8, 100) FROM number), 2);
SELECT item, estimate FROM topk_items((SELECT topk_add(s, 'ffffffff-ffff-ffff-ffff-fffffffffff9'::uuid, 5000) FROM id), 1);
SELECT count(*), sum(topk_total(s)), bool_and(topk_is_exact(s)),
       bool_and((SELECT sum(item * estimate) FROM topk_items_bigint(s)) = sum) AS same
    FROM (SELECT i % 300 AS g, topk_agg(i % 7) AS s, sum(i % 7) FROM generate_series(1, 30000) i GROUP BY 1) t;
-- bounds where not all have an entry
SELECT count(*) AS wrong
    FROM (SELECT topk_agg(i % (1 + i % 5000), 10) AS s FROM generate_series(1, 50000) i) t,
         (SELECT i % (1 + i % 5000) AS item, count(*) AS f FROM generate_series(1, 50000) i GROUP BY 1) truth,
         topk_estimate(s, item) e
    WHERE f NOT BETWEEN e.lower_bound AND e.upper_bound OR topk_is_exact(s);

-- kinds do not mix
SELECT topk_estimate(s, '7') FROM number;
SELECT topk_estimate(s, 7) FROM id;
SELECT topk_add(s, '7'::text) FROM number;
SELECT number.s || id.s FROM number, id;
SELECT topk_items_uuid(s) FROM number;

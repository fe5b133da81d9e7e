-- What a value says about itself is read from its first bytes, wherever the value is stored.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS topk;
RESET client_min_messages;

CREATE TEMP TABLE plain_values (id int, s topk);
ALTER TABLE plain_values ALTER s SET STORAGE plain;
CREATE TEMP TABLE external_values (LIKE plain_values);
ALTER TABLE external_values ALTER s SET STORAGE external;
CREATE TEMP TABLE compressed_values (LIKE plain_values);
ALTER TABLE compressed_values ALTER s SET STORAGE main, ALTER s SET COMPRESSION pglz;
CREATE TEMP TABLE both_values (LIKE plain_values);
ALTER TABLE both_values ALTER s SET STORAGE extended, ALTER s SET COMPRESSION pglz;

-- 1: nothing but a header; 2: a few bytes more; 3: most of a page; 4: bounds that are not exact; 5: beyond a page
INSERT INTO plain_values
    SELECT 1, '\x01010164ac02000000'::topk
    UNION ALL SELECT 2, topk_agg(i, 2) FROM generate_series(1::bigint, 3) i
    UNION ALL SELECT 3, topk_agg(repeat('item ', 10) || i, 5, i, 90) FROM generate_series(1, 80) i
    UNION ALL SELECT 4, topk_agg(repeat('item ', 5) || i % 3000, 50, 1, 200) FROM generate_series(1, 9000) i;
INSERT INTO external_values TABLE plain_values;
INSERT INTO compressed_values TABLE plain_values;
INSERT INTO both_values TABLE plain_values;
INSERT INTO external_values SELECT 5, topk_agg(md5(i::text), 300, 1, 2000) FROM generate_series(1, 20000) i;
INSERT INTO both_values SELECT id, s FROM external_values WHERE id = 5;
-- 6: beyond a page even compressed
INSERT INTO both_values SELECT 6, topk_agg(repeat(md5(i::text), 4), 300, 1, 2000) FROM generate_series(1, 20000) i;

CREATE TEMP VIEW stored AS
    SELECT 'plain' AS place, * FROM plain_values UNION ALL SELECT 'external', * FROM external_values
    UNION ALL SELECT 'compressed', * FROM compressed_values UNION ALL SELECT 'both', * FROM both_values;

SELECT place, id, topk_total(s), topk_max_error(s), topk_capacity(s), topk_k(s), topk_is_exact(s), topk_item_type(s),
       topk_heavy_hitters_complete(s, 0.1) AS complete, pg_column_size(s) < octet_length(s::bytea) AS compressed
FROM stored ORDER BY id, place;

-- the whole value says the same
SELECT count(*), bool_and((s::jsonb ->> 'total')::bigint = topk_total(s) AND (s::jsonb ->> 'max_error')::bigint = topk_max_error(s))
FROM stored WHERE s IS NOT NULL;

-- a state that is not stored at all
SELECT topk_total(s), topk_max_error(s), topk_capacity(s) FROM (SELECT topk_merge(s) AS s FROM plain_values WHERE id > 2) t;

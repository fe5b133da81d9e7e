-- topk_add: one more item in a stored sketch
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS topk;
RESET client_min_messages;
CREATE TEMP TABLE counter (name text PRIMARY KEY, s topk);
INSERT INTO counter SELECT 'begun', topk_agg('a', 2, 3, 5);
INSERT INTO counter VALUES ('new', NULL);
-- NULL is a sketch that has not begun
UPDATE counter SET s = topk_add(s, 'b');
UPDATE counter SET s = topk_add(s, 'b', 4);
SELECT name, item, estimate FROM counter, topk_items(s) ORDER BY name, rank;
SELECT name, topk_k(s), topk_capacity(s), topk_total(s) FROM counter ORDER BY name;
-- what counts nothing changes nothing
SELECT topk_add(s, NULL::text)::bytea = s::bytea AS item, topk_add(s, 'a', NULL)::bytea = s::bytea AS weight,
       topk_add(s, 'a', 0)::bytea = s::bytea AS zero FROM counter ORDER BY name;
SELECT topk_add(NULL, NULL::text) IS NULL AS nothing, topk_add(NULL, 'a', 0) IS NULL AS zero;
SELECT topk_total(topk_add(NULL, 1)), topk_item_type(topk_add(NULL, 1)), topk_item_type(topk_add(NULL, 'a'));
SELECT topk_total(topk_add(sketch => s, item => 'a', weight => 2)) FROM counter WHERE name = 'begun';
-- one by one as at once, while all have an entry
DO $$
DECLARE
    s topk;
BEGIN
    FOR i IN 1..300 LOOP
        s := topk_add(s, 'item-' || i % 40, i);
    END LOOP;
    RAISE NOTICE 'same: %', s::bytea = (SELECT topk_agg('item-' || i % 40, 100, i) FROM generate_series(1, 300) i)::bytea;
    -- and within the bounds when they have not
    FOR i IN 1..2000 LOOP
        s := topk_add(s, 'other-' || i % 700);
    END LOOP;
    RAISE NOTICE 'total: %, exact: %, wrong: %', topk_total(s), topk_is_exact(s),
        (SELECT count(*) FROM generate_series(0, 39) n, topk_estimate(s, 'item-' || n) e
         WHERE (SELECT sum(i) FROM generate_series(1, 300) i WHERE i % 40 = n) NOT BETWEEN e.lower_bound AND e.upper_bound);
END $$;
SELECT topk_add(s, 'a', -1) FROM counter WHERE name = 'begun';
SELECT topk_add(s, 1) FROM counter WHERE name = 'begun';

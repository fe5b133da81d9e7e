-- topk_agg: what it counts, what it ignores, and its parameters
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS topk;
RESET client_min_messages;
CREATE TEMP TABLE visit (page text, hits bigint, site int);
INSERT INTO visit
    SELECT 'page-' || i, i, i % 3 FROM generate_series(1, 20) i, generate_series(1, i) repeated;

-- the default: k = 100, capacity = 3k, weight 1
SELECT topk_k(s), topk_capacity(s), topk_total(s), topk_max_error(s), topk_is_exact(s), topk_item_type(s)
    FROM (SELECT topk_agg(page) AS s FROM visit) t;
SELECT rank, item, estimate FROM topk_items((SELECT topk_agg(page) FROM visit), 5);

-- k, weight and capacity
SELECT topk_k(s), topk_capacity(s) FROM (SELECT topk_agg(page, 7) AS s FROM visit) t;
SELECT topk_k(s), topk_capacity(s) FROM (SELECT topk_agg(page, 65536) AS s FROM visit) t;
SELECT topk_k(s), topk_capacity(s), topk_total(s) FROM (SELECT topk_agg(page, 7, hits) AS s FROM visit) t;
SELECT topk_k(s), topk_capacity(s), topk_total(s) FROM (SELECT topk_agg(page, 7, hits, 50) AS s FROM visit) t;
SELECT item, estimate FROM topk_items((SELECT topk_agg(page, 3, hits, 50) FROM visit));

-- any text, and literals of unknown type
SELECT item FROM topk_items((SELECT topk_agg('literal')));
SELECT topk_item_type(topk_agg(page::varchar(10))), topk_item_type(topk_agg(page::name)) FROM visit;
SELECT estimate, item = '', length(item) FROM topk_items((SELECT topk_agg(x) FROM unnest(ARRAY['', ' ', '', 'ü', 'u']) x));

-- NULL items, NULL and zero weights count nothing
SELECT topk_agg(NULL) IS NULL AS no_item;
SELECT topk_agg(page) IS NULL AS no_row FROM visit WHERE false;
SELECT topk_agg(x, 10, w) IS NULL AS no_weight FROM (VALUES ('a', 0), ('b', NULL), (NULL, 5)) v(x, w);
SELECT item, estimate FROM topk_items((
    SELECT topk_agg(x, 10, w) FROM (VALUES ('a', 0), ('b', NULL), (NULL, 5), ('c', 2), ('c', 0)) v(x, w)));

-- FILTER, DISTINCT, ORDER BY, empty groups
SELECT topk_total(topk_agg(page) FILTER (WHERE site = 1)), topk_total(topk_agg(DISTINCT page)),
       topk_total(topk_agg(page ORDER BY hits)), topk_agg(page) FILTER (WHERE false) IS NULL AS empty
    FROM visit;
SELECT g, topk_total(topk_agg(page)) FROM generate_series(0, 4) g LEFT JOIN visit ON site = g GROUP BY g ORDER BY g;
SELECT site, topk_total(topk_agg(page)) FROM visit GROUP BY ROLLUP (site) ORDER BY site;
SELECT site, hits % 2 AS odd, topk_total(topk_agg(page)) FROM visit GROUP BY CUBE (site, hits % 2) ORDER BY 1, 2;

-- one state behind several results
SELECT topk_total(topk_agg(page)), topk_k(topk_agg(page)), topk_agg(page)::bytea = topk_agg(page)::bytea AS same
    FROM visit HAVING topk_is_exact(topk_agg(page));

-- the same rows in the same order give the same bytes, whatever the plan
SET enable_hashagg = off;
CREATE TEMP TABLE by_sort AS SELECT site, topk_agg(page, 3) AS s FROM visit GROUP BY site;
RESET enable_hashagg;
SET enable_sort = off;
CREATE TEMP TABLE by_hash AS SELECT site, topk_agg(page, 3) AS s FROM visit GROUP BY site;
RESET enable_sort;
SELECT count(*) AS same FROM by_sort JOIN by_hash USING (site) WHERE by_sort.s::bytea = by_hash.s::bytea;

-- equal sketches have equal bytes
SELECT (SELECT topk_agg(page) FROM visit) = (SELECT topk_agg(page ORDER BY hits DESC) FROM visit) AS same,
       topk_agg('a') <> topk_agg('b') AS other;
SELECT count(*) FROM (SELECT s FROM by_sort UNION SELECT s FROM by_hash) t;
SELECT count(DISTINCT topk_total(s)), count(*) FROM (SELECT DISTINCT s FROM (SELECT s FROM by_sort UNION ALL SELECT s FROM by_hash) u) t;

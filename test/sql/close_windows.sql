-- The close, window by window, without a broker: panes are written as a worker's flush would write them.
\set VERBOSITY terse
SET client_min_messages = warning;
SET timezone = 'UTC';
SET datestyle = 'ISO';
CREATE EXTENSION IF NOT EXISTS topk;
CREATE SERVER k FOREIGN DATA WRAPPER topk_kafka OPTIONS (bootstrap_servers '127.0.0.1:1');
SELECT topk.create_source('s', server => 'k', topic => 't', k => 2, capacity => 5) AS src \gset
SELECT topk.create_rule('s', event_type => 'e', item_type => 'url', item_path => 'u', dimensions => '{"d": "d"}') > 0 AS created;
SELECT window_id AS minute FROM topk.source_window WHERE window_name = '1-minute' \gset

-- a worker claims two partitions and interns its lists; the list across d is shared with that of all
SELECT * FROM topk.claim_partitions(:src, 0, '{0,1}', '{0,7}', '{100,100}');
SELECT all_id AS "all", across_ids FROM topk.intern_family(:src, 2, '', 'url', '{d}', '{t}') \gset
SELECT :'across_ids' AS shared, topk.intern_list(:src, '', 'url', 'd', 'x', NULL) AS x \gset
SELECT dimension, value, base_id = list_id AS own FROM topk.list ORDER BY list_id;
SELECT all_id IS NULL AS refused FROM topk.intern_family(:src, 1, '', 'url', '{d}', '{t}');

CREATE FUNCTION flush(src int, list bigint, pane timestamptz, incarnation bigint, sealed boolean, VARIADIC items text[]) RETURNS void
LANGUAGE sql AS $$
    INSERT INTO topk.live (source_id, pane, list_id, incarnation, worker, sealed, version, sketch)
    SELECT src, pane, list, incarnation, 0, sealed, 1, topk_agg(i, 2, 1, 5) FROM unnest(items) i
$$;
CREATE FUNCTION watermarks(src int, p0 timestamptz, p1 timestamptz) RETURNS void LANGUAGE sql AS $$
    UPDATE topk.partition SET watermark = CASE partition WHEN 0 THEN p0 ELSE p1 END,
        max_event_time = CASE partition WHEN 0 THEN p0 ELSE p1 END + interval '1 minute' WHERE source_id = src
$$;
CREATE VIEW shown AS
    SELECT window_name, window_start::time AS start, dimension, value, final, revision, topk_total(sketch) AS total,
           (SELECT string_agg(item || '=' || estimate, ' ' ORDER BY rank) FROM topk_items(sketch, 2)) AS items
    FROM topk.window_sketch ORDER BY window_name DESC, window_start, dimension, value NULLS FIRST;

-- what is read of one window for a sink is what the view of all windows shows, with few lists and with many
CREATE VIEW disagreeing AS
    WITH of_all AS (
        SELECT w.window_id, w.window_start, w.dimension, w.value, w.final, w.revision, w.k, w.sketch::text FROM topk.window_sketch w),
    of_each AS (
        SELECT o.window_id, o.window_start, w.dimension, w.value, w.final, w.revision, w.k, w.sketch::text
        FROM (SELECT DISTINCT a.window_id, a.window_start FROM of_all a) o JOIN topk.source_window d USING (window_id)
        CROSS JOIN (VALUES (false), (true)) v(by_value) CROSS JOIN LATERAL topk.window_lists(d, o.window_start, v.by_value) w),
    of_lists AS (SELECT f.n, l.list_id, l.sketch::text FROM (VALUES (0), (2000)) f(n) CROSS JOIN LATERAL topk.live_lists(
        (SELECT s.source_id FROM topk.source s), '2025-01-01 10:58', '2025-01-01 11:00', (SELECT array_agg(i.list_id) FROM topk.list i) || ARRAY(SELECT -n FROM generate_series(1, f.n) n)) l)
    SELECT (SELECT count(*) FROM of_all) AS shown, (SELECT count(*) FROM of_lists) AS live,
           (SELECT count(*) FROM ((TABLE of_all EXCEPT ALL TABLE of_each) UNION ALL (TABLE of_each EXCEPT ALL TABLE of_all)) x)
         + (SELECT count(*) FROM (SELECT list_id, sketch FROM of_lists WHERE n = 0 EXCEPT ALL SELECT list_id, sketch FROM of_lists WHERE n > 0) y) AS wrong;

-- open windows can be read before anything is closed
SELECT flush(:src, :all, '2025-01-01 10:58', 1, true, 'a', 'b', 'a'), flush(:src, :x, '2025-01-01 10:58', 2, true, 'a', 'b', 'a');
SELECT flush(:src, :all, '2025-01-01 10:59', 3, false, 'a', 'c');
SELECT * FROM shown;
SELECT * FROM disagreeing;
SELECT topk.close_due(:src), topk.source_watermark(:src);
SELECT * FROM topk.close(:src);

-- the slowest partition decides; nothing closes before its leaf is there
SELECT watermarks(:src, '2025-01-01 11:30', '2025-01-01 10:59');
SELECT topk.close_due(:src), topk.source_watermark(:src);
SELECT topk.make_leaves(:src) AS made, topk.make_leaves(:src) AS again;
SELECT * FROM topk.close(:src);
SELECT * FROM shown;
SELECT count(*) FROM topk.live;
SELECT * FROM disagreeing;

-- a window is not final while an unsealed pane of it is left
SELECT watermarks(:src, '2025-01-01 11:30', '2025-01-01 11:00');
SELECT * FROM topk.close(:src);
SELECT * FROM shown WHERE value IS NULL AND dimension = 'all';
UPDATE topk.live SET sealed = true;
SELECT * FROM topk.close(:src);
SELECT * FROM shown WHERE value IS NULL AND dimension = 'all';

-- late: a final window stays final, with another revision
SELECT flush(:src, :all, '2025-01-01 10:58', 4, true, 'c', 'c', 'c');
SELECT * FROM disagreeing;
SELECT * FROM topk.close(:src);
SELECT * FROM shown WHERE value IS NULL AND dimension = 'all';
SELECT rank, item, estimate, total FROM topk.top_items_global;

-- the views' filter reaches the stored partitions: one leaf of minutes, none of another window
EXPLAIN (COSTS OFF) SELECT w.sketch FROM topk.win w WHERE window_id = :minute AND window_start = '2025-01-01 10:58+00';

-- idle partitions do not hold the watermark, as long as their worker runs; when all are idle the clock drives it
UPDATE topk.partition SET idle = true, at_end_since = now() WHERE partition = 1;
SELECT topk.source_watermark(:src);
INSERT INTO topk.worker (source_id, worker, pid, state) VALUES (:src, 0, pg_backend_pid(), 'running');
SELECT topk.source_watermark(:src);
UPDATE topk.partition SET idle = true, at_end_since = now() - interval '1 hour' WHERE partition = 0;
UPDATE topk.partition SET at_end_since = now() - interval '1 hour';
SELECT topk.source_watermark(:src) BETWEEN '2025-01-01 12:30' AND '2025-01-01 12:35' AS clock;
SELECT topk.forget_idle(:src, 0);
SELECT count(*) FROM topk.partition WHERE idle;
-- an unread partition holds it; but it never goes back
UPDATE topk.partition SET idle = false, watermark = NULL WHERE partition = 1;
SELECT topk.source_watermark(:src);

-- a rule without the dimension: the list across it gets its own copy, in windows and panes alike
UPDATE topk.partition SET idle = false, watermark = '2025-01-01 11:00' WHERE partition = 1;
SELECT flush(:src, :all, '2025-01-01 11:00', 5, false, 'a'), topk.create_rule('s', event_type => 'f', item_type => 'url', item_path => 'u') > 0 AS created;
SELECT flush(:src, :all, '2025-01-01 11:01', 6, true, 'z');
SELECT window_name, start, dimension, total FROM shown WHERE value IS NULL AND window_name <> '1-day';
SELECT epoch, next_offset FROM topk.partition ORDER BY partition;
SELECT across_ids IS NULL OR across_ids[1] > 0 AS own FROM topk.intern_family(:src, 3, '', 'url', '{d}', '{f}');

-- retention drops leaves behind the watermark, days into the archive; global stays what it was
CREATE TEMP TABLE before AS SELECT item, estimate, total FROM topk.top_items_global;
SELECT topk.drop_leaf(:src);
UPDATE topk.live SET sealed = true;
SELECT watermarks(:src, '2025-01-03 00:00', '2025-01-03 00:00');
SELECT moved FROM topk.close(:src);
SELECT topk.drop_leaf(:src), topk.drop_leaf(:src);
SELECT watermarks(:src, '2028-01-01', '2028-01-01');
SELECT moved FROM topk.close(:src);
SELECT topk.drop_leaf(:src) IS NOT NULL, topk.drop_leaf(:src) IS NOT NULL, topk.drop_leaf(:src);
SELECT count(*) AS archived FROM topk.archive;
SELECT count(*) AS windows FROM topk.win;
SELECT * FROM before;
SELECT item, estimate, total FROM topk.top_items_global;
SELECT count(*) FROM topk.win_state;

-- a worker that was replaced: its row is not there for it any more
SELECT epoch FROM topk.claim_partitions(:src, 0, '{0,1}', '{0,0}', '{100,100}');
WITH zombie AS (UPDATE topk.partition SET next_offset = 5 WHERE source_id = :src AND partition = 0 AND next_offset = 0 AND epoch = 1 RETURNING 1)
SELECT count(*) FROM zombie;

SELECT topk.drop_source('s');
SELECT count(*) FROM topk.archive;
DROP VIEW shown, disagreeing;
DROP FUNCTION flush, watermarks;
DROP SERVER k;

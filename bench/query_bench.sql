-- How long a question takes: the newest minute, and a sliding day, over full tables of minutes and hours.
--
-- 60 lists (all, 58 values of a dimension, and the list across them, shared with all) of 300 entries: 26 hours of
-- minutes, 35 days of hours, the days of those, and one minute that is still live.  Each list of each window holds
-- one of 200 sketches of 20,000 items drawn from Zipf-like weights, full ones, so that every merge has work to do.
\set ON_ERROR_STOP on
\pset pager off
SET client_min_messages = warning;
SET timezone = 'UTC';
SET max_parallel_workers_per_gather = 0;
CREATE EXTENSION topk;
CREATE SERVER k FOREIGN DATA WRAPPER topk_kafka OPTIONS (bootstrap_servers '127.0.0.1:1');
SELECT topk.create_source('bench', server => 'k', topic => 't') AS src \gset
SELECT topk.create_rule('bench', event_type => 'e', item_type => 'url', item_path => 'u', dimensions => '{"page": "p"}') AS rule \gset
SELECT count(*) AS claimed FROM topk.claim_partitions(:src, 0, '{0}', '{0}', '{1}') \gset
SELECT all_id FROM topk.source_state, topk.intern_family(:src, config_version, '', 'url', '{page}', '{t}') \gset
SELECT count(topk.intern_list(:src, '', 'url', 'page', 'value ' || n, NULL)) AS lists FROM generate_series(1, 58) n \gset

SELECT setseed(0.1) \gset
CREATE TABLE sample AS
SELECT n, topk_agg('/catalogue/item/' || (random() ^ 3 * 20000)::int, 100, 1 + (random() ^ 8 * 50)::int, 300) AS sketch
FROM generate_series(0, 199) n, generate_series(1, 3000) GROUP BY n;
SELECT min(topk_capacity(sketch)) AS capacity, bool_or(topk_is_exact(sketch)) AS any_exact, avg(pg_column_size(sketch))::int AS bytes FROM sample;

-- everything until 12:00:30 on a Wednesday, the last minute live
SELECT timestamptz '2025-03-05 12:00:00+00' AS newest \gset
SELECT count(topk.make_leaf(d, t)) AS leaves FROM topk.source_window d, LATERAL generate_series(:'newest'::timestamptz - d.retention, :'newest', topk.leaf_size(d.size) / 2) t \gset
INSERT INTO topk.win
SELECT d.window_id, t, l.list_id, s.sketch
FROM topk.source_window d
CROSS JOIN LATERAL generate_series(topk.next_edge(d, :'newest'::timestamptz - least(d.retention, '35 days')), :'newest'::timestamptz - interval '1 minute', d.size) t
CROSS JOIN (SELECT list_id FROM topk.list WHERE list_id = base_id) l
JOIN sample s ON s.n = (extract(epoch FROM t)::bigint / 60 + l.list_id * 7) % 200;
INSERT INTO topk.win_state SELECT DISTINCT window_id, window_start, true, 1, now() FROM topk.win;
INSERT INTO topk.live SELECT :src, :'newest', l.list_id, l.list_id, 0, false, 1, s.sketch
FROM topk.list l JOIN sample s ON s.n = l.list_id WHERE l.list_id = l.base_id;
UPDATE topk.closer SET watermark = :'newest'::timestamptz - interval '1 minute';
UPDATE topk.partition SET watermark = :'newest'::timestamptz - interval '1 minute', max_event_time = :'newest'::timestamptz + interval '30 seconds';
VACUUM ANALYZE;
SELECT d.window_name, count(*) AS rows, pg_size_pretty((SELECT sum(pg_total_relation_size(i.inhrelid)) FROM pg_inherits i WHERE i.inhparent = to_regclass('topk.win_' || d.window_id))) AS size
FROM topk.win w JOIN topk.source_window d USING (window_id) GROUP BY d.window_id ORDER BY d.window_id;

-- A question 200 times in one session: the first, best and median execution time that EXPLAIN ANALYZE says (all of
-- the function's work, its planning included), and one plan with its buffers.
CREATE FUNCTION ask(what text, question text) RETURNS TABLE (asked text, first_ms numeric, best_ms numeric, median_ms numeric, shared_hits int)
LANGUAGE plpgsql AS $$
DECLARE
    plan jsonb;
    ms   numeric[];
BEGIN
    FOR n IN 1 .. 200 LOOP
        EXECUTE 'EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) ' || question INTO plan;
        ms := ms || (plan -> 0 ->> 'Execution Time')::numeric;
    END LOOP;
    RETURN QUERY SELECT what, ms[1], min(m), percentile_cont(0.5) WITHIN GROUP (ORDER BY m)::numeric(10, 3), (plan -> 0 -> 'Plan' ->> 'Shared Hit Blocks')::int
    FROM unnest(ms) m;
END
$$;
\set minute 'SELECT * FROM topk.top(''bench'', n => 10)'
\set value 'SELECT * FROM topk.top(''bench'', dimension => ''page'', value => ''value 7'', n => 10)'
\set closed 'SELECT * FROM topk.top(''bench'', n => 10, at => timestamptz ''2025-03-05 11:30+00'')'
\set day 'SELECT * FROM topk.top_between(''bench'', timestamptz ''2025-03-04 12:00:30+00'', timestamptz ''2025-03-05 12:00:30+00'', n => 10)'
\set dayvalue 'SELECT * FROM topk.top_between(''bench'', timestamptz ''2025-03-04 12:00:30+00'', timestamptz ''2025-03-05 12:00:30+00'', dimension => ''page'', value => ''value 7'', n => 10)'
\set dayworst 'SELECT * FROM topk.top_between(''bench'', timestamptz ''2025-03-04 11:31:30+00'', timestamptz ''2025-03-05 11:31:30+00'', n => 10)'
SELECT * FROM ask('newest minute', :'minute')
UNION ALL SELECT * FROM ask('newest minute of one value', :'value')
UNION ALL SELECT * FROM ask('a closed minute', :'closed')
UNION ALL SELECT * FROM ask('sliding 24 h, edges at the hour', :'day')
UNION ALL SELECT * FROM ask('sliding 24 h of one value', :'dayvalue')
UNION ALL SELECT * FROM ask('sliding 24 h, edges amid the hour', :'dayworst');
EXPLAIN (ANALYZE, BUFFERS) :minute;
EXPLAIN (ANALYZE, BUFFERS) :dayworst;
SELECT window_name, first, until, inside FROM topk.cover(:src, '2025-03-04 11:31:30+00', '2025-03-05 11:31:30+00') ORDER BY first;

-- topk.replay: what is refused, what a stretch is widened to, and the swap, without a broker.  (The launcher is off
-- here: the test does what the process does.)
\set VERBOSITY terse
SET client_min_messages = warning;
SET timezone = 'UTC';
SET datestyle = 'ISO';
CREATE EXTENSION IF NOT EXISTS topk;
RESET client_min_messages;
CREATE SERVER k FOREIGN DATA WRAPPER topk_kafka OPTIONS (bootstrap_servers '127.0.0.1:1');
SELECT topk.create_source('s', server => 'k', topic => 't') AS src \gset

SELECT topk.replay('nowhere', '2025-01-01', '2025-01-02');
SELECT topk.replay('s', NULL, '2025-01-02');
SELECT topk.replay('s', '2025-01-02', '2025-01-02');
SELECT topk.replay('s', '-infinity', '2025-01-02');
\set VERBOSITY default
SELECT topk.replay('s', '2025-01-01', '2025-01-02');
SELECT topk.create_rule('s', event_type => 'e', item_type => 'url', item_path => 'u', dimensions => '{"d": "d"}') > 0 AS created;
SELECT epoch FROM topk.claim_partitions(:src, 0, '{0,1}', '{0,0}', '{100,100}');
SELECT topk.replay('s', '2025-01-01', '2025-01-02');
INSERT INTO topk.pane_offset VALUES
    (:src, 0, '2025-01-01 10:58', 10, 39, NULL, NULL, '2025-01-05 00:00'),
    (:src, 0, '2025-01-01 10:59', 30, 49, '2025-01-01 10:58:59', '2025-01-01 10:57:59', '2025-01-05 00:01'),
    (:src, 0, '2025-01-02 00:00', 45, 99, '2025-01-01 10:59:59', '2025-01-01 10:58:59', '2025-01-05 00:02');
UPDATE topk.partition SET next_offset = 100, max_event_time = '2025-01-02 00:00:30', watermark = '2025-01-01 23:59:30' WHERE partition = 0;
UPDATE topk.closer SET archived_until = '2025-01-02';
SELECT topk.replay('s', '2025-01-01 10:00', '2025-01-01 11:00');
UPDATE topk.closer SET archived_until = '2025-01-01';
UPDATE topk.partition SET unrecorded_until = '2025-01-01 00:01' WHERE partition = 0;
SELECT topk.replay('s', '2025-01-01 10:00', '2025-01-01 11:00');
UPDATE topk.partition SET unrecorded_until = '2025-01-01 00:00' WHERE partition = 0;
SELECT topk.cancel_replay(0);

-- whole windows, one replay of a source at a time
SELECT topk.replay('s', '2025-01-01 10:58:30', '2025-01-01 10:59') AS job \gset
\set VERBOSITY terse
SELECT from_time, to_time, state, attempts FROM topk.stat_replay;
SELECT topk.replay('s', '2025-01-01', '2025-01-02');
SELECT topk.cancel_replay(:job);
SELECT topk.cancel_replay(:job);
SELECT * FROM topk.begin_replay(:job, pg_backend_pid());
SELECT topk.replay('s', '2025-01-01', '2025-01-02') AS job \gset

-- what there is: the day's windows, as a close has made them, one of another day, and a pane that is not closed
SELECT all_id AS "all" FROM topk.intern_family(:src, 2, '', 'url', '{d}', '{t}') \gset
SELECT topk.intern_list(:src, '', 'url', 'd', 'x', NULL) AS x \gset
CREATE FUNCTION flush(src int, list bigint, pane timestamptz, incarnation bigint, VARIADIC items text[]) RETURNS void
LANGUAGE sql AS $$
    INSERT INTO topk.live SELECT src, pane, list, incarnation, 0, true, 1, topk_agg(i, 2, 1, 5) FROM unnest(items) i
$$;
CREATE VIEW shown AS
    SELECT window_name, window_start, dimension, value, final, revision,
           (SELECT string_agg(item || '=' || estimate, ' ' ORDER BY rank) FROM topk_items(sketch, 2)) AS items
    FROM topk.window_sketch ORDER BY window_name DESC, window_start, dimension, value NULLS FIRST;
SELECT flush(:src, :all, '2025-01-01 10:58', 1, 'a', 'b'), flush(:src, :x, '2025-01-01 10:58', 2, 'a', 'b'), flush(:src, :all, '2025-01-02 00:00', 3, 'z');
UPDATE topk.partition SET watermark = '2025-01-02 00:02';
SELECT topk.make_leaves(:src) > 0 AS made;
SELECT moved, finals FROM topk.close(:src);
SELECT flush(:src, :all, '2025-01-01 10:59', 4, 'c');
SELECT * FROM shown;

-- an attempt: what to read, with the clock of its first offset; up to where workers are
SELECT source_id = :src AS right, from_time, to_time, config_version, obstacle FROM topk.begin_replay(:job, pg_backend_pid());
SELECT * FROM topk.replay_ranges(:job);
UPDATE topk.partition SET next_offset = 40 WHERE partition = 0;
SELECT partition, first_offset, end_offset FROM topk.replay_ranges(:job);
UPDATE topk.partition SET next_offset = 100 WHERE partition = 0;

-- staged panes, merged in two steps; a list that is new, and one that has nothing any more
SELECT topk.intern_list(:src, '', 'url', 'd', 'y', NULL) AS y \gset
INSERT INTO topk.replay_pane SELECT :job, '2025-01-01 10:58', l, 1, topk_agg(i, 2, 1, 5) FROM unnest(ARRAY['n', 'n', 'm']) i, unnest(ARRAY[:all, :y]) l GROUP BY l;
INSERT INTO topk.replay_pane SELECT :job, '2025-01-01 11:00', :all, 2, topk_agg(i, 2, 1, 5) FROM unnest(ARRAY['m', 'm']) i;
SELECT topk.make_leaves(:src) AS made;
SELECT topk.merge_replay(:job, '2025-01-01 11:00', 20000), topk.merge_replay(:job, NULL, 20000), topk.merge_replay(:job, NULL, 20000);

-- no swap without the workers held, behind them, or after a change
SELECT topk.swap_replay(:job, '{0,1}', '{10,0}', '{50,0}');
SELECT topk.hold_replay(:job, 60), (SELECT string_agg(epoch::text, ',' ORDER BY partition) FROM topk.partition) AS epochs;
SELECT epoch FROM topk.claim_partitions(:src, 0, '{0,1}', '{0,0}', '{100,100}');
SELECT topk.swap_replay(:job, '{0,1}', '{10,0}', '{49,0}');
SELECT topk.swap_replay(:job, '{0,1}', '{10,0}', '{60,0}');
SELECT topk.swap_replay(:job, '{0,1}', '{5,0}', '{50,0}');
SELECT topk.swap_replay(:job, '{0}', '{10}', '{50}');
UPDATE topk.source_state SET config_version = config_version + 1;
SELECT topk.swap_replay(:job, '{0,1}', '{10,0}', '{50,0}');
UPDATE topk.source_state SET config_version = config_version - 1;
SELECT count(*) AS unchanged FROM shown WHERE items ~ 'a=1';

-- the swap: the day is what was staged, the other day is what it was, final windows stay final
SELECT topk.swap_replay(:job, '{0,1}', '{10,0}', '{50,0}');
SELECT * FROM shown;
SELECT state, config_version, held_until FROM topk.replay_job WHERE replay_id = :job;
SELECT (SELECT count(*) FROM topk.replay_win) AS staged, (SELECT string_agg(epoch::text, ',' ORDER BY partition) FROM topk.partition) AS epochs;
SELECT epoch FROM topk.claim_partitions(:src, 0, '{0,1}', '{0,0}', '{100,100}');
SELECT moved, finals FROM topk.close(:src);
SELECT window_name, window_start, final, revision FROM shown WHERE value IS NULL AND dimension = 'all';
SELECT topk.swap_replay(:job, '{0,1}', '{10,0}', '{50,0}');

-- what retention has dropped is not brought back: minutes of before its leaf, but not the hours and days
SELECT topk.replay('s', '2025-01-01', '2025-01-02') AS job \gset
UPDATE topk.closer SET watermark = '2025-01-04';
SELECT topk.drop_leaf(:src) IS NOT NULL AS dropped, topk.drop_leaf(:src) IS NOT NULL AS dropped;
SELECT obstacle FROM topk.begin_replay(:job, pg_backend_pid());
INSERT INTO topk.replay_pane SELECT :job, '2025-01-01 10:58', :all, 1, topk_agg(i, 2, 1, 5) FROM unnest(ARRAY['r']) i;
SELECT topk.merge_replay(:job, NULL, 20000), topk.hold_replay(:job, 60), topk.swap_replay(:job, '{0,1}', '{10,0}', '{50,0}');
SELECT window_name, window_start, final, revision, items FROM shown WHERE value IS NULL AND dimension = 'all';

-- panes of which Kafka has dropped the offsets are forgotten by the next claim
SELECT epoch FROM topk.claim_partitions(:src, 0, '{0,1}', '{45,0}', '{100,100}');
SELECT pane, last_offset FROM topk.pane_offset ORDER BY 1;
SELECT partition, unrecorded_until FROM topk.partition ORDER BY 1;
SELECT topk.replay('s', '2025-01-01', '2025-01-02');

-- a source that goes takes its replays with it
SELECT topk.replay('s', '2025-01-02', '2025-01-03') AS job \gset
INSERT INTO topk.replay_pane SELECT :job, '2025-01-02 10:58', :all, 1, topk_agg(i, 2, 1, 5) FROM unnest(ARRAY['r']) i;
SELECT topk.drop_source('s');
SELECT (SELECT count(*) FROM topk.replay_job) AS jobs, (SELECT count(*) FROM topk.replay_pane) AS staged, (SELECT count(*) FROM topk.pane_offset) AS recorded;

-- windows that do not nest: the days of the stretch are made anew, those of another zone that reach over its edges stay,
-- with the panes that were not in them yet
SELECT topk.create_source('z', server => 'k', topic => 't') AS src \gset
SELECT topk.create_rule('z', event_type => 'e', item_type => 'url', item_path => 'u') > 0 AS created;
SELECT topk.drop_window('z', '1-minute'), topk.drop_window('z', '1-hour');
SELECT topk.create_window('z', 'day-in-tokyo', '1 day', retention => '90 days', time_zone => 'Asia/Tokyo') > 0 AS created;
SELECT epoch FROM topk.claim_partitions(:src, 0, '{0}', '{0}', '{100}');
INSERT INTO topk.pane_offset VALUES (:src, 0, '2025-01-01 20:00', 0, 99, NULL, NULL, now());
UPDATE topk.partition SET next_offset = 100 WHERE source_id = :src;
SELECT all_id AS "all" FROM topk.intern_family(:src, (SELECT config_version FROM topk.source_state WHERE source_id = :src), '', 'url', '{}', '{}') \gset
SELECT flush(:src, :all, '2025-01-01 02:00', 1, 'early'), flush(:src, :all, '2025-01-01 20:00', 2, 'old'), flush(:src, :all, '2025-01-02 20:00', 3, 'late');
SELECT topk.replay('z', '2025-01-01 20:00', '2025-01-01 20:01') AS job \gset
SELECT from_time, to_time FROM topk.begin_replay(:job, pg_backend_pid());
INSERT INTO topk.replay_pane SELECT :job, p, :all, 1, topk_agg(i, 2, 1, 5) FROM (VALUES ('2025-01-01 02:00'::timestamptz, 'early'), ('2025-01-01 20:00', 'new')) v(p, i) GROUP BY p;
SELECT topk.make_leaves(:src) > 0 AS made, topk.merge_replay(:job, NULL, 20000), topk.hold_replay(:job, 60);
SELECT topk.swap_replay(:job, '{0}', '{0}', '{100}');
SELECT window_name, window_start, dimension, items FROM shown WHERE window_name ~ 'day' ORDER BY 1, 2;
SELECT count(*) AS live FROM topk.live;
SELECT topk.drop_source('z');
DROP VIEW shown;
DROP FUNCTION flush;
DROP SERVER k;

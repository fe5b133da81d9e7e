-- Changes of sources, rules and sinks: what they refuse, and that each is one version of the configuration.
\set VERBOSITY default
\set SHOW_CONTEXT never
SET client_min_messages = warning;
SET timezone = 'UTC';
SET datestyle = 'ISO';
CREATE EXTENSION IF NOT EXISTS topk;
CREATE SERVER k FOREIGN DATA WRAPPER topk_kafka OPTIONS (bootstrap_servers '127.0.0.1:1');
CREATE SERVER r FOREIGN DATA WRAPPER topk_redis OPTIONS (host '127.0.0.1', port '1');
SELECT topk.create_source('s', server => 'k', topic => 't') AS src \gset
SELECT topk.create_rule('s', event_type => 'e', item_type => 'i', item_path => 'p', dimensions => '{"d": "x"}', weight_path => 'w') > 0 AS created;
SELECT count(*) AS claimed FROM topk.claim_partitions(:src, 0, '{0}', '{0}', '{9}');
CREATE VIEW step AS SELECT st.config_version AS version, p.epoch FROM topk.source_state st JOIN topk.partition p USING (source_id) JOIN topk.source s USING (source_id) WHERE s.name = 's';
SELECT * FROM step;

-- sources: any number of settings is one version, and fences the workers once
SELECT topk.alter_source('s', workers => 3, k => 50, capacity => 60, flush_interval => '2 seconds', time_path => 'at', tenant_path => 'who');
SELECT * FROM step;
SELECT workers, event_type_path, time_path, tenant_path, out_of_orderness, allowed_lateness, idle_timeout, max_future, flush_interval, k, capacity
FROM topk.source WHERE name = 's';
SELECT topk.alter_source('s', event_type_path => 'type', out_of_orderness => '2 minutes', allowed_lateness => '2 hours',
    idle_timeout => '1 minute', max_future => '1 hour', reset => '{time_path,tenant_path}');
SELECT workers, event_type_path, time_path, tenant_path, out_of_orderness, allowed_lateness, idle_timeout, max_future, flush_interval, k, capacity
FROM topk.source WHERE name = 's';
SELECT * FROM step;
-- nothing changes
SELECT topk.alter_source('s'), topk.alter_source('s', workers => 3, reset => '{time_path}');
SELECT * FROM step;
-- a paused source stays paused
SELECT topk.pause('s');
SELECT topk.alter_source('s', workers => 1);
SELECT enabled, workers FROM topk.source WHERE name = 's';
SELECT topk.resume('s');
SELECT * FROM step;

-- refused, with nothing stored
SELECT topk.alter_source('nowhere', workers => 2);
SELECT topk.alter_source('s', topic => 'u');
SELECT topk.alter_source('s', pane_size => '10 seconds');
SELECT topk.alter_source('s', workers => 0);
SELECT topk.alter_source('s', workers => 2, k => 61);
SELECT topk.alter_source('s', capacity => 49);
SELECT topk.alter_source('s', capacity => 65537);
SELECT topk.alter_source('s', k => 10001, capacity => 65536);
SELECT topk.alter_source('s', event_type_path => 'a..b');
SELECT topk.alter_source('s', time_path => '"a');
SELECT topk.alter_source('s', out_of_orderness => '-1 second');
SELECT topk.alter_source('s', allowed_lateness => '2 days');
SELECT topk.alter_source('s', idle_timeout => '0');
SELECT topk.alter_source('s', max_future => '1 year');
SELECT topk.alter_source('s', flush_interval => '1 millisecond');
SELECT topk.alter_source('s', reset => '{workers}');
SELECT topk.alter_source('s', reset => '{NULL}');
SELECT topk.alter_source('s', time_path => 'at', reset => '{time_path}');
SELECT * FROM step;

-- rules
SELECT topk.alter_rule('s', 'e', item_path => 'q', weight => 7, missing_value => 'none', reset => '{weight_path}');
SELECT * FROM step;
SELECT event_type, item_type, item_path, weight, weight_path, dimensions, missing_value FROM topk.rule;
SELECT topk.alter_rule('s', 'e'), topk.alter_rule('s', 'e', item_path => 'q', dimensions => '{"d": "x"}');
SELECT * FROM step;
SELECT topk.alter_rule('nowhere', 'e', weight => 2);
SELECT topk.alter_rule('s', 'f', weight => 2);
SELECT topk.alter_rule('s', 'e', item_type => 'j');
SELECT topk.alter_rule('s', 'e', item_path => 'q.');
SELECT topk.alter_rule('s', 'e', weight => 0);
SELECT topk.alter_rule('s', 'e', weight_path => '');
SELECT topk.alter_rule('s', 'e', missing_value => repeat('x', 513));
SELECT topk.alter_rule('s', 'e', dimensions => '["d"]');
SELECT topk.alter_rule('s', 'e', dimensions => '{"all": "x"}');
SELECT topk.alter_rule('s', 'e', dimensions => 'null');
SELECT topk.alter_rule('s', 'e', reset => '{missing_value}');
SELECT topk.alter_rule('s', 'e', weight_path => 'w', reset => '{weight_path}');
SELECT * FROM step;

-- A dimension that goes parts its list from that of `all`, wherever it is stored: in windows, in panes, in the
-- archive; one that stays is shared on, and one that comes back does not share again.
SELECT topk.alter_rule('s', 'e', dimensions => '{"d": "x", "o": "y"}');
SELECT all_id AS "all" FROM topk.intern_family(:src, (SELECT version FROM step), '', 'i', '{d,o}', '{t,t}') \gset
CREATE FUNCTION flush(src int, list bigint, pane timestamptz, incarnation bigint, sealed boolean, VARIADIC items text[]) RETURNS void
LANGUAGE sql AS $$
    INSERT INTO topk.live (source_id, pane, list_id, incarnation, worker, sealed, version, sketch)
    SELECT src, pane, list, incarnation, 0, sealed, 1, topk_agg(i, 2, 1, 5) FROM unnest(items) i
$$;
CREATE VIEW totals AS
    SELECT w.dimension, topk_total(topk_merge(w.sketch)) AS total, (SELECT l.base_id = l.list_id FROM topk.list l
           WHERE l.source_id = w.source_id AND l.dimension = w.dimension AND l.value IS NULL) AS own
    FROM topk.window_sketch w WHERE w.window_name = '1-day' GROUP BY w.source_id, w.dimension ORDER BY 1;
SELECT flush(:src, :all, '2025-01-01 10:58', 1, true, 'a', 'b', 'a');
UPDATE topk.partition SET watermark = '2025-01-01 11:00', max_event_time = '2025-01-01 11:01' WHERE source_id = :src;
SELECT topk.make_leaves(:src) > 0 AS made;
SELECT moved FROM topk.close(:src);
SELECT flush(:src, :all, '2025-01-01 11:00', 2, true, 'a'), flush(:src, :all, '2025-01-01 11:01', 3, false, 'c');
INSERT INTO topk.archive SELECT :all, topk_agg('old'::text);
SELECT * FROM totals;
SELECT topk.alter_rule('s', 'e', dimensions => '{"o": "y"}');
SELECT * FROM totals;
SELECT l.dimension, topk_total(a.sketch) FROM topk.archive a JOIN topk.list l USING (list_id) ORDER BY 1;
SELECT sealed, count(*) FROM topk.live WHERE source_id = :src GROUP BY 1;
-- what only `all` has counted since is not in the parted list
SELECT flush(:src, :all, '2025-01-01 11:01', 4, true, 'z', 'z');
SELECT * FROM totals;
SELECT topk.alter_rule('s', 'e', dimensions => '{"d": "x", "o": "y"}');
SELECT array_length(across_ids, 1) AS dimensions, across_ids[1] IS NOT NULL AS d_own, across_ids[2] IS NULL AS o_shared
FROM topk.intern_family(:src, (SELECT version FROM step), '', 'i', '{d,o}', '{t,t}');
SELECT * FROM totals;
SELECT * FROM step;

-- sinks
SELECT topk.create_sink('s', server => 'r', name => 'one') > 0 AS created;
SELECT topk.create_sink('s', server => 'r', name => 'two', window_key => '2:%window%:%dimension%:%minutes%', meta_key => '2m:%window%:%dimension%:%minutes%',
    item_key => NULL, global_key => '2g:%item_type%', global_meta_key => '2gm:%item_type%') > 0 AS created;
CREATE VIEW sinks AS SELECT name, k, window_key, meta_key, item_key, global_key, global_meta_key FROM topk.sink ORDER BY name;
SELECT topk.alter_sink('two', k => 10, item_key => '2i:%item%:%dimension%');
SELECT topk.alter_sink('one', item_key => 'thing:%item%:%dimension%', reset => '{global_meta_key}');
SELECT * FROM sinks;
SELECT topk.alter_sink('two', reset => '{k,item_key,global_key,global_meta_key}');
SELECT topk.alter_sink('two', window_key => '2:%window%:%dimension%:%minutes%:%value%', meta_key => '2m:%window%:%dimension%:%minutes%:%value%');
SELECT * FROM sinks;
SELECT topk.alter_sink('three', k => 1);
SELECT topk.alter_sink('two', k => 51);
SELECT topk.alter_sink('two', k => 0);
SELECT topk.alter_sink('two', window_key => '2:%window%');
SELECT topk.alter_sink('two', window_key => '2:%window%:%dimension%:%minutes%');
SELECT topk.alter_sink('two', item_key => 'thing:%item%:%dimension%');
SELECT topk.alter_sink('two', global_meta_key => 'm:%item_type%');
SELECT topk.alter_sink('two', reset => '{window_key}');
SELECT * FROM step;

-- a sink that takes the source's k publishes anew when that changes; one with its own keeps it
CREATE TEMP TABLE before AS SELECT name, incarnation FROM topk.sink;
SELECT topk.alter_sink('one', k => 20);
SELECT topk.alter_source('s', k => 19);
SELECT topk.alter_source('s', k => 40);
SELECT s.name, s.incarnation - b.incarnation AS newer FROM topk.sink s JOIN before b USING (name) ORDER BY 1;
SELECT k, capacity FROM topk.source WHERE name = 's';

DROP VIEW step, totals, sinks;
DROP FUNCTION flush;
SELECT topk.drop_source('s');
-- numbers begin anew for whatever test comes next
DROP EXTENSION topk CASCADE;

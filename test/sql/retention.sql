-- What bounds what is kept: dead letters and late events by age and by size, first offsets of configurations, lists of
-- values that nothing is left of.  (Leaves of windows: close_windows and windows.)
\set VERBOSITY default
\set SHOW_CONTEXT never
SET client_min_messages = warning;
SET timezone = 'UTC';
SET datestyle = 'ISO';
CREATE EXTENSION IF NOT EXISTS topk;
CREATE SERVER k FOREIGN DATA WRAPPER topk_kafka OPTIONS (bootstrap_servers '127.0.0.1:1');
SELECT topk.create_source('s', server => 'k', topic => 't', late_policy => 'maybe');
SELECT topk.create_source('s', server => 'k', topic => 't', letter_retention => '-1 second');
SELECT topk.create_source('s', server => 'k', topic => 't', letter_max_bytes => -1);
SELECT topk.create_source('s', server => 'k', topic => 't', late_policy => 'keep', letter_retention => '2 days', letter_max_bytes => 10000) AS src \gset
SELECT topk.create_source('other', server => 'k', topic => 't') AS other \gset
SELECT topk.create_rule('s', event_type => 'e', item_type => 'i', item_path => 'p', dimensions => '{"d": "d"}') > 0 AS created;
SELECT name, late_policy, letter_retention, letter_max_bytes FROM topk.source ORDER BY name;
SELECT topk.alter_source('s', late_policy => NULL), topk.alter_source('other', late_policy => 'keep', letter_retention => '1 hour', letter_max_bytes => 5);
SELECT topk.alter_source('s', late_policy => 'perhaps');
SELECT name, late_policy, letter_retention, letter_max_bytes FROM topk.source ORDER BY name;
SELECT topk.alter_source('other', letter_retention => '7 days', letter_max_bytes => 1000000);

-- 40 letters an hour apart, of 300 and of 1,200 bytes, in both tables and of both sources
INSERT INTO topk.dead_letter_row (source_id, topic, partition, kafka_offset, key, payload, payload_bytes, reason, created_at)
SELECT s.source_id, 't', 0, n, 'k', convert_to(repeat('x', CASE WHEN n <= 30 THEN 99 ELSE 999 END), 'UTF8'), 99, 'bad_json', now() - (n - 0.5) * interval '1 hour'
FROM topk.source s, generate_series(1, 40) n ORDER BY n DESC;
INSERT INTO topk.late_event (source_id, partition, kafka_offset, event_time, watermark, tenant, event_type, payload, payload_bytes, created_at)
SELECT s.source_id, 0, n, now(), now(), '', 'e', NULL, 0, now() - (n - 0.5) * 2 * interval '1 hour' FROM topk.source s, generate_series(1, 40) n ORDER BY n DESC;
CREATE VIEW kept AS SELECT name, (SELECT count(*) || ' of ' || sum(bytes) || ' bytes, oldest ' || max(kafka_offset) FROM topk.dead_letter l WHERE l.source_id = s.source_id) AS dead,
    (SELECT count(*) || ' of ' || sum(bytes) || ' bytes, oldest ' || max(kafka_offset) FROM topk.late_event l WHERE l.source_id = s.source_id) AS late FROM topk.source s ORDER BY name;
SELECT * FROM kept;
-- by size: 30 of 300 bytes and no larger one; by age: 24 in 48 hours; the oldest first, in batches
SELECT topk.trim(:src, 4) AS more;
SELECT * FROM kept;
SELECT topk.trim(:src, 10) AS more, topk.trim(:src, 10) AS more, topk.trim(:src, 10) AS more;
SELECT * FROM kept;
SELECT topk.trim(:other) AS more;
SELECT * FROM kept;
SELECT topk.alter_source('s', letter_max_bytes => 0);
SELECT topk.trim(:src) AS more;
SELECT * FROM kept;

-- first offsets: those that applied to anything within the longest retention, and always the newest of each partition
INSERT INTO topk.adoption SELECT :src, p, v, v * 100, now() - (500 - v * 20) * interval '1 day' FROM generate_series(0, 1) p, generate_series(1, 4 + p * 8) v;
SELECT topk.trim(:src) AS more;
SELECT partition, array_agg(config_version ORDER BY config_version) AS versions FROM topk.adoption WHERE source_id = :src GROUP BY 1 ORDER BY 1;

-- lists: of old ones those are left that have a sketch anywhere, that stand for a family, or that are new
SELECT count(*) AS claimed FROM topk.claim_partitions(:src, 0, '{0,1}', '{0,0}', '{9,9}');
SELECT all_id AS "all" FROM topk.source_state st, topk.intern_family(:src, st.config_version, '', 'i', '{d}', '{t}') WHERE st.source_id = :src \gset
SELECT count(topk.intern_list(:src, '', 'i', 'd', v, NULL)) AS lists FROM unnest('{live,stored,gone,fresh}'::text[]) v;
UPDATE topk.list SET created_at = now() - interval '401 days' WHERE value IS DISTINCT FROM 'fresh';
INSERT INTO topk.live SELECT :src, timestamptz '2025-01-01' + CASE value WHEN 'live' THEN 1 ELSE 0 END * interval '1 day', list_id, 1, 0, true, 1, topk_agg('x'::text)
FROM topk.list WHERE value IN ('live', 'stored') OR list_id = :all GROUP BY value, list_id;
UPDATE topk.partition SET watermark = '2025-01-01 12:00', max_event_time = '2025-01-01 12:01';
SELECT topk.make_leaves(:src) > 0 AS made;
SELECT moved FROM topk.close(:src);
CREATE VIEW fence AS SELECT partition, epoch FROM topk.partition WHERE source_id = (SELECT source_id FROM topk.source WHERE name = 's') ORDER BY 1;
SELECT * FROM fence;
SELECT topk.collect_lists(:src) AS collected;
SELECT dimension, value FROM topk.list WHERE source_id = :src ORDER BY list_id;
SELECT * FROM fence;
-- once a day; and no worker is disturbed when there is nothing to do
UPDATE topk.list SET created_at = now() - interval '401 days';
SELECT topk.collect_lists(:src) AS collected;
UPDATE topk.closer SET collected_at = now() - interval '25 hours';
SELECT topk.collect_lists(:src) AS collected;
UPDATE topk.closer SET collected_at = now() - interval '25 hours';
SELECT topk.collect_lists(:src) AS collected;
SELECT dimension, value FROM topk.list WHERE source_id = :src ORDER BY list_id;
SELECT * FROM fence;
-- days that go into the archive are those of all lists together, so that lists of values do not stay for ever
UPDATE topk.live SET sealed = true;
UPDATE topk.partition SET watermark = '2027-01-01', max_event_time = '2027-01-01';
SELECT moved FROM topk.close(:src);
DO $$ BEGIN WHILE topk.drop_leaf((SELECT source_id FROM topk.source WHERE name = 's')) IS NOT NULL LOOP END LOOP; END $$;
SELECT dimension, value, topk_total(sketch) AS total FROM topk.archive JOIN topk.list USING (list_id);
UPDATE topk.closer SET collected_at = now() - interval '25 hours';
SELECT topk.collect_lists(:src) AS collected;
SELECT dimension, value FROM topk.list WHERE source_id = :src ORDER BY list_id;

SELECT topk.drop_source('s'), topk.drop_source('other');
SELECT count(*) FROM topk.dead_letter, topk.late_event;
DROP VIEW kept, fence;
-- numbers begin anew for whatever test comes next
DROP EXTENSION topk CASCADE;

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

-- Dead letters in blocks, between ones in rows: 20 rows of 300 bytes, 10 blocks of 8 such letters, 20 rows.
-- (What a worker writes: 041_letter_blocks.)
SELECT topk.alter_source('s', letter_max_bytes => 1000000);
CREATE PROCEDURE put_letters(src integer, row_age interval, block_age interval) LANGUAGE plpgsql AS $$
BEGIN
    FOR n IN 1 .. 50 LOOP
        IF n BETWEEN 21 AND 30 THEN
            INSERT INTO topk.dead_letter_block (source_id, topic, partition, reason, created_at, bytes, kafka_offsets, keys, payloads, kafka_times)
            SELECT src, 't', n % 2, CASE n WHEN 25 THEN 'bad_time' ELSE 'bad_json' END, now() - block_age, 2400, array_agg(n * 100 + o),
                array_agg(CASE WHEN o % 2 = 0 THEN 'key'::bytea END), array_agg(convert_to(repeat('x', CASE WHEN o % 2 = 0 THEN 97 ELSE 100 END), 'UTF8')),
                array_agg(CASE WHEN o < 8 THEN to_timestamp(n + o) END)
            FROM generate_series(1::bigint, 8) o;
        ELSE
            INSERT INTO topk.dead_letter_row (source_id, topic, partition, kafka_offset, payload, payload_bytes, kafka_time, reason, created_at)
            VALUES (src, 't', n % 2, n * 100, convert_to(repeat('x', 100), 'UTF8'), 100, to_timestamp(n), 'bad_json', now() - row_age);
        END IF;
    END LOOP;
END
$$;
CREATE VIEW letters AS SELECT count(*) AS letters, sum(bytes) AS bytes, count(DISTINCT dead_letter_id) AS ids, count(*) FILTER (WHERE queued) AS queued,
    min(kafka_offset) AS first, max(kafka_offset) AS last, (SELECT count(*) FROM topk.dead_letter_row) AS rows, (SELECT count(*) FROM topk.dead_letter_block) AS blocks
    FROM topk.dead_letter WHERE source_id = (SELECT source_id FROM topk.source WHERE name = 's');
DELETE FROM topk.dead_letter;
CALL put_letters(:src, '1 hour', '1 hour');
SELECT * FROM letters;
SELECT kafka_offset, key, octet_length(payload) AS payload, payload_bytes, kafka_time, reason, queued, retries, bytes,
    dead_letter_id - min(dead_letter_id) OVER () AS id FROM topk.dead_letter WHERE kafka_offset BETWEEN 2000 AND 2101 + 100 ORDER BY dead_letter_id;
-- by size: the oldest first, rows and blocks alike, and no part of a block
SELECT topk.alter_source('s', letter_max_bytes => 300 * 98);
SELECT topk.trim(:src, 10) AS more;
SELECT * FROM letters;
SELECT topk.trim(:src, 12) AS more;
SELECT * FROM letters;
SELECT topk.trim(:src, 12) AS more;
SELECT * FROM letters;
SELECT topk.alter_source('s', letter_max_bytes => 300 * 29);
SELECT topk.trim(:src) AS more;
SELECT * FROM letters;
-- by age
SELECT topk.alter_source('s', letter_max_bytes => 1000000);
DELETE FROM topk.dead_letter;
CALL put_letters(:src, '1 hour', '3 days');
SELECT topk.trim(:src, 30) AS more;
SELECT * FROM letters;
SELECT topk.trim(:src) AS more;
SELECT * FROM letters;
-- purging by reason and age counts letters
DELETE FROM topk.dead_letter;
CALL put_letters(:src, '1 hour', '3 hours');
SELECT topk.purge_dead_letters('s', 'no_time') AS none, topk.purge_dead_letters('s', 'bad_time') AS of_a_reason,
    topk.purge_dead_letters('s', older_than => '2 hours') AS old;
SELECT * FROM letters;
SELECT topk.purge_dead_letters('s') AS others;
SELECT * FROM letters;
-- one letter of a block is deleted: the others become rows, with their ids
CALL put_letters(:src, '1 hour', '1 hour');
CREATE TABLE before AS SELECT * FROM topk.dead_letter;
DELETE FROM topk.dead_letter WHERE kafka_offset IN (2105, 2303, 2000, 7777) RETURNING kafka_offset;
SELECT * FROM letters;
SELECT kafka_offset, reason, bytes FROM (TABLE before EXCEPT TABLE topk.dead_letter) gone ORDER BY 1;
SELECT count(*) AS made_up FROM (TABLE topk.dead_letter EXCEPT TABLE before) new;
-- a retry queues each once, and leaves those that were cut
INSERT INTO topk.dead_letter_row (source_id, topic, partition, kafka_offset, payload, payload_bytes, reason) VALUES (:src, 't', 0, 9999, 'x', 2, 'bad_time');
SELECT * FROM topk.retry_dead_letters('s', 'bad_time');
SELECT * FROM letters;
SELECT * FROM topk.retry_dead_letters('s');
SELECT * FROM topk.retry_dead_letters('s');
SELECT * FROM letters;
-- dropping the source drops both kinds (below)
CALL put_letters(:src, '1 hour', '1 hour');
DROP VIEW letters;
DROP TABLE before;
DROP PROCEDURE put_letters;

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
SELECT (SELECT count(*) FROM topk.dead_letter_row) AS rows, (SELECT count(*) FROM topk.dead_letter_block) AS blocks, (SELECT count(*) FROM topk.late_event) AS late;
DROP VIEW kept, fence;
-- numbers begin anew for whatever test comes next
DROP EXTENSION topk CASCADE;

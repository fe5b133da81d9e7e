-- topk.seek: what is refused, and what it records.  (The launcher is off here: nothing asks Kafka.)
\set VERBOSITY terse
SET client_min_messages = warning;
SET timezone = 'UTC';
SET datestyle = 'ISO';
CREATE EXTENSION IF NOT EXISTS topk;
RESET client_min_messages;
CREATE SERVER k FOREIGN DATA WRAPPER topk_kafka OPTIONS (bootstrap_servers '127.0.0.1:1');
SELECT topk.create_source('s', server => 'k', topic => 't') AS src \gset
SELECT topk.create_rule('s', event_type => 'e', item_type => 'i', item_path => 'p') > 0 AS created;

SELECT topk.seek('nowhere', to_position => 'earliest');
SELECT topk.seek('s', to_position => 'earliest');
SELECT epoch, next_offset FROM topk.claim_partitions(:src, 0, '{0,1}', '{0,0}', '{100,100}');
SELECT topk.seek('s');
SELECT topk.seek('s', 0, kafka_offset => 5, to_position => 'latest');
SELECT topk.seek('s', 0, to_position => 'middle');
SELECT topk.seek('s', kafka_offset => 5);
SELECT topk.seek('s', 0, kafka_offset => -1);
SELECT topk.seek('s', 7, kafka_offset => 5);
SELECT topk.seek('s', at => 'infinity');
SELECT topk.seek('s', at => '1969-01-01');
SELECT partition, epoch, next_offset FROM topk.partition ORDER BY 1;
SELECT count(*) FROM topk.seek_log;

-- an offset is taken at once, and the epoch tells the worker
SELECT topk.seek('s', 1, kafka_offset => 50);
UPDATE topk.partition SET max_event_time = '2025-01-01 10:03', watermark = '2025-01-01 10:02' WHERE partition = 1;
INSERT INTO topk.pane_offset VALUES (:src, 1, '2025-01-01 10:00', 0, 30, NULL, NULL, now()),
    (:src, 1, '2025-01-01 10:01', 20, 49, '2025-01-01 10:00:59', '2025-01-01 09:59:59', now());
\set VERBOSITY default
SELECT topk.seek('s', 1, kafka_offset => 25);
\set VERBOSITY terse
SELECT partition, epoch, next_offset, max_event_time, watermark FROM topk.partition ORDER BY 1;
SELECT partition, from_offset, to_offset, skipped, repeated, resolved_at IS NOT NULL AS resolved FROM topk.seek_log ORDER BY seek_id;

-- what only Kafka knows waits for the worker; another seek takes its place
SELECT topk.seek('s', to_position => 'latest');
SELECT topk.seek('s', 0, at => '2025-01-01');
SELECT partition, to_position, at, to_offset FROM topk.seek_log WHERE to_offset IS NULL ORDER BY 1;
SELECT topk.seek('s', 1, kafka_offset => 25);
SELECT seek_id AS pending FROM topk.seek_log WHERE to_offset IS NULL \gset
SELECT topk.resolve_seek(:pending, 60);
SELECT topk.resolve_seek(:pending, 70);
SELECT partition, epoch, next_offset FROM topk.partition ORDER BY 1;
SELECT partition, to_position, at, from_offset, to_offset, skipped FROM topk.seek_log WHERE seek_id = :pending;

-- another event time: what is recorded of the former is void
SELECT topk.alter_source('s', time_path => 'metadata.other');
SELECT count(*) FROM topk.pane_offset;
SELECT partition, unrecorded_until FROM topk.partition ORDER BY 1;
SELECT topk.drop_source('s');
SELECT count(*) FROM topk.seek_log;
DROP SERVER k;

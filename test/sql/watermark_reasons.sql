-- Which partition holds the source back, and why: one after the other.
\set VERBOSITY terse
SET client_min_messages = warning;
SET timezone = 'UTC';
SET datestyle = 'ISO';
CREATE EXTENSION IF NOT EXISTS topk;
CREATE SERVER k FOREIGN DATA WRAPPER topk_kafka OPTIONS (bootstrap_servers '127.0.0.1:1');
SELECT topk.create_source('s', server => 'k', topic => 't', workers => 2) AS src \gset
SELECT topk.create_rule('s', event_type => 'e', item_type => 'i', item_path => 'p') > 0 AS created;
SELECT count(*) AS claimed FROM topk.claim_partitions(:src, 0, '{0,1,2,3}', '{0,0,0,0}', '{0,0,0,0}');
CREATE VIEW why AS SELECT partition, watermark::time, lag, lag_seconds > 1000 AS old, idle, holds_back, reason FROM topk.stat_watermark ORDER BY partition;
SELECT * FROM why;
INSERT INTO topk.worker (source_id, worker, pid, state) VALUES (:src, 0, pg_backend_pid(), 'running');
INSERT INTO topk.worker (source_id, worker, pid, state) VALUES (:src, 1, pg_backend_pid(), 'retrying');
SELECT * FROM why;
UPDATE topk.worker SET state = 'running';
-- a partition that was never read holds it, whatever the others say
UPDATE topk.partition SET watermark = '2025-01-01 10:00', max_event_time = '2025-01-01 10:01' WHERE partition <> 3;
SELECT * FROM why;
SELECT topk.source_watermark(:src);
UPDATE topk.partition SET at_end_since = now() WHERE partition = 3;
SELECT * FROM why;
UPDATE topk.partition SET idle = true WHERE partition = 3;
-- the one that is behind holds it; idle ones do not, also not with an older watermark
UPDATE topk.partition SET watermark = '2025-01-01 09:00', max_event_time = '2025-01-01 09:01', log_end = 12345 WHERE partition = 1;
UPDATE topk.partition SET watermark = '2025-01-01 08:00', idle = true WHERE partition = 2;
SELECT * FROM why;
SELECT topk.source_watermark(:src);
-- a worker that does not run: its partitions are not idle any more
UPDATE topk.worker SET pid = 0 WHERE worker = 0;
SELECT * FROM why;
SELECT topk.source_watermark(:src);
SELECT topk.pause('s');
SELECT partition, holds_back, reason FROM why;
-- what became of the messages, partition by partition
UPDATE topk.partition SET events = 21, counted = 1, late = 1, too_late = 2, dead_letters = 3, no_rule = 4, no_item = 5, tombstones = 6 WHERE partition = 2;
SELECT source, partition, events, counted, late, too_late, dead_letters, no_rule, no_item, tombstones FROM topk.stat_partition WHERE events > 0;
DROP VIEW why;
SELECT topk.drop_source('s');
-- numbers begin anew for whatever test comes next
DROP EXTENSION topk CASCADE;

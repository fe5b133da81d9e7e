-- A stored row depends on the panes in it, and not on how many of them a close took in at once.
\set VERBOSITY terse
SET client_min_messages = warning;
SET timezone = 'UTC';
SET datestyle = 'ISO';
CREATE EXTENSION IF NOT EXISTS topk;
CREATE SERVER k FOREIGN DATA WRAPPER topk_kafka OPTIONS (bootstrap_servers '127.0.0.1:1');
SELECT topk.create_source('s', server => 'k', topic => 't', k => 5, capacity => 20) AS src \gset
SELECT topk.create_rule('s', event_type => 'e', item_type => 'url', item_path => 'u') > 0 AS created;
SELECT count(*) FROM topk.claim_partitions(:src, 0, '{0}', '{0}', '{100}');
SELECT all_id AS "all" FROM topk.intern_family(:src, 2, '', 'url', '{}', '{}') \gset

-- forty panes over midnight, each in three parts, of more items than a row keeps
CREATE TEMP TABLE part AS
    SELECT '2025-01-01 23:40'::timestamptz + n % 40 * interval '1 minute' AS pane, n AS incarnation,
           topk_agg(('i' || (hashint4(i * 1000 + n) & 1023) % (i + 1))::text, 5, 1, 20) AS sketch
    FROM generate_series(1, 120) n, generate_series(1, 60) i GROUP BY n;
CREATE FUNCTION fill(src int, list bigint) RETURNS void LANGUAGE sql AS $$
    DELETE FROM topk.win;
    INSERT INTO topk.live (source_id, pane, list_id, incarnation, worker, sealed, version, sketch)
    SELECT src, pane, list, incarnation, 0, true, 1, sketch FROM part
$$;
-- the watermark moves by so many panes at a time; a close takes in about so many rows
CREATE FUNCTION close_by(src int, panes int, most int) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    closes bigint := 0;
BEGIN
    UPDATE topk.closer SET watermark = NULL WHERE source_id = src;
    FOR n IN 0 .. (40 + panes - 1) / panes LOOP
        UPDATE topk.partition SET watermark = '2025-01-01 23:40'::timestamptz + n * panes * interval '1 minute' WHERE source_id = src;
        PERFORM topk.make_leaves(src);
        WHILE (SELECT moved > 0 FROM topk.close(src, most)) LOOP
            closes := closes + 1;
        END LOOP;
    END LOOP;
    RETURN closes;
END
$$;
CREATE TEMP TABLE wanted (window_id int, window_start timestamptz, list_id bigint, sketch topk);

SELECT fill(:src, :all), close_by(:src, 1, 20000) AS closes;
INSERT INTO wanted SELECT * FROM topk.win;
SELECT w.window_name, count(*), count(*) FILTER (WHERE topk_max_error(sketch) > 0) AS inexact, sum(topk_total(sketch)) AS total
FROM wanted JOIN topk.source_window w USING (window_id) GROUP BY 1 ORDER BY 1;
CREATE VIEW different AS
    SELECT count(*) AS rows, count(*) FILTER (WHERE w.sketch::text IS DISTINCT FROM v.sketch::text) AS different
    FROM topk.win w FULL JOIN wanted v USING (window_id, window_start, list_id);
SELECT fill(:src, :all), close_by(:src, 40, 20000) AS closes;
SELECT * FROM different;
SELECT fill(:src, :all), close_by(:src, 7, 20000) AS closes;
SELECT * FROM different;
-- a limit that would cut a pane in two
SELECT fill(:src, :all), close_by(:src, 40, 4) AS closes;
SELECT * FROM different;
SELECT fill(:src, :all), close_by(:src, 9, 10) AS closes;
SELECT * FROM different;
-- trimming once in the end is something else
SELECT count(*) FILTER (WHERE v.sketch::text <> m.sketch::text) AS different FROM (
    SELECT w.window_id, topk.window_start(w, pane) AS window_start, topk_merge(sketch ORDER BY pane) AS sketch FROM part, topk.source_window w
    GROUP BY 1, 2) m JOIN wanted v USING (window_id, window_start);

-- the fold itself: NULLs, and that a state may be read while it goes on
SELECT topk.fold(NULL, '2025-01-01') IS NULL AS nothing;
SELECT topk.fold(s, p ORDER BY p)::text = (SELECT sketch::text FROM part WHERE incarnation = 1) AS same
FROM (SELECT sketch, pane FROM part WHERE incarnation = 1 UNION ALL SELECT NULL, NULL UNION ALL SELECT NULL, '2030-01-01') v(s, p);
SELECT count(*) FROM (SELECT topk_total(topk.fold(sketch, pane) OVER (ORDER BY pane, incarnation)) AS total,
                             sum(topk_total(sketch)) OVER (ORDER BY pane, incarnation) AS wanted FROM part) t WHERE t.total <> t.wanted;

-- a sealed piece of a pane that its worker has still open waits for the others, in this run of the worker
TRUNCATE topk.win;
INSERT INTO topk.worker (source_id, worker, state, run, sealed_until) VALUES (:src, 0, 'running', 7, '2025-01-02 00:00');
INSERT INTO topk.live (source_id, pane, list_id, incarnation, worker, sealed, version, sketch)
    SELECT :src, '2025-01-02 00:00', :all, (run << 32) + worker, worker, true, 1, sketch
    FROM part, (VALUES (6::bigint, 0), (7, 0), (7, 1)) v(run, worker) WHERE incarnation = 1;
SELECT moved FROM topk.close(:src);
SELECT incarnation >> 32 AS run, worker FROM topk.live;
SELECT topk.close_due(:src);
UPDATE topk.worker SET sealed_until = '2025-01-02 00:01';
SELECT topk.close_due(:src);
SELECT moved FROM topk.close(:src);
-- a run that is over has no more to come: a claim says so
INSERT INTO topk.live (source_id, pane, list_id, incarnation, worker, sealed, version, sketch)
    SELECT :src, '2025-01-02 00:05', :all, 7::bigint << 32, 0, true, 1, sketch FROM part WHERE incarnation = 1;
UPDATE topk.partition SET watermark = '2025-01-02 00:06' WHERE source_id = :src;
SELECT moved FROM topk.close(:src);
SELECT count(*) FROM topk.claim_partitions(:src, 0, '{0}', '{0}', '{100}');
SELECT moved FROM topk.close(:src);

SELECT topk.drop_source('s');
DROP VIEW different;
DROP FUNCTION fill, close_by;
DROP SERVER k;

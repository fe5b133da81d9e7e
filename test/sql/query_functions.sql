-- topk.top and topk.top_between against a recount of the events, without a broker: panes are written as a
-- worker's flush would write them.
\set VERBOSITY terse
SET client_min_messages = warning;
SET timezone = 'UTC';
SET datestyle = 'ISO';
CREATE EXTENSION IF NOT EXISTS topk;
CREATE SERVER k FOREIGN DATA WRAPPER topk_kafka OPTIONS (bootstrap_servers '127.0.0.1:1');

-- the same events are counted twice: once by sketches that hold them all, once by ones that are too small
SELECT topk.create_source('exact', server => 'k', topic => 't', pane_size => '10 seconds', k => 100, capacity => 1000) > 0 AS created;
SELECT topk.create_source('small', server => 'k', topic => 't', pane_size => '10 seconds', k => 3, capacity => 5) > 0 AS created;
SELECT topk.create_rule(s, event_type => i, item_type => i, item_path => 'u', dimensions => '{"d": "d"}') > 0 AS created
FROM unnest('{exact,small}'::text[]) s, unnest('{x,y}'::text[]) i;
-- hours for less long than usual, so that of the first day only the day is left
UPDATE topk.source_window SET retention = '60 hours' WHERE window_name = '1-hour';

-- nothing counted yet
SELECT count(*) FROM topk.top('exact');
SELECT count(*) FROM topk.top_between('exact', '2025-01-01', '2025-01-02');

-- three days until 2025-01-04 00:00, dense in the last hours; some of it late; pane: as the worker cuts time
CREATE TEMP TABLE event (batch int, t timestamptz, tenant text, item_type text, item text, d text, weight bigint, pane timestamptz);
DO $$
BEGIN
    PERFORM setseed(0.25);
    INSERT INTO event
    SELECT CASE WHEN random() < 0.05 THEN 2 ELSE 1 END,
           timestamptz '2025-01-04' - interval '1 millisecond' - random() ^ (1 + n % 4) * interval '2 days 23:59',
           CASE WHEN random() < 0.3 THEN 'a' ELSE 'b' END, CASE WHEN random() < 0.4 THEN 'x' ELSE 'y' END,
           'item ' || (random() ^ 3 * 40)::int, CASE WHEN random() < 0.5 THEN 'v' ELSE 'w' END, 1 + (random() * 3)::int
    FROM generate_series(1, 2500) n;
END
$$;
UPDATE event SET pane = date_bin('10 seconds', t, 'epoch'), batch = CASE WHEN t >= '2025-01-03 23:20+00' THEN 3 ELSE batch END;

-- one flush of a batch of events: each to the list of all and to that of its value
CREATE FUNCTION flush(source text, part int) RETURNS void LANGUAGE sql AS $$
    INSERT INTO topk.live (source_id, pane, list_id, incarnation, worker, sealed, version, sketch)
    SELECT s.source_id, e.pane, l.list_id, part, 0, true, 1, topk_agg(e.item, s.k, e.weight, s.capacity)
    FROM event e JOIN topk.source s ON s.name = source
    JOIN topk.list l ON l.source_id = s.source_id AND l.tenant = e.tenant AND l.item_type = e.item_type AND l.base_id = l.list_id
        AND (l.dimension = 'all' OR l.value = e.d)
    WHERE e.batch = part GROUP BY 1, 2, 3
$$;
DO $$
DECLARE
    s record;
BEGIN
    FOR s IN SELECT source_id, name FROM topk.source LOOP
        PERFORM topk.claim_partitions(s.source_id, 0, '{0}', '{0}', '{1}');
        PERFORM topk.intern_family(s.source_id, st.config_version, t, i, '{d}', '{t}')
        FROM topk.source_state st, unnest('{a,b}'::text[]) t, unnest('{x,y}'::text[]) i WHERE st.source_id = s.source_id;
        PERFORM topk.intern_list(s.source_id, t, i, 'd', v, NULL)
        FROM unnest('{a,b}'::text[]) t, unnest('{x,y}'::text[]) i, unnest('{v,w}'::text[]) v;
        -- the first batch is closed up to 23:20; of the rest, late events and the newest minutes are left live
        PERFORM flush(s.name, 1);
        UPDATE topk.partition SET watermark = '2025-01-03 23:20', max_event_time = '2025-01-03 23:21' WHERE source_id = s.source_id;
        PERFORM topk.make_leaves(s.source_id), topk.close(s.source_id);
        PERFORM flush(s.name, 2), flush(s.name, 3);
        WHILE topk.drop_leaf(s.source_id) IS NOT NULL LOOP END LOOP;
    END LOOP;
END
$$;
SELECT count(DISTINCT base_id), count(*) FROM topk.list GROUP BY source_id;
SELECT batch, count(*) > 20 AS enough FROM event GROUP BY 1 ORDER BY 1;

-- What is stored of an event, told by hand: its pane if no window has taken it in; else its minute for 26 hours
-- before 23:20, cut at an hour; its hour for 60, cut at a day; else its day.
CREATE FUNCTION cell(e event) RETURNS tstzrange LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN e.batch > 1 THEN tstzrange(e.pane, e.pane + interval '10 seconds')
        ELSE (SELECT tstzrange(date_trunc(unit, e.t), date_trunc(unit, e.t) + ('1 ' || unit)::interval)
              FROM (SELECT CASE WHEN e.t >= '2025-01-02 22:00' THEN 'minute' WHEN e.t >= '2025-01-02' THEN 'hour' ELSE 'day' END) u(unit)) END
$$;
CREATE TEMP TABLE stored AS SELECT e.*, cell(e) AS cell FROM event e;

-- random stretches and filters, a third of them with edges on minutes, a third on hours
CREATE TEMP TABLE question (id int, source text, low timestamptz, high timestamptz, item_type text, dimension text, value text, tenant text);
DO $$
BEGIN
    PERFORM setseed(0.5);
    INSERT INTO question
    SELECT n, 'exact', least(a, b), greatest(a, b), CASE WHEN random() < 0.6 THEN 'x' END, CASE WHEN v IS NULL AND random() < 0.6 THEN 'all' ELSE 'd' END,
           v, CASE WHEN random() < 0.6 THEN 'b' END
    FROM generate_series(1, 300) n
    CROSS JOIN LATERAL (SELECT timestamptz '2025-01-04' - random() ^ (1 + n % 5) * interval '74 hours',
                               timestamptz '2025-01-04' - random() ^ (1 + n % 7) * interval '74 hours',
                               CASE WHEN n % 2 = 0 AND random() < 0.5 THEN 'w' END) r(from_any, to_any, v)
    CROSS JOIN LATERAL (SELECT CASE n % 3 WHEN 0 THEN from_any WHEN 1 THEN date_trunc('minute', from_any) ELSE date_trunc('hour', from_any) END,
                               CASE n % 3 WHEN 0 THEN to_any WHEN 1 THEN date_trunc('minute', to_any) ELSE date_trunc('hour', to_any) END) e(a, b);
END
$$;
INSERT INTO question SELECT id, 'small', low, high, item_type, dimension, value, tenant FROM question;

-- true weights, and those of the cells inside and of all that reach into the stretch
CREATE TEMP TABLE truth AS
SELECT q.id, s.item, sum(s.weight) FILTER (WHERE s.t >= q.low AND s.t < q.high) AS weight,
       coalesce(sum(s.weight) FILTER (WHERE s.cell <@ tstzrange(q.low, q.high)), 0) AS inside, sum(s.weight) AS reached
FROM question q JOIN stored s ON s.cell && tstzrange(q.low, q.high) AND (q.item_type IS NULL OR s.item_type = q.item_type)
    AND (q.tenant IS NULL OR s.tenant = q.tenant) AND (q.value IS NULL OR s.d = q.value)
WHERE q.source = 'exact' GROUP BY q.id, s.item;
CREATE TEMP TABLE answer AS
SELECT q.source, q.id, a.* FROM question q
CROSS JOIN LATERAL topk.top_between(q.source, q.low, q.high, q.item_type, q.dimension, q.value, q.tenant, 1000) a;
SELECT source, count(DISTINCT id) > 250 AS many, bool_or(estimate > lower_bound) AS wide, bool_or(guaranteed) AS sure FROM answer GROUP BY 1 ORDER BY 1;

-- where sketches are exact, both bounds are the weights of the cells, item by item, and no item is missing or added
SELECT count(*) AS wrong FROM (SELECT * FROM answer WHERE source = 'exact') a FULL JOIN truth t USING (id, item)
WHERE (a.lower_bound, a.upper_bound, a.estimate) IS DISTINCT FROM (t.inside, t.reached, t.reached);
SELECT count(*) AS wrong FROM (SELECT DISTINCT id, total FROM answer WHERE source = 'exact') a
WHERE total <> (SELECT sum(reached) FROM truth t WHERE t.id = a.id);
-- stretches on the edges of cells are answered exactly
SELECT count(DISTINCT id) > 40 AS many FROM truth t
WHERE NOT EXISTS (SELECT FROM truth o WHERE o.id = t.id AND o.inside <> o.reached);
-- where they are not, the bounds hold, an item that is not listed is light, and the weight of all is that of the cells
SELECT count(*) AS wrong FROM (SELECT * FROM answer WHERE source = 'small') a LEFT JOIN truth t USING (id, item)
WHERE a.lower_bound > coalesce(t.weight, 0) OR a.upper_bound < coalesce(t.weight, 0) OR a.estimate <> a.upper_bound;
SELECT count(*) AS wrong FROM truth t JOIN (SELECT id, max(total) AS total FROM answer WHERE source = 'small' GROUP BY 1) a USING (id)
WHERE t.weight > a.total / 6 AND NOT EXISTS (SELECT FROM answer o WHERE o.source = 'small' AND o.id = t.id AND o.item = t.item);
SELECT count(*) AS wrong FROM (SELECT DISTINCT id, total FROM answer WHERE source = 'small') a
WHERE total <> (SELECT sum(reached) FROM truth t WHERE t.id = a.id);
-- guaranteed items are among the k heaviest, and are found
SELECT count(*) > 20 AS many, count(*) FILTER (WHERE heavier >= 3) AS wrong
FROM (SELECT (SELECT count(*) FROM truth t WHERE t.id = a.id AND t.item <> a.item
              AND t.weight > (SELECT o.weight FROM truth o WHERE o.id = a.id AND o.item = a.item)) AS heavier
      FROM answer a WHERE a.source = 'small' AND a.guaranteed) g;
-- the windows shown hold the stretch
SELECT count(*) AS wrong FROM answer a JOIN question q USING (source, id) WHERE a.window_start > q.low OR a.window_end < q.high;

-- what is read: 23 hours and the minutes at the edges of a sliding day; whole hours where minutes are dropped
SELECT source_id AS src FROM topk.source WHERE name = 'exact' \gset
SELECT window_name, first, until, inside FROM topk.cover(:src, '2025-01-02 23:15:30', '2025-01-03 23:15:30') ORDER BY first;
SELECT window_name, first, until, inside FROM topk.cover(:src, '2025-01-02 10:30', '2025-01-02 23:10') ORDER BY first;
SELECT window_name, first, until, inside FROM topk.cover(:src, '2025-01-01 10:30', '2025-01-02 02:00') ORDER BY first;
SELECT window_name, first, until, inside FROM topk.cover(:src, '2025-01-03 10:30:10', '2025-01-03 10:30:20') ORDER BY first;

-- ... from the leaves that hold it and no others
CREATE FUNCTION leaves_read(src int, low timestamptz, high timestamptz) RETURNS TABLE (window_name text, leaf timestamptz) LANGUAGE plpgsql AS $$
DECLARE
    line text;
    part text[];
BEGIN
    FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || replace(topk.stretch_query(src, low, high), '$1', quote_literal('{1}') || '::bigint[]') LOOP
        part := regexp_match(line, ' on win_(\d+)_(\d+t\d+)');
        CONTINUE WHEN part IS NULL;
        RETURN QUERY SELECT d.window_name, to_timestamp(part[2] || '+00', 'YYYYMMDD"t"HH24MITZH') FROM topk.source_window d WHERE d.window_id = part[1]::int;
    END LOOP;
END
$$;
SELECT w.window_name, count(*) AS leaves FROM topk.source_window w
JOIN pg_inherits i ON i.inhparent = to_regclass('topk.win_' || w.window_id) WHERE w.source_id = :src GROUP BY 1 ORDER BY 1;
SELECT DISTINCT * FROM leaves_read(:src, '2025-01-02 23:15:30', '2025-01-03 23:15:30') ORDER BY 1, 2;
SELECT DISTINCT * FROM leaves_read(:src, '2025-01-03 10:30', '2025-01-03 10:40') ORDER BY 1, 2;

-- topk.top is the window's list: the newest one's, or that at a time
SELECT count(*) AS wrong FROM (
    SELECT w.window_name, w.window_start, topk_total(w.sketch) AS total, w.window_end, w.final, i.*
    FROM topk.window_sketch w CROSS JOIN LATERAL topk_items(w.sketch, 5) i
    WHERE w.source = 'small' AND w.dimension = 'd' AND w.value = 'w' AND w.tenant = 'b' AND w.item_type = 'x'
        AND w.window_start >= '2025-01-03 20:00') v
FULL JOIN (
    SELECT w.window_name, t.* FROM (SELECT DISTINCT w.window_name, w.window_start FROM topk.window_sketch w
        WHERE w.source = 'small' AND w.window_start >= '2025-01-03 20:00') w
    CROSS JOIN LATERAL topk.top('small', w.window_name, 'x', 'd', 'w', 'b', 5, w.window_start + interval '59 seconds') t) t
ON (v.window_name, v.window_start, v.window_end, v.final, v.total, v.rank, v.item, v.estimate, v.lower_bound, v.guaranteed)
 = (t.window_name, t.window_start, t.window_end, t.final, t.total, t.rank, t.item, t.estimate, t.lower_bound, t.guaranteed)
WHERE v.rank IS NULL OR t.rank IS NULL;
SELECT DISTINCT window_start, window_end, final FROM topk.top('exact');
SELECT DISTINCT window_start, window_end, final FROM topk.top('exact', '1-hour', at => '2025-01-03 21:30');
SELECT bool_and(t.estimate = e.weight) AS right, count(*) FROM topk.top('exact', '1-day', n => 4) t
JOIN (SELECT item, sum(weight) AS weight FROM event WHERE t >= '2025-01-03' GROUP BY 1) e USING (item);
SELECT bool_and(t.estimate = e.weight) AS right, count(*) FROM topk.top('exact', '1-day', 'y', 'd', 'v', 'a', 4) t
JOIN (SELECT item, sum(weight) AS weight FROM event WHERE t >= '2025-01-03' AND item_type = 'y' AND d = 'v' AND tenant = 'a' GROUP BY 1) e USING (item);
SELECT count(*) FROM topk.top('exact', tenant => 'nobody');
SELECT count(*) FROM topk.top('exact', dimension => 'd', value => 'nothing');

-- settings of the session that change how times are written do not matter
SET timezone = 'Asia/Kolkata';
SET datestyle = 'SQL, DMY';
SELECT sum(estimate) AS inside FROM topk.top_between('exact', timestamptz '2025-01-03 05:00+00', timestamptz '2025-01-03 23:00+00', n => 1000)
EXCEPT SELECT sum(weight) FROM stored WHERE cell && tstzrange('2025-01-03 05:00+00', '2025-01-03 23:00+00');
SET timezone = 'UTC';
SET datestyle = 'ISO';

-- errors
\set VERBOSITY default
\set SHOW_CONTEXT never
SELECT topk.top('nowhere');
SELECT topk.top('exact', '2-minutes');
SELECT topk.top('exact', item_type => 'z');
SELECT topk.top('exact', dimension => 'colour');
SELECT topk.top('exact', dimension => NULL);
SELECT topk.top('exact', value => 'v');
SELECT topk.top('exact', n => 0);
SELECT topk.top('exact', at => 'infinity');
SELECT topk.top('exact', at => '2025-01-01 10:00');
SELECT topk.top_between('nowhere', now(), now());
SELECT topk.top_between('exact', '2025-01-02', '2025-01-01');
SELECT topk.top_between('exact', '-infinity', '2025-01-01');
SELECT topk.top_between('exact', NULL, '2025-01-01');
SELECT topk.top_between('exact', '2025-01-01', '2025-01-02', 'z');
SELECT topk.top_between('exact', '2025-01-01', '2025-01-02', dimension => 'colour');
SELECT count(*) FROM topk.top_between('exact', '2025-01-02', '2025-01-02');

-- what has gone into the archive has no time any more; before that, any stretch can be asked for
SELECT sum(estimate) = (SELECT sum(weight) FROM event WHERE t < '2025-01-03') AS right FROM topk.top_between('exact', '1970-01-01', '2025-01-03');
INSERT INTO topk.archive SELECT l.list_id, topk_agg('old'::text) FROM topk.list l WHERE l.source_id = :src AND l.base_id = l.list_id GROUP BY 1;
UPDATE topk.source_window SET retention = '60 hours' WHERE window_name = '1-day';
SELECT topk.top_between('exact', '2025-01-01', '2025-01-03');
SELECT count(*) > 0 AS answered FROM topk.top_between('exact', '2025-01-02', '2025-01-03');

-- the reader's rights, and whatever runs in parallel may call them
SELECT proname, provolatile, proparallel, prosecdef FROM pg_proc WHERE proname IN ('top', 'top_between') AND pronamespace = 'topk'::regnamespace ORDER BY 1;
SELECT topk.drop_source('exact'), topk.drop_source('small');
DROP FUNCTION flush, leaves_read, cell(event);
-- numbers begin anew for whatever test comes next
DROP EXTENSION topk CASCADE;

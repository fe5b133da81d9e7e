-- Windows by SQL: what they refuse, where they begin and end, how new ones are filled, and that global stays what
-- it was when the coarsest is replaced.  Panes are written as a worker's flush would write them.
\set VERBOSITY default
\set SHOW_CONTEXT never
SET client_min_messages = warning;
SET timezone = 'America/New_York'; -- must not matter
SET datestyle = 'ISO';
CREATE EXTENSION IF NOT EXISTS topk;
CREATE SERVER k FOREIGN DATA WRAPPER topk_kafka OPTIONS (bootstrap_servers '127.0.0.1:1');
SELECT topk.create_source('s', server => 'k', topic => 't', k => 3, capacity => 200) AS src \gset
SELECT topk.create_rule('s', event_type => 'e', item_type => 'i', item_path => 'p', dimensions => '{"d": "d"}') > 0 AS created;

-- refused, with nothing stored
SELECT topk.create_window('nowhere', 'w', '5 minutes', '2 days');
SELECT topk.create_window('s', 'a b', '5 minutes', '2 days');
SELECT topk.create_window('s', 'global', '5 minutes', '2 days');
SELECT topk.create_window('s', '1-hour', '2 hours', '2 days');
SELECT topk.create_window('s', '60-minutes', '60 minutes', '2 days');
SELECT topk.create_window('s', 'w', '30 seconds', '2 days');
SELECT topk.create_window('s', 'w', '90 seconds', '2 days');
SELECT topk.create_window('s', 'w', '1 month', '2 years');
SELECT topk.create_window('s', 'w', '400 days', '800 days');
SELECT topk.create_window('s', 'w', '5 minutes', '1 minute');
SELECT topk.create_window('s', 'w', '5 minutes', '1 hour');
SELECT topk.create_window('s', 'w', '5 minutes', '2 days', redis_ttl => '0');
SELECT topk.create_window('s', 'w', '5 minutes', '2 days', origin => '2025-01-01 00:00:30+00');
SELECT topk.create_window('s', 'w', '5 minutes', '2 days', origin => 'infinity');
SELECT topk.create_window('s', 'w', '5 minutes', '2 days', time_zone => 'Europe/Berlin');
SELECT topk.create_window('s', 'w', '1 day', '2 days', time_zone => 'Europe/Nowhere');
SELECT topk.create_window('s', 'w', '1 day', '2 days', origin => '2025-01-01 00:00+00', time_zone => 'Europe/Berlin');
SELECT topk.create_window('s', 'w', NULL, '2 days');
SELECT topk.create_source('h', server => 'k', topic => 't', pane_size => '1 hour', time_zone => 'Asia/Kolkata');
-- the coarsest window is part of global
SELECT topk.create_window('s', 'w', '36 hours', '4 days');
SELECT topk.create_window('s', 'w', '2 days', '4 days', time_zone => 'Europe/Berlin');
SELECT topk.create_window('s', 'w', '2 days', '4 days', origin => '2025-01-01 12:00+00');
SELECT topk.drop_window('s', '1-day');
SELECT topk.drop_window('s', '2-days');
SELECT topk.alter_window('s', '2-days', retention => '5 days');
SELECT topk.alter_window('s', '1-minute', retention => '1 hour');
SELECT topk.alter_window('s', '1-minute', reset => '{retention}');
SELECT topk.alter_window('s', '1-minute', redis_ttl => '1 hour', reset => '{redis_ttl}');
SELECT window_name, size, origin = 'epoch' AS epoch, time_zone, retention, redis_ttl, complete_since, nested FROM topk.source_window ORDER BY window_id;
-- late events must find their windows: the lateness follows the retention, and the other way round
SELECT topk.alter_window('s', '1-minute', retention => '2 hours', reset => '{redis_ttl}');
SELECT topk.alter_source('s', allowed_lateness => '2 hours');
SELECT topk.alter_source('s', allowed_lateness => '119 minutes');
SELECT topk.alter_window('s', '1-minute', retention => '119 minutes');
SELECT topk.alter_window('s', '1-minute', retention => '26 hours', redis_ttl => '1 hour');
SELECT topk.alter_source('s', allowed_lateness => '1 hour');

-- Where windows begin and end.  Each zone: a day in winter, the days on which clocks change, hour by hour.
CREATE FUNCTION w(size interval, zone text, origin timestamptz DEFAULT NULL) RETURNS topk.source_window LANGUAGE sql AS $$
    SELECT jsonb_populate_record(NULL::topk.source_window, jsonb_build_object('size', size, 'time_zone', zone,
        'origin', coalesce(origin, topk.default_origin(size, zone))))
$$;
CREATE TEMP TABLE day AS
SELECT z.zone, z.what, topk.window_start(w('1 day', z.zone), z.noon::timestamptz) AS start,
       topk.window_end(w('1 day', z.zone), topk.window_start(w('1 day', z.zone), z.noon::timestamptz)) AS "end"
FROM (VALUES ('UTC', 'any', '2025-03-30 12:00+00'),
    ('Europe/Berlin', 'winter', '2025-01-15 12:00+00'), ('Europe/Berlin', 'forward', '2025-03-30 12:00+00'), ('Europe/Berlin', 'back', '2025-10-26 12:00+00'),
    ('America/New_York', 'forward', '2025-03-09 17:00+00'), ('America/New_York', 'back', '2025-11-02 17:00+00'),
    ('America/Havana', 'forward at midnight', '2025-03-09 17:00+00'), ('America/Havana', 'midnight twice', '2025-11-02 17:00+00'),
    ('America/Sao_Paulo', 'forward at midnight', '2018-11-04 17:00+00'), ('America/Sao_Paulo', 'back at midnight', '2019-02-16 17:00+00'),
    ('Asia/Kolkata', 'half an hour', '2025-01-15 12:00+00'), ('Australia/Lord_Howe', 'half an hour back', '2025-04-06 02:00+00'),
    ('Pacific/Apia', 'before the day that was left out', '2011-12-29 22:00+00')) z(zone, what, noon);
SELECT zone, what, "end" - start AS length, start AT TIME ZONE zone AS from, "end" AT TIME ZONE zone AS until FROM day;
-- every instant is in the window that its start and end say, and a start is its own
SELECT count(*) AS tried, count(*) FILTER (WHERE NOT (s <= t AND t < topk.window_end(d, s)) OR topk.window_start(d, s) <> s
    OR topk.window_start(d, topk.window_end(d, s)) <> topk.window_end(d, s)
    OR topk.window_start(d, topk.window_end(d, s) - interval '1 second') <> s) AS wrong
FROM unnest('{1 day,7 days,2 days}'::interval[]) size,
     unnest('{Europe/Berlin,America/New_York,America/Havana,America/Sao_Paulo,Asia/Kolkata,Australia/Lord_Howe,Asia/Beirut,NULL}'::text[]) zone,
     LATERAL (SELECT w(size, zone) AS d OFFSET 0) w, generate_series(timestamptz '2018-01-01', '2020-01-01', '1247 minutes') t,
     LATERAL (SELECT topk.window_start(d, t) AS s) x;
-- weeks begin on Monday, in the zone, or where the origin says
SELECT to_char(topk.window_start(w('7 days', NULL), '2025-03-30 12:00+00') AT TIME ZONE 'UTC', 'Dy YYYY-MM-DD HH24:MI') AS utc,
       to_char(topk.window_start(w('7 days', 'Europe/Berlin'), '2025-04-06 12:00+00') AT TIME ZONE 'Europe/Berlin', 'Dy YYYY-MM-DD HH24:MI') AS berlin,
       to_char(topk.window_start(w('7 days', NULL, '2025-01-05 06:00+00'), '2025-03-30 12:00+00') AT TIME ZONE 'UTC', 'Dy YYYY-MM-DD HH24:MI') AS sunday;
SELECT topk.nests(w(a.size::interval, a.zone), w(b.size::interval, b.zone)) AS nests, a.*, b.*
FROM (VALUES ('1 hour', NULL), ('1 day', NULL), ('1 day', 'Europe/Berlin')) a(size, zone),
     (VALUES ('90 minutes', NULL), ('1 day', NULL), ('7 days', NULL), ('1 day', 'Europe/Berlin'), ('7 days', 'Europe/Berlin'), ('1 day', 'Asia/Kolkata'), ('1 day', 'Africa/Abidjan')) b(size, zone)
ORDER BY 2, 3, 4, 5;

-- Events of 40 days until 2025-04-07, over a change of clocks, all closed but the last.
CREATE FUNCTION flush(src int, at timestamptz, sealed boolean, items text[]) RETURNS void LANGUAGE sql AS $$
    INSERT INTO topk.live (source_id, pane, list_id, incarnation, worker, sealed, version, sketch)
    SELECT src, date_bin('1 minute', at, 'epoch'), l.list_id, nextval('topk.run'), 0, sealed, 1, topk_agg(i, 3, 1, 200)
    FROM topk.list l, unnest(items) i WHERE l.source_id = src AND l.base_id = l.list_id GROUP BY l.list_id
$$;
CREATE FUNCTION watermark(src int, at timestamptz) RETURNS void LANGUAGE sql AS $$
    UPDATE topk.partition SET watermark = at, max_event_time = at + interval '1 minute' WHERE source_id = src
$$;
CREATE PROCEDURE close_all(src int) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM topk.make_leaves(src);
    PERFORM topk.close(src);
END
$$;
CREATE FUNCTION drop_leaves(src int) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
    n int := 0;
BEGIN
    WHILE topk.drop_leaf(src) IS NOT NULL LOOP n := n + 1; END LOOP;
    RETURN n;
END
$$;
CREATE TEMP TABLE event AS
SELECT timestamptz '2025-04-07 00:00+00' - n * interval '37 minutes' AS t, 'item ' || n % 13 AS item FROM generate_series(0, 1556) n;
SELECT count(*) AS claimed FROM topk.claim_partitions(:src, 0, '{0}', '{0}', '{9}');
SELECT count(*) AS interned FROM topk.source_state st, topk.intern_family(:src, st.config_version, '', 'i', '{d}', '{t}');
SELECT count(*) AS events FROM event, flush(:src, t, true, ARRAY[item]) WHERE t <= '2025-04-06 23:00+00';
SELECT watermark(:src, '2025-04-06 23:01');
CALL close_all(:src);
SELECT drop_leaves(:src) > 10 AS dropped;
SELECT count(*) AS more FROM event, flush(:src, t, t < '2025-04-06 23:30+00', ARRAY[item]) WHERE t > '2025-04-06 23:00+00';
SELECT count(*) AS live FROM topk.live;
CREATE FUNCTION recount(src int) RETURNS TABLE (window_name text, windows bigint, wrong bigint) LANGUAGE sql AS $$
    SELECT coalesce(a.name, b.name), count(*), count(*) FILTER (WHERE a.items IS DISTINCT FROM b.items)
    FROM (SELECT w.window_name AS name, w.window_start, (SELECT jsonb_object_agg(i.item, i.estimate) FROM topk_items(w.sketch, 100) i) AS items
          FROM topk.window_sketch w JOIN topk.source_window d USING (source_id, window_name)
          WHERE w.source_id = src AND w.dimension = 'all' AND w.window_start >= topk.kept_since(d)) a
    FULL JOIN (SELECT e.name, e.window_start, jsonb_object_agg(e.item, e.n) AS items
               FROM (SELECT (k.d).window_name AS name, topk.window_start(k.d, e.t) AS window_start, e.item, count(*) AS n
                     FROM (SELECT w AS d, topk.kept_since(w) AS since FROM topk.source_window w WHERE w.source_id = src OFFSET 0) k, event e
                     WHERE topk.window_start(k.d, e.t) >= k.since GROUP BY 1, 2, 3) e
               GROUP BY 1, 2) b USING (name, window_start)
    GROUP BY 1 ORDER BY 1
$$;
SELECT * FROM recount(:src);
CREATE TEMP TABLE before AS SELECT item, estimate, lower_bound, total FROM topk.top_items_global;
SELECT item, estimate, total FROM before;

-- new windows have at once what was counted before; what is still live joins them later
SELECT topk.create_window('s', '5-minutes', '5 minutes', '2 days') > 0 AS created;
SELECT topk.create_window('s', 'berlin', '1 day', '60 days', redis_ttl => '3 days', time_zone => 'europe/berlin') > 0 AS created;
SELECT topk.create_window('s', 'week', '7 days', '800 days') > 0 AS created;
SELECT * FROM recount(:src);
SELECT window_name, to_char(window_start AT TIME ZONE coalesce(time_zone, 'UTC'), 'Dy MM-DD HH24:MI') AS start, window_end - window_start AS length, final, topk_total(sketch) AS total
FROM topk.window_sketch JOIN topk.source_window USING (source_id, window_name)
WHERE window_name = 'week' AND dimension = 'd' OR window_name = 'berlin' AND window_start BETWEEN '2025-03-28' AND '2025-04-01' AND dimension = 'd' ORDER BY 1, 2;
SELECT window_name, time_zone, redis_ttl, complete_since FROM topk.source_window ORDER BY window_id;
-- global is the same, item by item, and now made of weeks; the days are a window like any other
SELECT count(*) AS different FROM (SELECT item, estimate, lower_bound, total FROM topk.top_items_global EXCEPT SELECT * FROM before) d;
SELECT window_name FROM topk.source_window WHERE window_id = topk.coarsest_window(:src);
SELECT topk.drop_window('s', 'week');
SELECT topk.drop_window('s', '1-day');
SELECT count(*) AS different FROM (SELECT item, estimate, lower_bound, total FROM topk.top_items_global EXCEPT SELECT * FROM before) d;
SELECT topk.drop_window('s', '1-day');
UPDATE topk.live SET sealed = true;
SELECT watermark(:src, '2025-04-07 00:10');
CALL close_all(:src);
SELECT count(*) AS live FROM topk.live;
SELECT * FROM recount(:src);
SELECT count(*) AS different FROM (SELECT item, estimate, lower_bound, total FROM topk.top_items_global EXCEPT SELECT * FROM before) d;
SELECT bool_and(final) AS final, count(*) FROM topk.window_sketch WHERE window_name = 'berlin' AND window_end <= '2025-04-07 00:10+00' AND dimension = 'all';

-- hours of UTC do not nest in days of Kolkata: these are made of minutes, and so complete only since then
SELECT topk.create_window('s', 'kolkata', '1 day', '60 days', time_zone => 'Asia/Kolkata') > 0 AS created;
SELECT complete_since AT TIME ZONE 'Asia/Kolkata' AS complete_since FROM topk.source_window WHERE window_name = 'kolkata';
SELECT window_start AT TIME ZONE 'Asia/Kolkata' AS day, topk_total(sketch) AS total,
       (SELECT count(*) FROM event WHERE t >= w.window_start AND t < w.window_end) AS counted
FROM topk.window_sketch w WHERE window_name = 'kolkata' AND dimension = 'all';
SELECT topk.top('s', 'kolkata', at => '2025-04-05 12:00+00');
SELECT DISTINCT window_start AT TIME ZONE 'Asia/Kolkata' AS day, total FROM topk.top('s', 'kolkata');
-- a stretch is read from the chain with the narrowest edges
CREATE FUNCTION cover(src int, low timestamptz, high timestamptz) RETURNS TABLE (window_name text, first timestamptz, until timestamptz, inside boolean)
LANGUAGE sql SET timezone = 'UTC' AS $$ SELECT window_name, first, until, inside FROM topk.cover(src, low, high) ORDER BY first $$;
SET timezone = 'UTC';
SELECT * FROM cover(:src, '2025-03-28 23:00', '2025-04-02 22:00');
SELECT * FROM cover(:src, '2025-03-10 00:00', '2025-03-30 22:30');
SELECT * FROM cover(:src, '2025-04-06 18:30', '2025-04-07 00:05');

SELECT count(*) AS stretches, count(*) FILTER (WHERE a.items IS DISTINCT FROM e.items) AS wrong
FROM generate_series(timestamptz '2025-03-04', '2025-04-05 23:00', '11 hours') low, unnest('{1 hour,25 hours,5 days}'::interval[]) length
CROSS JOIN LATERAL (SELECT jsonb_object_agg(item, estimate) AS items FROM topk.top_between('s', low, low + length, n => 100)) a
CROSS JOIN LATERAL (SELECT jsonb_object_agg(item, n) AS items FROM (SELECT item, count(*) AS n FROM event WHERE t >= low AND t < low + length GROUP BY 1) e) e;

-- a longer retention does not bring back what the shorter one may have dropped
SELECT topk.alter_window('s', '5-minutes', retention => '7 days');
SELECT complete_since FROM topk.source_window WHERE window_name = '5-minutes';
SELECT min(window_start) >= '2025-04-05 00:10' AS shown FROM topk.window_sketch WHERE window_name = '5-minutes';

-- the archive: weeks that retention drops go into it, and a coarser window still takes over the rest
SELECT topk.alter_window('s', 'week', retention => '8 days');
INSERT INTO event VALUES ('2038-06-01 00:00+00', 'item 1');
SELECT flush(:src, '2038-06-01', true, '{item 1}'), watermark(:src, '2038-06-01 01:00');
CALL close_all(:src);
SELECT drop_leaves(:src) > 10 AS dropped;
SELECT count(*) AS archived FROM topk.archive;
SELECT sum(topk_total(sketch)) AS rows FROM topk.win w JOIN topk.source_window USING (window_id) JOIN topk.list l USING (list_id) WHERE window_name = 'week' AND l.dimension = 'all';
SELECT topk.create_window('s', '4-weeks', '28 days', '800 days') > 0 AS created;
SELECT complete_since FROM topk.source_window WHERE window_name = '4-weeks';
SELECT item, estimate, total FROM topk.top_items_global;
SELECT count(*) AS shown FROM topk.window_sketch WHERE window_name = '4-weeks';

SELECT topk.drop_source('s');
SELECT count(*) AS tables FROM pg_class WHERE relname LIKE 'win\_%' AND relnamespace = 'topk'::regnamespace AND relkind IN ('r', 'p') AND relname <> 'win_state';
DROP FUNCTION w, flush, watermark, recount, cover, drop_leaves;
DROP PROCEDURE close_all;
-- numbers begin anew for whatever test comes next
DROP EXTENSION topk CASCADE;

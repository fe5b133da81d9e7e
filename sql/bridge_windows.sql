-- ---------------------------------------------------------------------------------------------------------
-- Windows: where they begin and end, and how they come and go while their source runs
--
-- A window has a fixed size and an origin, or whole days and a time zone; then each begins at a local midnight
-- and is an hour shorter or longer when the clocks change.  topk.window_start and topk.window_end are the only
-- places that know.  Workers know panes, not windows, so that no worker starts anew when windows change.
--
-- A new window is filled at once with what a finer one holds.  Whoever makes, fills or drops windows, moves
-- panes into them or folds them into the archive holds the lock of topk.lock_windows, so that each pane is in
-- the finer window and in the new one, or in neither.
--
-- The coarsest window is part of global (archive + coarsest + live).  It is the largest, of several the oldest;
-- it cannot be dropped, but a coarser one takes all of its rows over, after which it is one like any other.
-- ---------------------------------------------------------------------------------------------------------

-- The instant at which a zone's clocks first show a time.  Where they skip it, it is the one of the jump; where
-- they show it twice PostgreSQL takes the second, which an hour before has no part in.
CREATE FUNCTION topk.first_instant(clock timestamp, zone text) RETURNS timestamptz LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT least(clock AT TIME ZONE zone,
                 (((clock - interval '1 hour') AT TIME ZONE zone) AT TIME ZONE 'UTC' + interval '1 hour') AT TIME ZONE 'UTC')
$$;

-- The start of the window that holds a time.  Not STRICT, so that both are inlined.
CREATE FUNCTION topk.window_start(d topk.source_window, t timestamptz) RETURNS timestamptz LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN d.time_zone IS NULL THEN date_bin(d.size, t, d.origin)
                ELSE topk.first_instant(date_bin(d.size, t AT TIME ZONE d.time_zone, d.origin AT TIME ZONE d.time_zone), d.time_zone) END
$$;

-- The end of the window with a start.  By the clock of UTC, or of its zone: never by that of the session.
CREATE FUNCTION topk.window_end(d topk.source_window, start timestamptz) RETURNS timestamptz LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN d.time_zone IS NULL THEN (start AT TIME ZONE 'UTC' + d.size) AT TIME ZONE 'UTC'
                ELSE topk.first_instant(date_bin(d.size, start AT TIME ZONE d.time_zone, d.origin AT TIME ZONE d.time_zone) + d.size, d.time_zone) END
$$;

-- The first edge that is not before a time.
CREATE FUNCTION topk.next_edge(d topk.source_window, t timestamptz) RETURNS timestamptz LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN NOT isfinite(t) OR topk.window_start(d, t) = t THEN t ELSE topk.window_end(d, topk.window_start(d, t)) END
$$;

-- Whether each window of `fine` lies within one of `coarse`: whether every edge of `coarse` is one of `fine`.
-- With a time zone edges are tried, often enough to meet every rule that a zone had lately.
CREATE FUNCTION topk.nests(fine topk.source_window, coarse topk.source_window) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT fine.size <= coarse.size AND CASE
        WHEN fine.time_zone IS NULL AND coarse.time_zone IS NULL
            THEN topk.us(coarse.size) % topk.us(fine.size) = 0 AND date_bin(fine.size, coarse.origin, fine.origin) = coarse.origin
        ELSE NOT EXISTS (
            SELECT FROM generate_series(0, 1460) n, topk.window_start(coarse, to_timestamp(631152000 + n * 12.5 * 86400)) edge
            WHERE topk.window_start(fine, edge) <> edge) END
$$;

-- ---------------------------------------------------------------- what is stored of one

-- Rows of a source are locked in the order source, source_state, partition, closer, live.
CREATE FUNCTION topk.lock_windows(src integer) RETURNS void LANGUAGE sql AS $$
    SELECT FROM topk.closer WHERE source_id = src FOR UPDATE
$$;

CREATE FUNCTION topk.coarsest_window(src integer) RETURNS integer LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT d.window_id FROM topk.source_window d WHERE d.source_id = src ORDER BY d.size DESC, d.window_id LIMIT 1
$$;

-- The time from which on a window has all that was counted.  Retention keeps more than it promises, by up to a
-- leaf, which is not relied on; but the coarsest window has everything until its first leaf is in the archive.
CREATE FUNCTION topk.kept_since(d topk.source_window) RETURNS timestamptz LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT greatest(d.complete_since, CASE
        WHEN d.window_id = topk.coarsest_window(d.source_id)
            AND NOT EXISTS (SELECT FROM topk.archive a JOIN topk.list l USING (list_id) WHERE l.source_id = d.source_id) THEN '-infinity'
        ELSE (SELECT c.watermark - d.retention FROM topk.closer c WHERE c.source_id = d.source_id) END)
$$;

-- The width of a leaf of topk.win: 360 windows (6 hours of minutes, 15 days of hours), but at most 30 days, since
-- what is kept exceeds retention by up to a leaf.
CREATE FUNCTION topk.leaf_size(size interval) RETURNS interval LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT make_interval(secs => extract(epoch FROM greatest(size, least(size * 360, interval '30 days')))::double precision)
$$;

-- Makes the leaf for windows that start at a time; false if it is there.  LIKE and ATTACH, since
-- CREATE ... PARTITION OF waits for every reader of the parent.
CREATE FUNCTION topk.make_leaf(d topk.source_window, start timestamptz) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    low  timestamptz := date_bin(topk.leaf_size(d.size), start, 'epoch');
    high timestamptz := low + topk.leaf_size(d.size);
    name text := format('win_%s_%s', d.window_id, to_char(low AT TIME ZONE 'UTC', 'YYYYMMDD"t"HH24MI'));
    pane interval := (SELECT s.pane_size FROM topk.source s WHERE s.source_id = d.source_id);
    -- Rows that many panes change keep room for their next version; one page holds a row of 300 items and its next.
    fill integer := CASE WHEN d.size > pane THEN 50 ELSE 100 END;
BEGIN
    IF to_regclass(format('topk.%I', name)) IS NOT NULL THEN
        RETURN false;
    END IF;
    EXECUTE format('CREATE TABLE topk.%I (LIKE topk.win INCLUDING STORAGE INCLUDING COMPRESSION, PRIMARY KEY (window_start, list_id), '
                   'CHECK (window_id = %s), CHECK (window_start >= %L AND window_start < %L)) '
                   'WITH (toast_tuple_target = 8160, fillfactor = %s)', name, d.window_id, low, high, fill);
    EXECUTE format('ALTER TABLE topk.win_%s ATTACH PARTITION topk.%I FOR VALUES FROM (%L) TO (%L)', d.window_id, name, low, high);
    RETURN true;
END
$$;

-- Makes the leaves that a close will need, and the next one.  Called in a transaction of its own.
CREATE FUNCTION topk.make_leaves(src integer) RETURNS integer LANGUAGE plpgsql AS $$
BEGIN
    PERFORM topk.lock_windows(src);
    RETURN (SELECT count(*) FILTER (WHERE topk.make_leaf(n.d, n.start)) FROM (
        SELECT DISTINCT ON (d.window_id, date_bin(topk.leaf_size(d.size), b.start, 'epoch')) d, b.start
        FROM topk.source_window d
        CROSS JOIN (SELECT l.pane FROM topk.live l WHERE l.source_id = src
                    UNION SELECT r.pane FROM topk.replay_pane r JOIN topk.replay_job j USING (replay_id) WHERE j.source_id = src) l
        CROSS JOIN LATERAL (SELECT topk.window_start(d, l.pane) AS start) w
        CROSS JOIN LATERAL (VALUES (w.start), (w.start + topk.leaf_size(d.size) / 10)) b(start)
        WHERE d.source_id = src) n);
END
$$;

-- ---------------------------------------------------------------- checks

CREATE FUNCTION topk.check_time_zone(zone text, pane_size interval) RETURNS text LANGUAGE plpgsql STABLE AS $$
DECLARE
    canonical text;
BEGIN
    IF zone IS NULL THEN
        RETURN NULL;
    END IF;
    SELECT z.name INTO canonical FROM pg_catalog.pg_timezone_names z WHERE lower(z.name) = lower(zone) LIMIT 1;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no time zone %', quote_literal(zone) USING ERRCODE = 'invalid_parameter_value',
            HINT = 'SELECT name FROM pg_timezone_names lists them.';
    END IF;
    PERFORM FROM generate_series(0, 1460) n, to_timestamp(631152000 + n * 12.5 * 86400) t
    WHERE topk.us((t AT TIME ZONE canonical) - (t AT TIME ZONE 'UTC')) % topk.us(pane_size) <> 0;
    IF FOUND THEN
        RAISE EXCEPTION 'days of time zone "%" do not begin with a pane', canonical USING ERRCODE = 'invalid_parameter_value',
            DETAIL = format('A pane is %s long.', pane_size), HINT = 'Take a smaller pane_size.';
    END IF;
    RETURN canonical;
END
$$;

-- Late events must find their windows.
CREATE FUNCTION topk.check_lateness(d topk.source_window, lateness interval) RETURNS void LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    IF d.retention < d.size + lateness THEN
        RAISE EXCEPTION 'window "%" must be kept for its size and allowed_lateness', d.window_name USING ERRCODE = 'invalid_parameter_value',
            DETAIL = format('Its retention is %s, its size %s, and allowed_lateness %s.', d.retention, d.size, lateness);
    END IF;
END
$$;

-- What create_window and alter_window ask of a row.
CREATE FUNCTION topk.check_window_row(d topk.source_window, s topk.source) RETURNS void LANGUAGE plpgsql STABLE AS $$
BEGIN
    PERFORM topk.check_name('window', d.window_name);
    IF d.window_name = 'global' THEN
        RAISE EXCEPTION 'window name "global" is reserved' USING ERRCODE = 'reserved_name';
    END IF;
    PERFORM topk.check_interval('size', d.size, s.pane_size, '366 days');
    IF topk.us(d.size) % topk.us(s.pane_size) <> 0 OR topk.us(d.size) % 1000000 <> 0 THEN
        RAISE EXCEPTION 'size must be a multiple of the source''s pane_size, in whole seconds' USING ERRCODE = 'invalid_parameter_value',
            DETAIL = format('It is %s, and a pane %s.', d.size, s.pane_size);
    END IF;
    PERFORM topk.check_interval('retention', d.retention, d.size, '36600 days');
    PERFORM topk.check_lateness(d, s.allowed_lateness);
    IF d.redis_ttl IS NOT NULL THEN
        PERFORM topk.check_interval('redis_ttl', d.redis_ttl, '1 second', '36600 days');
    END IF;
    IF d.time_zone IS NOT NULL AND topk.us(d.size) % topk.us('1 day') <> 0 THEN
        RAISE EXCEPTION 'only windows of whole days can have a time zone' USING ERRCODE = 'invalid_parameter_value',
            DETAIL = format('The size is %s.', d.size);
    END IF;
    IF NOT isfinite(d.origin) OR d.time_zone IS NOT NULL AND (d.origin AT TIME ZONE d.time_zone)::time <> '00:00'
        OR d.time_zone IS NULL AND date_bin(s.pane_size, d.origin, 'epoch') <> d.origin THEN
        RAISE EXCEPTION 'origin must be %', CASE WHEN d.time_zone IS NULL THEN 'the start of a pane' ELSE 'a midnight of the time zone' END
            USING ERRCODE = 'invalid_parameter_value', DETAIL = format('It is %s.', d.origin);
    END IF;
END
$$;

CREATE FUNCTION topk.find_window(src integer, source text, window_name text) RETURNS topk.source_window
LANGUAGE plpgsql STABLE PARALLEL SAFE AS $$
#variable_conflict use_variable
DECLARE
    d topk.source_window;
BEGIN
    SELECT * INTO d FROM topk.source_window w WHERE w.source_id = src AND w.window_name = window_name;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'source "%" has no window %', source, coalesce(quote_literal(window_name), 'NULL') USING ERRCODE = 'undefined_object',
            HINT = (SELECT format('It has %s.', string_agg(w.window_name, ', ' ORDER BY w.size)) FROM topk.source_window w WHERE w.source_id = src);
    END IF;
    RETURN d;
END
$$;

-- ---------------------------------------------------------------- create, alter, drop

-- Which windows nest in which, for topk.cover.  Two that always nest in each other would be the same.
CREATE FUNCTION topk.note_nesting(src integer) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    same record;
BEGIN
    UPDATE topk.source_window c SET nested = ARRAY(
        SELECT f.window_id FROM topk.source_window f
        WHERE f.source_id = src AND f.window_id <> c.window_id AND topk.nests(f, c) ORDER BY f.window_id)
    WHERE c.source_id = src;
    SELECT o.window_name AS old, n.window_name AS new INTO same
    FROM topk.source_window o JOIN topk.source_window n USING (source_id)
    WHERE source_id = src AND o.window_id < n.window_id AND o.window_id = ANY (n.nested) AND n.window_id = ANY (o.nested);
    IF FOUND THEN
        RAISE EXCEPTION 'window "%" would be the same as "%"', same.new, same.old USING ERRCODE = 'duplicate_object';
    END IF;
END
$$;

-- Weeks begin on Mondays, everything else like the epoch.
CREATE FUNCTION topk.default_origin(size interval, zone text) RETURNS timestamptz LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN topk.us(size) % topk.us('7 days') = 0 THEN timestamp '1970-01-05' ELSE timestamp '1970-01-01' END
           AT TIME ZONE coalesce(zone, 'UTC')
$$;

-- Stores the row of a new window, which has been checked, and makes its table, empty.
CREATE FUNCTION topk.add_window(source_id integer, window_name text, size interval, retention interval, redis_ttl interval,
    origin timestamptz DEFAULT NULL, time_zone text DEFAULT NULL) RETURNS topk.source_window LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    d topk.source_window;
BEGIN
    BEGIN
        INSERT INTO topk.source_window (source_id, window_name, size, retention, redis_ttl, origin, time_zone)
        VALUES (source_id, window_name, size, retention, redis_ttl, coalesce(origin, topk.default_origin(size, time_zone)), time_zone)
        RETURNING * INTO d;
    EXCEPTION WHEN unique_violation THEN
        RAISE EXCEPTION 'the source already has a window "%"', window_name USING ERRCODE = 'duplicate_object';
    END;
    PERFORM topk.note_nesting(source_id);
    EXECUTE format('CREATE TABLE topk.win_%s (LIKE topk.win INCLUDING STORAGE INCLUDING COMPRESSION) PARTITION BY RANGE (window_start)', d.window_id);
    EXECUTE format('ALTER TABLE topk.win ATTACH PARTITION topk.win_%s FOR VALUES IN (%1$s)', d.window_id);
    SELECT * INTO d FROM topk.source_window w WHERE w.window_id = d.window_id;
    RETURN d;
END
$$;

-- The stored window that a new one is filled from: of those that nest in it the one that reaches back farthest,
-- and of several the coarsest.  NULL: none.
CREATE FUNCTION topk.filling_window(d topk.source_window) RETURNS topk.source_window LANGUAGE sql STABLE AS $$
    SELECT f FROM topk.source_window f WHERE f.window_id = ANY (d.nested)
    ORDER BY topk.kept_since(f), f.size DESC, f.window_id LIMIT 1
$$;

-- Fills a new window from `f`, all of it or from a time on.
CREATE FUNCTION topk.fill_window(d topk.source_window, f topk.source_window, since timestamptz) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM topk.make_leaf(d, s.start)
    FROM (SELECT DISTINCT topk.window_start(d, ws.window_start) AS start FROM topk.win_state ws
          WHERE ws.window_id = f.window_id AND ws.window_start >= since) s;
    INSERT INTO topk.win (window_id, window_start, list_id, sketch)
    SELECT d.window_id, topk.window_start(d, w.window_start), w.list_id, topk.compress(@extschema@.topk_merge(w.sketch ORDER BY w.window_start))
    FROM topk.win w WHERE w.window_id = f.window_id AND w.window_start >= since GROUP BY 2, 3;
    -- the next close finds out which of them are final
    INSERT INTO topk.win_state (window_id, window_start)
    SELECT DISTINCT d.window_id, topk.window_start(d, ws.window_start) FROM topk.win_state ws
    WHERE ws.window_id = f.window_id AND ws.window_start >= since;
END
$$;

CREATE FUNCTION topk.create_window(
    source      text,
    window_name text,
    size        interval,
    retention   interval,
    redis_ttl   interval DEFAULT NULL,
    origin      timestamptz DEFAULT NULL,
    time_zone   text DEFAULT NULL
) RETURNS integer LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    src      integer := topk.source_id(source);
    s        topk.source;
    d        topk.source_window;
    coarsest topk.source_window;
    f        topk.source_window;
    since    timestamptz;
BEGIN
    SELECT * INTO s FROM topk.source o WHERE o.source_id = src FOR SHARE;
    PERFORM topk.lock_windows(src);
    d.source_id := src;
    d.window_name := window_name;
    d.size := size;
    d.retention := retention;
    d.redis_ttl := redis_ttl;
    d.time_zone := topk.check_time_zone(time_zone, s.pane_size);
    d.origin := coalesce(origin, topk.default_origin(size, d.time_zone));
    PERFORM topk.check_window_row(d, s);
    SELECT * INTO coarsest FROM topk.source_window w WHERE w.window_id = topk.coarsest_window(src);
    since := topk.kept_since(coarsest); -- as long as it is the coarsest
    d := topk.add_window(src, d.window_name, d.size, d.retention, d.redis_ttl, d.origin, d.time_zone);
    IF d.size > coarsest.size THEN
        PERFORM topk.check_coarsest(d, coarsest);
        PERFORM topk.fill_window(d, coarsest, '-infinity');
    ELSE
        f := topk.filling_window(d);
        -- without a finer window there is only what no close has taken in yet
        since := CASE WHEN f.window_id IS NOT NULL THEN topk.kept_since(f)
                      ELSE coalesce((SELECT c.watermark FROM topk.closer c WHERE c.source_id = src), '-infinity') END;
        PERFORM topk.fill_window(d, f, topk.next_edge(d, since));
    END IF;
    UPDATE topk.source_window w SET complete_since = topk.next_edge(d, since) WHERE w.window_id = d.window_id;
    PERFORM topk.make_leaves(src);
    RETURN d.window_id;
END
$$;
COMMENT ON FUNCTION topk.create_window IS 'adds a window to a source, filled with what is stored; returns its window_id';

CREATE FUNCTION topk.check_coarsest(d topk.source_window, coarsest topk.source_window) RETURNS void LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    IF coarsest.window_id <> ALL (d.nested) THEN
        RAISE EXCEPTION 'window "%" cannot take the place of "%", the coarsest of its source', d.window_name, coarsest.window_name
            USING ERRCODE = 'invalid_parameter_value', DETAIL = format('Some windows of "%s" would be in two of its windows.', coarsest.window_name),
                  HINT = format('Take a multiple of %s, with the origin or the time zone of that window.', coarsest.size);
    END IF;
END
$$;

CREATE FUNCTION topk.alter_window(
    source      text,
    window_name text,
    retention   interval DEFAULT NULL,
    redis_ttl   interval DEFAULT NULL,
    reset       text[] DEFAULT '{}'
) RETURNS void LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    src   integer := topk.source_id(source);
    given jsonb := jsonb_build_object('retention', retention, 'redis_ttl', redis_ttl);
    s     topk.source;
    old   topk.source_window;
    new   topk.source_window;
BEGIN
    PERFORM topk.check_reset(reset, '{redis_ttl}', given);
    SELECT * INTO s FROM topk.source o WHERE o.source_id = src FOR SHARE;
    PERFORM topk.lock_windows(src);
    old := topk.find_window(src, source, window_name);
    new := jsonb_populate_record(old, topk.changes(given, reset));
    PERFORM topk.check_window_row(new, s);
    IF new IS NOT DISTINCT FROM old THEN
        RETURN;
    END IF;
    IF new.retention > old.retention THEN -- what the shorter one may have dropped stays away
        new.complete_since := topk.next_edge(old, topk.kept_since(old));
    END IF;
    UPDATE topk.source_window w SET (retention, redis_ttl, complete_since) = (new.retention, new.redis_ttl, new.complete_since)
    WHERE w.window_id = old.window_id;
    DELETE FROM topk.publication p WHERE p.window_id = old.window_id; -- sinks write its keys again, with the new expiry
END
$$;
COMMENT ON FUNCTION topk.alter_window IS 'changes how long a window is kept, here and in Redis; NULL leaves a setting as it is';

-- The table goes last: until the end of the transaction nobody reads any window.
CREATE FUNCTION topk.drop_window(source text, window_name text) RETURNS void LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    src integer := topk.source_id(source);
    d   topk.source_window;
BEGIN
    PERFORM topk.lock_windows(src);
    d := topk.find_window(src, source, window_name);
    IF d.window_id = topk.coarsest_window(src) THEN
        RAISE EXCEPTION 'window "%" is the coarsest of source "%", which is part of global', window_name, source
            USING ERRCODE = 'object_not_in_prerequisite_state', DETAIL = 'The coarsest window cannot be dropped, only replaced by a coarser one.',
                  HINT = 'Create a coarser one first, with topk.create_window.';
    END IF;
    DELETE FROM topk.source_window w WHERE w.window_id = d.window_id;
    PERFORM topk.note_nesting(src);
    EXECUTE format('DROP TABLE topk.win_%s', d.window_id);
END
$$;
COMMENT ON FUNCTION topk.drop_window IS 'forgets a window of a source (its Redis keys expire by themselves)';

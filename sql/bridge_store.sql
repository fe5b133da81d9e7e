-- ---------------------------------------------------------------------------------------------------------
-- What workers and closers call.  Each function is one step of the commit protocol (docs/ARCHITECTURE.md).
-- ---------------------------------------------------------------------------------------------------------

-- A worker takes its partitions.  Raising the epoch fences off whoever had them; what earlier runs left
-- unsealed is sealed, since nobody adds to it any more.  `low` and `high` are the ends of the log just now.
CREATE FUNCTION topk.claim_partitions(
    src integer, worker integer, partitions integer[], low bigint[], high bigint[],
    OUT partition integer, OUT epoch bigint, OUT next_offset bigint, OUT max_event_time timestamptz, OUT watermark timestamptz,
    OUT last_message_time timestamptz
) RETURNS SETOF record LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    s     topk.source;
    fresh boolean;
BEGIN
    SELECT * INTO s FROM topk.source WHERE source_id = src;
    -- the first partitions begin where the source says, partitions added later at their beginning
    fresh := NOT EXISTS (SELECT FROM topk.adoption WHERE source_id = src);
    INSERT INTO topk.partition (source_id, partition, next_offset, log_end)
    SELECT src, p.n, CASE WHEN fresh AND s.start_at = 'latest' THEN p.high ELSE p.low END, p.high
    FROM unnest(partitions, low, high) AS p(n, low, high) ORDER BY p.n
    ON CONFLICT DO NOTHING;

    PERFORM FROM topk.partition p WHERE p.source_id = src AND p.partition = ANY (partitions) ORDER BY p.partition FOR UPDATE;
    PERFORM topk.check_held(src);
    PERFORM topk.prune_pane_offsets(src, partitions, low);
    UPDATE topk.partition p SET epoch = p.epoch + 1, idle = false, at_end_since = NULL, log_end = u.high
    FROM unnest(partitions, high) AS u(n, high) WHERE p.source_id = src AND p.partition = u.n;
    UPDATE topk.live l SET sealed = true
    WHERE l.source_id = src AND NOT l.sealed AND (l.worker = claim_partitions.worker OR l.worker >= s.workers);
    UPDATE topk.worker w SET run = NULL, sealed_until = NULL WHERE w.source_id = src AND w.worker = claim_partitions.worker;

    INSERT INTO topk.adoption (source_id, partition, config_version, first_offset)
    SELECT src, p.partition, st.config_version, p.next_offset
    FROM topk.partition p JOIN topk.source_state st ON st.source_id = p.source_id
    WHERE p.source_id = src AND p.partition = ANY (partitions)
    ON CONFLICT DO NOTHING;

    RETURN QUERY SELECT p.partition, p.epoch, p.next_offset, p.max_event_time, p.watermark, p.last_message_time
    FROM topk.partition p WHERE p.source_id = src AND p.partition = ANY (partitions) ORDER BY p.partition;
END
$$;

-- Ids for the lists of one family: that of `all`, and for each dimension that of the list across its values,
-- NULL where it is that of `all`.  Whether it is, is decided once, with the family's first row.  all_id is NULL
-- if the configuration is no longer the caller's, who must start anew.
CREATE FUNCTION topk.intern_family(src integer, config_version bigint, tenant text, item_type text, dimensions text[], shareable boolean[],
    OUT all_id bigint, OUT across_ids bigint[]) LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    fresh  boolean;
    across record;
    own    bigint;
BEGIN
    PERFORM FROM topk.source_state st WHERE st.source_id = src AND st.config_version = config_version FOR SHARE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    all_id := topk.intern_list(src, tenant, item_type, 'all', NULL, NULL);
    FOR across IN SELECT d.name, d.shareable FROM unnest(dimensions, shareable) WITH ORDINALITY AS d(name, shareable, n) ORDER BY n LOOP
        -- the family is older than this list: its `all` may hold events without the dimension
        SELECT NOT EXISTS (SELECT FROM topk.live l WHERE l.source_id = src AND l.list_id = all_id)
            AND NOT EXISTS (SELECT FROM topk.win w JOIN topk.source_window d USING (window_id)
                            WHERE d.source_id = src AND w.list_id = all_id)
            AND NOT EXISTS (SELECT FROM topk.archive a WHERE a.list_id = all_id) INTO fresh;
        own := topk.intern_list(src, tenant, item_type, across.name, NULL,
                                CASE WHEN across.shareable AND fresh THEN all_id END);
        across_ids := across_ids || (SELECT CASE WHEN l.base_id = l.list_id THEN l.list_id END FROM topk.list l WHERE l.list_id = own);
    END LOOP;
END
$$;

-- The id of a list, or NULL.  Two statements, since IS NOT DISTINCT FROM is no condition of an index.  A plan that was
-- made while topk.list was small would read all of it for each list, for as long as the session lives: thus the setting.
CREATE FUNCTION topk.find_list(src integer, tenant text, item_type text, dimension text, value text)
RETURNS bigint LANGUAGE plpgsql SET enable_seqscan = off AS $$
#variable_conflict use_variable
BEGIN
    IF value IS NULL THEN
        RETURN (SELECT l.list_id FROM topk.list l WHERE l.source_id = src AND l.tenant = tenant AND l.item_type = item_type
                AND l.dimension = dimension AND l.value IS NULL);
    END IF;
    RETURN (SELECT l.list_id FROM topk.list l WHERE l.source_id = src AND l.tenant = tenant AND l.item_type = item_type
            AND l.dimension = dimension AND l.value = value);
END
$$;

CREATE FUNCTION topk.intern_list(src integer, tenant text, item_type text, dimension text, value text, base bigint)
RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    id bigint := topk.find_list(src, tenant, item_type, dimension, value);
BEGIN
    IF id IS NULL THEN
        id := nextval('topk.list_list_id_seq');
        INSERT INTO topk.list (list_id, base_id, source_id, tenant, item_type, dimension, value)
        VALUES (id, coalesce(base, id), src, tenant, item_type, dimension, value) ON CONFLICT DO NOTHING;
        IF NOT FOUND THEN -- another worker was first, and has committed
            SELECT f INTO STRICT id FROM topk.find_list(src, tenant, item_type, dimension, value) f WHERE f IS NOT NULL;
        END IF;
    END IF;
    RETURN id;
END
$$;

-- The event time up to which a source is believed complete, from what its workers have committed.  When all
-- partitions are idle it goes on at the pace of the wall clock.  A partition is idle only while its worker runs:
-- one that nobody reads holds the watermark.  NULL: unknown.
CREATE FUNCTION topk.source_watermark(src integer) RETURNS timestamptz LANGUAGE sql VOLATILE AS $$
    SELECT greatest(st.watermark, (
        SELECT CASE
            WHEN bool_and(p.idle)
                THEN least(max(p.max_event_time) + (clock_timestamp() - max(p.at_end_since)), clock_timestamp()) - s.out_of_orderness
            WHEN count(*) FILTER (WHERE NOT p.idle AND p.watermark IS NULL) = 0
                THEN min(p.watermark) FILTER (WHERE NOT p.idle)
            END
        FROM (SELECT p.watermark, p.max_event_time, p.at_end_since, p.idle AND coalesce(topk.process_runs(w.pid), false) AS idle
              FROM topk.partition p
              LEFT JOIN topk.worker w ON w.source_id = p.source_id AND w.worker = p.partition % s.workers
              WHERE p.source_id = src) p))
    FROM topk.source s JOIN topk.closer st USING (source_id) WHERE s.source_id = src
$$;

-- A worker that has not reached its brokers yet does not know whether its partitions are still at their ends.
CREATE FUNCTION topk.forget_idle(src integer, worker integer) RETURNS void LANGUAGE sql AS $$
    UPDATE topk.partition p SET idle = false, at_end_since = NULL
    FROM topk.source s WHERE p.source_id = src AND s.source_id = src AND p.idle AND p.partition % s.workers = forget_idle.worker
$$;

-- The same sketch, compressed.  What is written to topk.live and topk.win is, since their rows keep sketches inline.
CREATE FUNCTION topk.compress(@extschema@.topk) RETURNS @extschema@.topk
    AS 'MODULE_PATHNAME', 'topk_compress' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

-- Folds panes into a stored row, which comes first, as of the pane -infinity: pane after pane, trimming after each.
-- So a row depends on the panes that are in it, and not on how many of them a close took in at once.
CREATE FUNCTION topk.fold_step(@extschema@.topk, @extschema@.topk, timestamptz) RETURNS @extschema@.topk
    AS 'MODULE_PATHNAME', 'topk_fold' LANGUAGE C IMMUTABLE;
CREATE AGGREGATE topk.fold(sketch @extschema@.topk, pane timestamptz) (
    SFUNC = topk.fold_step, STYPE = @extschema@.topk, FINALFUNC = @extschema@.topk_final
);

-- The rows of panes that may be closed.  A piece of a pane is sealed while the pane is open, and a close takes in
-- panes, not pieces: so what a worker's run has written waits until that worker has sealed the pane, too.
CREATE FUNCTION topk.closable(src integer, reached timestamptz) RETURNS SETOF topk.live LANGUAGE sql STABLE AS $$
    SELECT l.* FROM topk.source s
    JOIN topk.live l USING (source_id)
    LEFT JOIN topk.worker w ON w.source_id = l.source_id AND w.worker = l.worker AND w.worker < s.workers AND w.run = l.incarnation >> 32
    WHERE s.source_id = src AND l.sealed AND l.pane <= reached - s.pane_size
        AND (w.run IS NULL OR l.pane <= w.sealed_until - s.pane_size)
$$;

-- One close: sealed panes that the watermark has passed move into every window that contains them; windows
-- whose end it has passed, and of which nothing is left to take in, become final.  Only the removal of a row
-- counts it, so a crash repeats nothing; a row that is not visible yet is the next close's.  About `most`
-- rows, a list's pane never in part; call again while `moved` is that many.
CREATE FUNCTION topk.close(src integer, most integer DEFAULT 20000, OUT watermark timestamptz, OUT moved bigint, OUT finals bigint)
LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    part record;
BEGIN
    moved := 0;
    finals := 0;
    PERFORM topk.lock_windows(src);
    watermark := topk.source_watermark(src); -- before, and in an earlier statement than, what it is used for
    IF watermark IS NULL THEN
        RETURN;
    END IF;

    FOR part IN
        WITH gone AS (
            DELETE FROM topk.live l USING (
                SELECT v.pane, v.list_id, v.incarnation FROM topk.closable(src, watermark) v
                ORDER BY v.pane, v.list_id FETCH FIRST (most) ROWS WITH TIES) v
            WHERE l.source_id = src AND l.pane = v.pane AND l.list_id = v.list_id AND l.incarnation = v.incarnation
            RETURNING l.pane, l.list_id, l.worker, l.incarnation, l.sketch
        ), taken AS (
            SELECT d.window_id, topk.window_start(d, g.pane) AS window_start, g.list_id, g.pane, g.worker, g.incarnation, g.sketch
            FROM gone g CROSS JOIN topk.source_window d WHERE d.source_id = src
        ), folded AS (
            SELECT u.window_id, u.window_start, u.list_id, topk.fold(u.sketch, u.pane ORDER BY u.pane, u.worker, u.incarnation) AS sketch
            FROM (TABLE taken
                  UNION ALL
                  SELECT t.window_id, t.window_start, t.list_id, '-infinity', NULL, NULL,
                         (SELECT w.sketch FROM topk.win w
                          WHERE w.window_id = t.window_id AND w.window_start = t.window_start AND w.list_id = t.list_id)
                  FROM (SELECT DISTINCT k.window_id, k.window_start, k.list_id FROM taken k) t) u
            GROUP BY 1, 2, 3
        )
        SELECT f.window_id, f.window_start, array_agg(f.list_id ORDER BY f.list_id) AS lists,
               array_agg(f.sketch ORDER BY f.list_id) AS sketches, (SELECT count(*) FROM gone) AS rows
        FROM folded f GROUP BY 1, 2 ORDER BY 1, 2
    LOOP
        moved := part.rows;
        PERFORM topk.store_window(part.window_id, part.window_start, part.lists, part.sketches);
    END LOOP;

    UPDATE topk.win_state ws SET final = true, revision = 1, changed_at = now()
    FROM topk.source_window d
    WHERE d.source_id = src AND ws.window_id = d.window_id AND NOT ws.final AND topk.window_end(d, ws.window_start) <= watermark
        AND NOT EXISTS (SELECT FROM topk.live l WHERE l.source_id = src AND l.pane >= ws.window_start
                        AND l.pane < topk.window_end(d, ws.window_start));
    GET DIAGNOSTICS finals = ROW_COUNT;
    UPDATE topk.closer c SET watermark = watermark, last_close_at = now(), last_error = NULL, last_error_at = NULL
    WHERE c.source_id = src AND (moved > 0 OR finals > 0 OR c.last_error IS NOT NULL
                                 OR c.watermark IS NULL OR c.watermark < watermark - interval '1 second');
END
$$;

-- Writes rows of one window, there already or new; a final window that changes stays final.
CREATE FUNCTION topk.store_window(id integer, start timestamptz, lists bigint[], sketches @extschema@.topk[])
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE topk.win w SET sketch = topk.compress(p.sketch)
    FROM unnest(lists, sketches) AS p(list_id, sketch)
    WHERE w.window_id = id AND w.window_start = start AND w.list_id = p.list_id;
    INSERT INTO topk.win (window_id, window_start, list_id, sketch)
    SELECT id, start, p.list_id, topk.compress(p.sketch) FROM unnest(lists, sketches) AS p(list_id, sketch)
    WHERE NOT EXISTS (SELECT FROM topk.win w WHERE w.window_id = id AND w.window_start = start AND w.list_id = p.list_id);
    INSERT INTO topk.win_state AS ws (window_id, window_start) VALUES (id, start)
    ON CONFLICT (window_id, window_start) DO UPDATE SET revision = ws.revision + ws.final::integer, changed_at = now();
END
$$;

-- Whether the last close was less than five flush intervals ago.  What comes within that time, panes of a backlog and
-- late data, is closed together, so that each row it goes to is written once.  It can be read meanwhile.
CREATE FUNCTION topk.close_rests(src integer) RETURNS boolean LANGUAGE sql VOLATILE AS $$
    SELECT coalesce(c.last_close_at > now() - 5 * s.flush_interval AND c.last_close_at <= now() AND c.last_error IS NULL, false)
    FROM topk.closer c JOIN topk.source s USING (source_id) WHERE c.source_id = src
$$;

-- Whether a close would find something to do; cheap, since it is asked twice a second.
CREATE FUNCTION topk.close_due(src integer) RETURNS boolean LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    reached timestamptz := topk.source_watermark(src);
BEGIN
    RETURN EXISTS (SELECT FROM topk.closer c WHERE c.source_id = src
                   AND (c.last_error IS NOT NULL OR c.watermark IS NULL OR c.watermark < reached - interval '10 seconds'))
        OR EXISTS (SELECT FROM topk.closable(src, reached))
        OR EXISTS (SELECT FROM topk.source_window d JOIN topk.win_state ws USING (window_id)
                   WHERE d.source_id = src AND NOT ws.final AND topk.window_end(d, ws.window_start) <= reached);
END
$$;

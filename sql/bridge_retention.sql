-- ---------------------------------------------------------------------------------------------------------
-- What bounds what is kept.  The closer calls these once a minute, each step in a transaction of its own.
-- ---------------------------------------------------------------------------------------------------------

-- Drops one leaf that retention has passed, oldest first; the lists of `all` of the coarsest window, which global
-- is made of, go into the archive in the same transaction.  Retention is measured against the source's watermark, so that a backfill stays.
-- Returns the leaf's name, or NULL if there is none to drop.  Set a short lock_timeout before.
CREATE FUNCTION topk.drop_leaf(src integer) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    leaf record;
BEGIN
    PERFORM topk.lock_windows(src);
    SELECT d.window_id, c.relname AS name, b.start, b.start + topk.leaf_size(d.size) AS until,
           d.window_id = topk.coarsest_window(src) AS coarsest INTO leaf
    FROM topk.source_window d
    JOIN topk.closer st USING (source_id)
    JOIN pg_catalog.pg_inherits i ON i.inhparent = to_regclass('topk.win_' || d.window_id)
    JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid
    CROSS JOIN LATERAL (SELECT to_timestamp(split_part(c.relname, '_', 3) || '+00', 'YYYYMMDD"t"HH24MITZH') AS start) b
    WHERE d.source_id = src AND b.start + topk.leaf_size(d.size) + d.retention <= st.watermark
    ORDER BY b.start LIMIT 1;
    IF leaf IS NULL THEN
        RETURN NULL;
    END IF;
    EXECUTE format('LOCK TABLE topk.win_%s, topk.%I IN ACCESS EXCLUSIVE MODE', leaf.window_id, leaf.name);
    IF leaf.coarsest THEN
        EXECUTE format('INSERT INTO topk.archive AS a (list_id, sketch) '
                       'SELECT list_id, @extschema@.topk_merge(sketch ORDER BY window_start) FROM topk.%I JOIN topk.list l USING (list_id) '
                       'WHERE l.dimension = ''all'' GROUP BY list_id ORDER BY list_id '
                       'ON CONFLICT (list_id) DO UPDATE SET sketch = a.sketch OPERATOR(@extschema@.||) excluded.sketch', leaf.name);
        PERFORM topk.note_archived(src, leaf.until);
    END IF;
    EXECUTE format('DROP TABLE topk.%I', leaf.name);
    DELETE FROM topk.win_state ws WHERE ws.window_id = leaf.window_id AND ws.window_start >= leaf.start AND ws.window_start < leaf.until;
    DELETE FROM topk.publication p WHERE p.window_id = leaf.window_id AND p.window_start >= leaf.start AND p.window_start < leaf.until;
    RETURN leaf.name;
END
$$;

-- Deletes dead letters kept for longer than letter_retention, and the oldest of those beyond letter_max_bytes; at most
-- `most`, but for the rest of a block.  Returns how many.
CREATE FUNCTION topk.trim_dead_letters(s topk.source, most integer) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    trimmed bigint;
BEGIN
    WITH kept AS (
        SELECT r.dead_letter_id AS id, r.created_at, r.bytes, 1 AS letters FROM topk.dead_letter_row r WHERE r.source_id = s.source_id
        UNION ALL
        SELECT b.dead_letter_id, b.created_at, b.bytes, b.letters FROM topk.dead_letter_block b WHERE b.source_id = s.source_id
    ), surplus AS (
        SELECT k.id, sum(k.letters) OVER (ORDER BY k.id) - k.letters AS older
        FROM (SELECT id, created_at, letters, sum(bytes) OVER (ORDER BY id DESC) AS with_newer FROM kept) k
        WHERE k.created_at < now() - s.letter_retention OR k.with_newer > s.letter_max_bytes
    ), chosen AS (
        SELECT u.id FROM surplus u WHERE u.older < most
    ), one AS (
        DELETE FROM topk.dead_letter_row r WHERE r.source_id = s.source_id AND r.dead_letter_id IN (SELECT id FROM chosen) RETURNING 1 AS letters
    ), block AS (
        DELETE FROM topk.dead_letter_block b WHERE b.source_id = s.source_id AND b.dead_letter_id IN (SELECT id FROM chosen) RETURNING b.letters
    )
    SELECT coalesce(sum(letters), 0) INTO trimmed FROM (SELECT letters FROM one UNION ALL SELECT letters FROM block) t;
    RETURN trimmed;
END
$$;

-- The same of late events.
CREATE FUNCTION topk.trim_late_events(s topk.source, most integer) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    trimmed bigint;
BEGIN
    DELETE FROM topk.late_event e WHERE e.source_id = s.source_id AND e.late_event_id IN (
        SELECT l.id FROM (SELECT o.created_at, o.late_event_id AS id, sum(o.bytes) OVER (ORDER BY o.late_event_id DESC) AS with_newer
                          FROM topk.late_event o WHERE o.source_id = s.source_id) l
        WHERE l.created_at < now() - s.letter_retention OR l.with_newer > s.letter_max_bytes ORDER BY l.id LIMIT most);
    GET DIAGNOSTICS trimmed = ROW_COUNT;
    RETURN trimmed;
END
$$;

-- One batch of everything that is not partitioned.  True: there may be more.  The first offsets of a
-- configuration are kept until the next one is older than any window.
CREATE FUNCTION topk.trim(src integer, most integer DEFAULT 10000) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    s topk.source;
BEGIN
    SELECT * INTO s FROM topk.source o WHERE o.source_id = src;
    DELETE FROM topk.adoption a WHERE a.source_id = src
        AND EXISTS (SELECT FROM topk.adoption o WHERE o.source_id = src AND o.partition = a.partition AND o.config_version > a.config_version
                    AND o.adopted_at < now() - (SELECT max(d.retention) FROM topk.source_window d WHERE d.source_id = src));
    RETURN greatest(topk.trim_dead_letters(s, most), topk.trim_late_events(s, most)) >= most;
END
$$;

-- Where lists have sketches.  Whatever else keeps list ids must be in it.
CREATE VIEW topk.list_use WITH (security_invoker = true) AS
    SELECT l.source_id, l.list_id FROM topk.live l
    UNION ALL SELECT d.source_id, w.list_id FROM topk.source_window d JOIN topk.win w USING (window_id)
    UNION ALL SELECT l.source_id, a.list_id FROM topk.archive a JOIN topk.list l USING (list_id);

-- Lists of values that are older than anything that is kept, and that no sketch is left of.
CREATE FUNCTION topk.unused_lists(src integer) RETURNS SETOF bigint LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    old bigint[] := ARRAY(SELECT l.list_id FROM topk.list l WHERE l.source_id = src AND l.value IS NOT NULL
        AND l.created_at < now() - (SELECT max(d.retention) FROM topk.source_window d WHERE d.source_id = src));
BEGIN
    IF old <> '{}' THEN -- else there is no need to look through all windows
        RETURN QUERY SELECT unnest(old) EXCEPT SELECT u.list_id FROM topk.list_use u WHERE u.source_id = src;
    END IF;
END
$$;

-- Deletes such lists, once a day.  Workers hold the ids of lists.  So their epochs are raised first: that waits for
-- flushes under way, after which their lists are in use; the next ones are fenced, and their sessions ask anew.
CREATE FUNCTION topk.collect_lists(src integer) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    collected bigint := 0;
BEGIN
    PERFORM FROM topk.closer c WHERE c.source_id = src AND (c.collected_at IS NULL OR c.collected_at < now() - interval '1 day');
    IF NOT FOUND THEN
        RETURN 0;
    END IF;
    PERFORM topk.unused_lists(src) LIMIT 1;
    IF FOUND THEN
        PERFORM FROM topk.partition p WHERE p.source_id = src ORDER BY p.partition FOR UPDATE;
        UPDATE topk.partition p SET epoch = p.epoch + 1 WHERE p.source_id = src;
        PERFORM topk.lock_windows(src);
        DELETE FROM topk.list l WHERE l.list_id IN (SELECT topk.unused_lists(src))
            AND NOT EXISTS (SELECT FROM topk.replay_job j WHERE j.source_id = src AND j.finished_at IS NULL); -- it holds ids too
        GET DIAGNOSTICS collected = ROW_COUNT;
    END IF;
    UPDATE topk.closer c SET collected_at = now() WHERE c.source_id = src;
    RETURN collected;
END
$$;

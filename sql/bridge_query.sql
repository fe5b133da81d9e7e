-- ---------------------------------------------------------------------------------------------------------
-- Results by call: the newest window, or any stretch of event time.
--
-- A stretch is read as cells: stored windows, and live panes that no window has taken in yet.  Cells wholly
-- inside it are *inner*; those that reach over an edge of it are *edge* cells.  With f(x) the weight of an item
-- in the stretch, inner(x) <= f(x) <= inner(x) + edge(x).  So
--   lower_bound  is the lower bound by the sketch of the inner cells, 0 for an item without an entry in it;
--   upper_bound  is the upper bound by the sketch of all cells; an item that has no entry in it, and so is not
--                listed, weighs at most that sketch's max_error;
--   estimate     is the upper bound, as everywhere in topk;
--   total        is the weight of all cells: at least that of the stretch;
--   guaranteed   means that the item is among the k heaviest of the stretch: its lower bound reaches max_error,
--                and fewer than k other items have a higher upper bound.
-- Where no cell reaches over an edge these are the bounds of one sketch, exact as long as that is.
--
-- Everything runs with the caller's rights, in the snapshot of the calling statement, in which each event is
-- either in a live pane or in the stored windows.
-- ---------------------------------------------------------------------------------------------------------

CREATE FUNCTION topk.check_filter(src integer, source text, item_type text, dimension text, value text) RETURNS void
LANGUAGE plpgsql STABLE PARALLEL SAFE AS $$
#variable_conflict use_variable
BEGIN
    IF dimension IS NULL THEN
        RAISE EXCEPTION 'dimension must not be NULL' USING ERRCODE = 'null_value_not_allowed', HINT = 'Take ''all'' for the list of all items.';
    END IF;
    IF dimension = 'all' AND value IS NOT NULL THEN
        RAISE EXCEPTION 'dimension "all" has no values' USING ERRCODE = 'invalid_parameter_value', HINT = 'Name the dimension that has this value.';
    END IF;
    IF item_type IS NOT NULL AND NOT EXISTS (SELECT FROM topk.rule r WHERE r.source_id = src AND r.item_type = item_type)
        AND NOT EXISTS (SELECT FROM topk.list l WHERE l.source_id = src AND l.item_type = item_type) THEN
        RAISE EXCEPTION 'source "%" has no item type %', source, quote_literal(item_type) USING ERRCODE = 'undefined_object',
            HINT = 'SELECT DISTINCT item_type FROM topk.rule lists those of the rules.';
    END IF;
    IF dimension <> 'all' AND NOT EXISTS (SELECT FROM topk.rule r WHERE r.source_id = src AND r.dimensions ? dimension)
        AND NOT EXISTS (SELECT FROM topk.list l WHERE l.source_id = src AND l.dimension = dimension) THEN
        RAISE EXCEPTION 'source "%" has no dimension %', source, quote_literal(dimension) USING ERRCODE = 'undefined_object',
            HINT = 'SELECT event_type, dimensions FROM topk.rule lists those of the rules.';
    END IF;
END
$$;

-- The lists whose sketches answer a filter: one for each tenant and item type in it.  With an index of their own,
-- since neither is named in most questions, and a dimension may have many values.  The value comes first, so that this
-- index is none for who looks for one list by all its columns (by which many tenants share a dimension).
CREATE INDEX list_by_value ON topk.list (coalesce(value, ''), dimension, source_id);
CREATE FUNCTION topk.find_lists(src integer, item_type text, dimension text, value text, tenant text) RETURNS bigint[]
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT coalesce(array_agg(l.base_id ORDER BY l.tenant, l.item_type), '{}') FROM topk.list l
    WHERE l.source_id = src AND l.dimension = find_lists.dimension
        AND coalesce(l.value, '') = coalesce(find_lists.value, '') AND l.value IS NOT DISTINCT FROM find_lists.value
        AND (find_lists.item_type IS NULL OR l.item_type = find_lists.item_type)
        AND (find_lists.tenant IS NULL OR l.tenant = find_lists.tenant)
$$;

-- The panes in topk.live that begin in [low, high).  One index probe for each, however many lists they have.
CREATE FUNCTION topk.live_panes(src integer, low timestamptz, high timestamptz) RETURNS timestamptz[]
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    WITH RECURSIVE panes(pane) AS (
        SELECT (SELECT min(l.pane) FROM topk.live l WHERE l.source_id = src AND l.pane >= low AND l.pane < high)
        UNION ALL
        SELECT (SELECT min(l.pane) FROM topk.live l WHERE l.source_id = src AND l.pane > p.pane AND l.pane < high)
        FROM panes p WHERE p.pane IS NOT NULL)
    SELECT coalesce(array_agg(p.pane), '{}') FROM panes p WHERE p.pane IS NOT NULL
$$;

-- The windows that nest in no other.
CREATE FUNCTION topk.chain_tops(src integer) RETURNS SETOF integer LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT t.window_id FROM topk.source_window t WHERE t.source_id = src
        AND NOT EXISTS (SELECT FROM topk.source_window o WHERE o.source_id = src AND t.window_id = ANY (o.nested))
$$;

-- A window and those that nest in it, each in the one before, and the time from which on each has all that was
-- counted: cut at an edge of the next coarser one, and never before that one begins, so that what is older can be
-- read there without counting anything twice.
CREATE FUNCTION topk.window_chain(src integer, top integer, OUT d topk.source_window, OUT since timestamptz)
RETURNS SETOF record LANGUAGE plpgsql STABLE PARALLEL SAFE AS $$
DECLARE
    coarser topk.source_window;
BEGIN
    FOR d IN SELECT w.* FROM topk.source_window w WHERE w.source_id = src ORDER BY w.size DESC, w.window_id LOOP
        IF coarser.window_id IS NOT NULL AND d.window_id = ANY (coarser.nested) THEN
            since := greatest(since, topk.next_edge(coarser, topk.kept_since(d)));
        ELSIF d.window_id = top THEN
            since := topk.next_edge(d, topk.kept_since(d));
        ELSE
            CONTINUE;
        END IF;
        coarser := d;
        RETURN NEXT;
    END LOOP;
END
$$;

-- Runs of stored windows of one chain, [first, until), that hold the stretch [low, high), as far as they go back:
-- inside, as coarse as they fit and are retained; then, for what is left at the edges, the finest that are.
CREATE FUNCTION topk.chain_cover(src integer, top integer, low timestamptz, high timestamptz,
    OUT window_id integer, OUT window_name text, OUT first timestamptz, OUT until timestamptz, OUT inside boolean)
RETURNS SETOF record LANGUAGE plpgsql STABLE PARALLEL SAFE AS $$
#variable_conflict use_variable
DECLARE
    rest   tstzmultirange := tstzmultirange(tstzrange(low, high));
    chain  topk.source_window[];
    starts timestamptz[];
    d      topk.source_window;
    gap    tstzrange;
BEGIN
    SELECT array_agg(c.d), array_agg(c.since) INTO chain, starts FROM topk.window_chain(src, top) c;
    inside := true;
    FOR i IN 1 .. cardinality(chain) LOOP
        d := chain[i];
        window_id := d.window_id;
        window_name := d.window_name;
        FOR gap IN SELECT unnest(rest) LOOP
            first := topk.next_edge(d, greatest(lower(gap), starts[i]));
            until := topk.window_start(d, upper(gap));
            CONTINUE WHEN first >= until;
            rest := rest - tstzmultirange(tstzrange(first, until));
            RETURN NEXT;
        END LOOP;
    END LOOP;
    inside := false;
    FOR i IN REVERSE cardinality(chain) .. 1 LOOP
        d := chain[i];
        window_id := d.window_id;
        window_name := d.window_name;
        FOR gap IN SELECT unnest(rest * tstzmultirange(tstzrange(starts[i], NULL))) LOOP
            first := topk.window_start(d, lower(gap));
            until := topk.next_edge(d, upper(gap));
            rest := rest - tstzmultirange(tstzrange(first, until));
            RETURN NEXT;
        END LOOP;
    END LOOP;
END
$$;

-- The chain that holds a stretch, with the narrowest edges, and of such the one of the fewest windows; NULL: none
-- goes back as far.  Most sources have only one: there are two where the hours of UTC are cut by the days of a zone.
CREATE FUNCTION topk.best_chain(src integer, low timestamptz, high timestamptz) RETURNS integer LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT t.window_id
    FROM topk.chain_tops(src) t(window_id)
    CROSS JOIN LATERAL (
        SELECT range_agg(tstzrange(c.first, c.until)) AS held, coalesce(sum(c.until - c.first) FILTER (WHERE NOT c.inside), '0') AS edges,
               sum(extract(epoch FROM c.until - c.first) / extract(epoch FROM w.size)) AS windows
        FROM topk.chain_cover(src, t.window_id, low, high) c JOIN topk.source_window w USING (window_id)) c
    WHERE c.held @> tstzrange(low, high)
    ORDER BY c.edges, c.windows, t.window_id LIMIT 1
$$;

CREATE FUNCTION topk.cover(src integer, low timestamptz, high timestamptz,
    OUT window_id integer, OUT window_name text, OUT first timestamptz, OUT until timestamptz, OUT inside boolean)
RETURNS SETOF record LANGUAGE plpgsql STABLE PARALLEL SAFE AS $$
DECLARE
    top integer := topk.best_chain(src, low, high);
BEGIN
    IF top IS NULL THEN
        RAISE EXCEPTION 'what was counted before % is no longer stored by time', (
                SELECT min(c.since) FROM topk.chain_tops(src) t(window_id), topk.window_chain(src, t.window_id) c WHERE (c.d).window_id = t.window_id)
            USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'It is part of topk.top_items_global only.  Ask for a later stretch.';
    END IF;
    RETURN QUERY SELECT * FROM topk.chain_cover(src, top, low, high);
END
$$;
COMMENT ON FUNCTION topk.cover IS 'the stored windows that topk.top_between reads for a stretch, and whether each is wholly inside';

-- The query that sums up the cells of a stretch, and says where they begin and end; $1: the lists.  Every bound is
-- a constant in it, so that the planner leaves out all other leaves; the starts of windows come from
-- topk.win_state, so that only windows that exist are probed, each with one look into the leaf's key.
CREATE FUNCTION topk.stretch_query(src integer, low timestamptz, high timestamptz) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE SET datestyle = 'ISO' AS $$
    SELECT format('SELECT @extschema@.topk_merge(u.sketch ORDER BY u.start, u.list_id) FILTER (WHERE u.inside), '
                  '@extschema@.topk_merge(u.sketch ORDER BY u.start, u.list_id) FILTER (WHERE NOT u.inside), %5$L::timestamptz, %6$L::timestamptz '
                  'FROM (SELECT l.pane AS start, l.list_id, l.pane >= %1$L AND l.pane <= %2$L AS inside, l.sketch FROM topk.live l '
                  'WHERE l.source_id = %3$s AND l.pane = ANY (%4$L::timestamptz[]) AND l.list_id = ANY ($1)',
                  low, high - s.pane_size, src, topk.live_panes(src, low - s.pane_size + interval '1 microsecond', high), c.first, c.until)
           || c.stored || ') u'
    FROM topk.source s
    CROSS JOIN LATERAL (
        SELECT min(c.first) AS first, max(c.until) AS until, string_agg(format(
                  ' UNION ALL SELECT w.window_start, w.list_id, %1$L::boolean, w.sketch FROM topk.win w WHERE w.window_id = %2$s '
                  'AND w.window_start >= %3$L AND w.window_start < %4$L AND w.list_id = ANY ($1) AND w.window_start = ANY (ARRAY('
                  'SELECT d.window_start FROM topk.win_state d WHERE d.window_id = %2$s AND d.window_start >= %3$L AND d.window_start < %4$L))',
                  c.inside, c.window_id, c.first, c.until), '') AS stored
        FROM topk.cover(src, low, high) c) c
    WHERE s.source_id = src
$$;

-- The items of all cells with lower bounds from the inner ones; see the top of this file.
CREATE FUNCTION topk.bounded_items(inner_cells @extschema@.topk, all_cells @extschema@.topk, n integer,
    OUT rank integer, OUT item text, OUT estimate bigint, OUT lower_bound bigint, OUT upper_bound bigint, OUT guaranteed boolean)
RETURNS SETOF record LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    WITH entry AS (
        SELECT o.rank, o.item, o.upper_bound, coalesce(i.lower_bound, 0) AS lower_bound
        FROM @extschema@.topk_items(all_cells, @extschema@.topk_capacity(all_cells)) o
        LEFT JOIN @extschema@.topk_items(inner_cells, @extschema@.topk_capacity(inner_cells)) i USING (item)
    ), rival AS (
        SELECT coalesce(max(e.upper_bound) FILTER (WHERE e.rank = @extschema@.topk_k(all_cells)), 0) AS kth,
               coalesce(max(e.upper_bound) FILTER (WHERE e.rank = @extschema@.topk_k(all_cells) + 1), 0) AS after_kth
        FROM entry e)
    SELECT e.rank, e.item, e.upper_bound, e.lower_bound, e.upper_bound,
           -- an item is no rival of itself, and exceeds its own lower bound exactly if its bounds differ
           e.lower_bound >= greatest(@extschema@.topk_max_error(all_cells),
                                     CASE WHEN e.upper_bound > e.lower_bound THEN r.after_kth ELSE r.kth END)
    FROM entry e CROSS JOIN rival r WHERE e.rank <= n ORDER BY e.rank
$$;

CREATE FUNCTION topk.top_between(
    source    text,
    from_time timestamptz,
    to_time   timestamptz,
    item_type text DEFAULT NULL,
    dimension text DEFAULT 'all',
    value     text DEFAULT NULL,
    tenant    text DEFAULT NULL,
    n         integer DEFAULT NULL
) RETURNS TABLE (rank integer, item text, estimate bigint, lower_bound bigint, upper_bound bigint, guaranteed boolean, total bigint,
    window_start timestamptz, window_end timestamptz)
LANGUAGE plpgsql STABLE PARALLEL SAFE ROWS 100 AS $$
#variable_conflict use_variable
DECLARE
    src         integer := topk.source_id(source);
    inner_cells @extschema@.topk;
    edge_cells  @extschema@.topk;
    all_cells   @extschema@.topk;
BEGIN
    PERFORM topk.check_filter(src, source, item_type, dimension, value);
    PERFORM topk.check_stretch(from_time, to_time);
    n := topk.check_n(src, n, tenant);
    IF from_time = to_time THEN
        RETURN;
    END IF;
    EXECUTE topk.stretch_query(src, from_time, to_time) INTO inner_cells, edge_cells, window_start, window_end
        USING topk.find_lists(src, item_type, dimension, value, tenant);
    all_cells := CASE WHEN edge_cells IS NULL THEN inner_cells WHEN inner_cells IS NULL THEN edge_cells
                      ELSE inner_cells OPERATOR(@extschema@.||) edge_cells END;
    RETURN QUERY SELECT i.*, @extschema@.topk_total(all_cells), window_start, window_end
        FROM topk.bounded_items(inner_cells, all_cells, n) i WHERE all_cells IS NOT NULL;
END
$$;
COMMENT ON FUNCTION topk.top_between
    IS 'the top items of any stretch of event time; windows that reach over its edges count in the upper bounds only';

CREATE FUNCTION topk.check_stretch(from_time timestamptz, to_time timestamptz) RETURNS void LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN
    IF from_time IS NULL OR to_time IS NULL OR NOT isfinite(from_time) OR NOT isfinite(to_time) THEN
        RAISE EXCEPTION 'a stretch of time needs a beginning and an end' USING ERRCODE = 'invalid_parameter_value',
            HINT = 'For all that was ever counted, read topk.top_items_global.';
    END IF;
    IF from_time > to_time THEN
        RAISE EXCEPTION 'a stretch of time cannot end before it begins' USING ERRCODE = 'invalid_parameter_value',
            DETAIL = format('It is from %s to %s.', from_time, to_time);
    END IF;
END
$$;

-- How many items to list: what is asked for, else the k of the tenant that is asked for, else the source's.
CREATE FUNCTION topk.check_n(src integer, n integer, tenant text) RETURNS integer LANGUAGE plpgsql STABLE PARALLEL SAFE AS $$
BEGIN
    IF n IS NULL THEN
        RETURN (SELECT coalesce(t.k, s.k) FROM topk.source s LEFT JOIN topk.tenant t ON t.source_id = s.source_id
                    AND check_n.tenant IS NOT NULL AND (t.tenant = check_n.tenant OR t.tenant IS NULL)
                WHERE s.source_id = src ORDER BY t.tenant NULLS LAST LIMIT 1);
    END IF;
    PERFORM topk.check_range('n', n, 1, 65536);
    RETURN n;
END
$$;

CREATE FUNCTION topk.top(
    source      text,
    window_name text DEFAULT '1-minute',
    item_type   text DEFAULT NULL,
    dimension   text DEFAULT 'all',
    value       text DEFAULT NULL,
    tenant      text DEFAULT NULL,
    n           integer DEFAULT NULL,
    at          timestamptz DEFAULT NULL
) RETURNS TABLE (rank integer, item text, estimate bigint, lower_bound bigint, upper_bound bigint, guaranteed boolean, total bigint,
    window_start timestamptz, window_end timestamptz, final boolean)
LANGUAGE plpgsql STABLE PARALLEL SAFE ROWS 100 AS $$
#variable_conflict use_variable
DECLARE
    src    integer := topk.source_id(source);
    d      topk.source_window := topk.find_window(src, source, window_name);
    lists  bigint[];
    sketch @extschema@.topk;
BEGIN
    PERFORM topk.check_filter(src, source, item_type, dimension, value);
    n := topk.check_n(src, n, tenant);
    window_start := CASE WHEN at IS NULL THEN topk.newest_window(d) ELSE topk.check_retained(d, at) END;
    window_end := topk.window_end(d, window_start);
    lists := topk.find_lists(src, item_type, dimension, value, tenant);
    SELECT @extschema@.topk_merge(u.sketch ORDER BY u.start, u.list_id) INTO sketch
    FROM (SELECT w.window_start AS start, w.list_id, w.sketch FROM topk.win w
          WHERE w.window_id = d.window_id AND w.window_start = window_start AND w.list_id = ANY (lists)
          UNION ALL
          SELECT l.pane, l.list_id, l.sketch FROM topk.live l
          WHERE l.source_id = src AND l.pane = ANY (topk.live_panes(src, window_start, window_end)) AND l.list_id = ANY (lists)) u;
    final := coalesce((SELECT ws.final FROM topk.win_state ws WHERE ws.window_id = d.window_id AND ws.window_start = window_start), false);
    RETURN QUERY SELECT i.*, @extschema@.topk_total(sketch), window_start, window_end, final
        FROM @extschema@.topk_items(sketch, n) i;
END
$$;
COMMENT ON FUNCTION topk.top IS 'the top items of the newest window of a source, or of the one that holds a time';

-- The start of the newest complete window that anything of its source was counted in; NULL: nothing was yet.
CREATE FUNCTION topk.newest_window(d topk.source_window) RETURNS timestamptz LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT n.start FROM greatest(
        (SELECT max(ws.window_start) FROM topk.win_state ws WHERE ws.window_id = d.window_id),
        (SELECT topk.window_start(d, max(l.pane)) FROM topk.live l WHERE l.source_id = d.source_id)) AS n(start)
    WHERE n.start >= d.complete_since
$$;

-- The start of the window that holds a time, which must not have been dropped.
CREATE FUNCTION topk.check_retained(d topk.source_window, at timestamptz) RETURNS timestamptz LANGUAGE plpgsql STABLE PARALLEL SAFE AS $$
DECLARE
    start timestamptz;
    kept  timestamptz := (SELECT c.watermark - d.retention FROM topk.closer c WHERE c.source_id = d.source_id);
BEGIN
    IF NOT isfinite(at) THEN
        RAISE EXCEPTION 'no window holds the time %', at USING ERRCODE = 'invalid_parameter_value';
    END IF;
    start := topk.window_start(d, at);
    IF start < d.complete_since THEN
        RAISE EXCEPTION 'window "%" of % is not complete', d.window_name, start USING ERRCODE = 'object_not_in_prerequisite_state',
            DETAIL = format('The window has what was counted from %s on.', d.complete_since), HINT = 'Ask topk.top_between for that time.';
    END IF;
    IF start < kept AND NOT EXISTS (SELECT FROM topk.win_state ws WHERE ws.window_id = d.window_id AND ws.window_start = start) THEN
        RAISE EXCEPTION 'window "%" of % is no longer stored', d.window_name, start USING ERRCODE = 'object_not_in_prerequisite_state',
            DETAIL = format('Its retention is %s.', d.retention), HINT = 'Coarser windows are kept for longer.';
    END IF;
    RETURN start;
END
$$;

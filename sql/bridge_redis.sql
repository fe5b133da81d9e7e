-- ---------------------------------------------------------------------------------------------------------
-- What each Redis key should hold.  The publisher, the view for people and the tests use the same functions.
-- ---------------------------------------------------------------------------------------------------------

-- ':' separates the parts of a key and braces mark a cluster's hash tag, so both are percent-encoded in values.
CREATE FUNCTION topk.redis_escape(value text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT replace(replace(replace(replace(value, '%', '%25'), ':', '%3A'), '{', '%7B'), '}', '%7D')
$$;

-- Fills a key template in: variables are the names and values, in turn.  An escaped value holds no '%name%', so
-- it cannot be taken for another variable.
CREATE FUNCTION topk.redis_key(template text, VARIADIC variables text[]) RETURNS text LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN
    FOR i IN 1 .. cardinality(variables) BY 2 LOOP
        template := replace(template, '%' || variables[i] || '%', topk.redis_escape(coalesce(variables[i + 1], '')));
    END LOOP;
    RETURN template;
END
$$;

-- When a key expires: its time to live counts from the source's watermark, so that a backfill of old windows
-- does not fill Redis.  'infinity': never.
CREATE FUNCTION topk.redis_expiry(ttl interval, watermark timestamptz, window_end timestamptz) RETURNS timestamptz
LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN ttl IS NULL THEN 'infinity' ELSE now() + ttl - (coalesce(watermark, window_end) - window_end) END
$$;

-- The windows that a sink should hold.  change_tag differs whenever what the window holds does.  Asked each time
-- that something may have changed: the panes are read once, not once for each kind of window.
CREATE FUNCTION topk.sink_windows(id integer,
    OUT window_id integer, OUT window_start timestamptz, OUT final boolean, OUT revision integer, OUT published integer,
    OUT expire_at timestamptz, OUT change_tag text)
RETURNS SETOF record LANGUAGE sql STABLE AS $$
    WITH live AS MATERIALIZED (
        SELECT l.pane, count(*) AS n, sum(l.version) AS versions, sum(l.incarnation) AS incarnations
        FROM topk.live l WHERE l.source_id = (SELECT source_id FROM topk.sink WHERE sink_id = id) GROUP BY 1)
    SELECT d.window_id, w.window_start, coalesce(ws.final, false), coalesce(ws.revision, 0), p.revision, e.expire_at,
           concat_ws('/', ws.changed_at, w.tag, d.redis_ttl, d.retention)
    FROM topk.sink k
    JOIN topk.source_window d USING (source_id)
    JOIN topk.closer c USING (source_id)
    CROSS JOIN LATERAL (
        SELECT u.window_start, max(u.tag) AS tag FROM (
            SELECT ws.window_start, NULL AS tag FROM topk.win_state ws
            WHERE ws.window_id = d.window_id AND (c.watermark IS NULL
                  OR ws.window_start > c.watermark - coalesce(d.redis_ttl, d.retention) - 2 * d.size)
            UNION ALL
            SELECT topk.window_start(d, l.pane), sum(l.n) || '/' || sum(l.versions) || '/' || sum(l.incarnations)
            FROM live l GROUP BY 1) u
        GROUP BY u.window_start) w
    CROSS JOIN LATERAL (SELECT topk.redis_expiry(coalesce(d.redis_ttl, d.retention), c.watermark, topk.window_end(d, w.window_start)) AS expire_at) e
    LEFT JOIN topk.win_state ws ON ws.window_id = d.window_id AND ws.window_start = w.window_start
    LEFT JOIN topk.publication p ON p.sink_id = k.sink_id AND p.window_id = d.window_id AND p.window_start = w.window_start
    WHERE k.sink_id = id AND e.expire_at > now() AND w.window_start >= d.complete_since
$$;

-- The lists of one window, of the values of dimensions or across them, as in topk.window_sketch; which reads the
-- panes of all windows, because only an expression tells it theirs.
CREATE FUNCTION topk.window_lists(d topk.source_window, start timestamptz, by_value boolean)
RETURNS TABLE (tenant text, item_type text, dimension text, value text, final boolean, revision integer, k integer, sketch @extschema@.topk)
LANGUAGE sql STABLE AS $$
    SELECT m.tenant, m.item_type, m.dimension, m.value, coalesce(ws.final, false), coalesce(ws.revision, 0), coalesce(t.k, u.k, s.k), m.sketch
    FROM (
        SELECT li.tenant, li.item_type, li.dimension, li.value, @extschema@.topk_merge(p.sketch) AS sketch
        FROM topk.list li
        JOIN (SELECT w.list_id, w.sketch FROM topk.win w WHERE w.window_id = d.window_id AND w.window_start = start
              UNION ALL
              SELECT l.list_id, l.sketch FROM topk.live_lists(d.source_id, start, topk.window_end(d, start), ARRAY(
                  SELECT b.base_id FROM topk.list b WHERE b.source_id = d.source_id AND (b.value IS NOT NULL) = by_value)) l
        ) p ON p.list_id = li.base_id
        WHERE li.source_id = d.source_id AND (li.value IS NOT NULL) = by_value AND start >= d.complete_since
        GROUP BY 1, 2, 3, 4) m
    JOIN topk.source s ON s.source_id = d.source_id
    LEFT JOIN topk.win_state ws ON ws.window_id = d.window_id AND ws.window_start = start
    LEFT JOIN topk.tenant t ON t.source_id = s.source_id AND t.tenant = m.tenant
    LEFT JOIN topk.tenant u ON u.source_id = s.source_id AND u.tenant IS NULL AND t.source_id IS NULL -- the unlisted
$$;

-- The keys of one window: a zset and the hash beside it for each group that the sink's template makes.
-- fields: name, value, name, value, ...
CREATE FUNCTION topk.mirror_window(id integer, win integer, start timestamptz,
    OUT zset_key text, OUT hash_key text, OUT members text[], OUT scores bigint[], OUT fields text[], OUT expire_at timestamptz)
RETURNS SETOF record LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
DECLARE
    k         topk.sink;
    d         topk.source_window;
    src       topk.source;
    by_tenant boolean;
    by_type   boolean;
    by_value  boolean;
BEGIN
    SELECT * INTO k FROM topk.sink WHERE sink_id = id;
    SELECT * INTO d FROM topk.source_window WHERE window_id = win;
    SELECT * INTO src FROM topk.source WHERE source_id = k.source_id;
    SELECT 'tenant' = ANY (v), 'item_type' = ANY (v), 'value' = ANY (v) INTO by_tenant, by_type, by_value
    FROM topk.template_variables(k.window_key) v;
    expire_at := topk.redis_expiry(coalesce(d.redis_ttl, d.retention), (SELECT watermark FROM topk.closer WHERE source_id = k.source_id),
                                   topk.window_end(d, start));

    RETURN QUERY
    SELECT topk.redis_key(k.window_key, VARIADIC v.variables), topk.redis_key(k.meta_key, VARIADIC v.variables), i.members, i.scores,
           ARRAY['windowStart', (extract(epoch FROM start) * 1000)::bigint::text,
                 'windowEnd', (extract(epoch FROM topk.window_end(d, start)) * 1000)::bigint::text,
                 'k', cardinality(i.members)::text, 'final', g.final::integer::text, 'revision', g.revision::text,
                 'total', @extschema@.topk_total(g.sketch)::text, 'maxError', @extschema@.topk_max_error(g.sketch)::text],
           expire_at
    FROM (
        SELECT w.dimension, CASE WHEN by_tenant THEN w.tenant END AS tenant, CASE WHEN by_type THEN w.item_type END AS item_type,
               CASE WHEN by_value THEN w.value END AS value, bool_and(w.final) AS final, max(w.revision) AS revision,
               max(w.k) AS k, @extschema@.topk_merge(w.sketch ORDER BY w.tenant, w.item_type) AS sketch
        FROM topk.window_lists(d, start, by_value) w
        GROUP BY 1, 2, 3, 4) g
    CROSS JOIN LATERAL (
        SELECT ARRAY['window', d.window_name, 'dimension', g.dimension, 'minutes', (extract(epoch FROM start) / 60)::bigint::text,
                     'tenant', g.tenant, 'item_type', g.item_type, 'value', g.value, 'source', src.name] AS variables) v
    CROSS JOIN LATERAL (
        SELECT coalesce(array_agg(i.item ORDER BY i.rank), '{}') AS members, coalesce(array_agg(i.estimate ORDER BY i.rank), '{}') AS scores
        FROM @extschema@.topk_items(g.sketch, coalesce(k.k, g.k)) i) i;
END
$$;

-- The keys of the global lists, in the same shape.  The hash is needed even without a template for it: the
-- publisher's fence is kept there.
CREATE FUNCTION topk.mirror_global(id integer,
    OUT zset_key text, OUT hash_key text, OUT members text[], OUT scores bigint[], OUT fields text[], OUT expire_at timestamptz)
RETURNS SETOF record LANGUAGE sql STABLE AS $$
    SELECT topk.redis_key(k.global_key, VARIADIC v.variables), topk.redis_key(coalesce(k.global_meta_key, k.global_key || ':meta'), VARIADIC v.variables), i.members, i.scores,
           ARRAY['k', cardinality(i.members)::text, 'total', @extschema@.topk_total(g.sketch)::text,
                 'maxError', @extschema@.topk_max_error(g.sketch)::text],
           'infinity'::timestamptz
    FROM topk.sink k
    JOIN topk.source s USING (source_id)
    CROSS JOIN LATERAL (
        SELECT g.item_type, u.tenant, max(g.k) AS k, @extschema@.topk_merge(g.sketch ORDER BY g.tenant) AS sketch
        FROM topk.global_sketch g
        CROSS JOIN LATERAL (SELECT CASE WHEN k.global_key LIKE '%\%tenant\%%' THEN g.tenant END AS tenant) u
        WHERE g.source_id = k.source_id GROUP BY 1, 2) g
    CROSS JOIN LATERAL (SELECT ARRAY['item_type', g.item_type, 'tenant', g.tenant, 'source', s.name] AS variables) v
    CROSS JOIN LATERAL (
        SELECT coalesce(array_agg(i.item ORDER BY i.rank), '{}') AS members, coalesce(array_agg(i.estimate ORDER BY i.rank), '{}') AS scores
        FROM @extschema@.topk_items(g.sketch, coalesce(k.k, g.k)) i) i
    WHERE k.sink_id = id AND k.global_key IS NOT NULL
$$;

-- The hash of each item in the top k of the newest longest window: one window only, so that it does not flap.
-- No zset: zset_key is NULL.
CREATE FUNCTION topk.mirror_items(id integer,
    OUT zset_key text, OUT hash_key text, OUT members text[], OUT scores bigint[], OUT fields text[], OUT expire_at timestamptz)
RETURNS SETOF record LANGUAGE sql STABLE AS $$
    SELECT NULL::text, topk.redis_key(k.item_key, 'item', i.item, 'dimension', g.dimension, 'source', s.name), '{}'::text[], '{}'::bigint[],
           ARRAY['totalCount', i.estimate::text, 'errorBound', (i.upper_bound - i.lower_bound)::text, 'window', d.window_name],
           d.expire_at
    FROM topk.sink k
    JOIN topk.source s USING (source_id)
    CROSS JOIN LATERAL (
        SELECT d, d.window_name, w.window_start, w.expire_at
        FROM topk.source_window d JOIN topk.sink_windows(k.sink_id) w USING (window_id)
        WHERE d.source_id = k.source_id
        ORDER BY d.size DESC, d.window_id, w.window_start DESC LIMIT 1) d
    CROSS JOIN LATERAL (
        SELECT w.dimension, @extschema@.topk_merge(w.sketch ORDER BY w.tenant, w.item_type) AS sketch
        FROM topk.window_lists(d.d, d.window_start, false) w
        GROUP BY 1) g
    CROSS JOIN LATERAL @extschema@.topk_items(g.sketch, coalesce(k.k, s.k)) i
    WHERE k.sink_id = id AND k.item_key IS NOT NULL
$$;

-- What every key of a sink should hold, a row for each member of a zset and each field of a hash.  The fields
-- that say when a key was written (lastUpdated, lastSeen) and the publisher's fence are not in it.
CREATE FUNCTION topk.mirror(sink text)
RETURNS TABLE (key text, type text, member text, score bigint, value text, expire_at timestamptz) LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
DECLARE
    id integer;
BEGIN
    SELECT s.sink_id INTO id FROM topk.sink s WHERE s.name = mirror.sink;
    IF id IS NULL THEN
        RAISE EXCEPTION 'there is no sink %', coalesce(quote_literal(mirror.sink), 'NULL')
            USING ERRCODE = 'undefined_object', HINT = 'SELECT name FROM topk.sink lists the sinks.';
    END IF;
    RETURN QUERY
    WITH m AS (
        SELECT w.* FROM topk.sink_windows(id) s, topk.mirror_window(id, s.window_id, s.window_start) w
        UNION ALL SELECT * FROM topk.mirror_global(id)
        UNION ALL SELECT * FROM topk.mirror_items(id))
    SELECT m.zset_key, 'zset', z.member, z.score, NULL, m.expire_at FROM m, unnest(m.members, m.scores) AS z(member, score)
    UNION ALL
    SELECT m.hash_key, 'hash', m.fields[n], NULL, m.fields[n + 1], m.expire_at
    FROM m, generate_series(1, cardinality(m.fields), 2) n;
END
$$;
COMMENT ON FUNCTION topk.mirror IS 'what each Redis key of a sink should hold';

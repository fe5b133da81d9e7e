-- ---------------------------------------------------------------------------------------------------------
-- Results and statistics.  Every view runs with the reader's rights.
-- ---------------------------------------------------------------------------------------------------------

-- Every list of every window, open or final, as a sketch: the stored row and the panes that it has not taken
-- in yet.  A filter on window_start, list columns or window_name reaches the tables.
CREATE VIEW topk.window_sketch WITH (security_invoker = true) AS
SELECT s.name AS source, m.tenant, m.item_type, m.dimension, m.value, d.window_name, m.window_start,
       topk.window_end(d, m.window_start) AS window_end, coalesce(ws.final, false) AS final, coalesce(ws.revision, 0) AS revision,
       m.sketch, coalesce(t.k, u.k, s.k) AS k, s.source_id, d.window_id
FROM topk.source s
JOIN topk.source_window d USING (source_id)
CROSS JOIN LATERAL (
    SELECT u.window_start, li.tenant, li.item_type, li.dimension, li.value, @extschema@.topk_merge(u.sketch) AS sketch
    FROM topk.list li
    JOIN (SELECT w.window_start, w.list_id, w.sketch FROM topk.win w WHERE w.window_id = d.window_id
          UNION ALL
          SELECT topk.window_start(d, l.pane), l.list_id, l.sketch FROM topk.live l WHERE l.source_id = d.source_id
    ) u ON u.list_id = li.base_id
    WHERE li.source_id = d.source_id AND u.window_start >= d.complete_since
    GROUP BY u.window_start, li.tenant, li.item_type, li.dimension, li.value
) m
LEFT JOIN topk.win_state ws ON ws.window_id = d.window_id AND ws.window_start = m.window_start
LEFT JOIN topk.tenant t ON t.source_id = s.source_id AND t.tenant = m.tenant
LEFT JOIN topk.tenant u ON u.source_id = s.source_id AND u.tenant IS NULL AND t.source_id IS NULL; -- the unlisted
COMMENT ON VIEW topk.window_sketch IS 'every list of every window, open or final, as a sketch';

CREATE VIEW topk.top_items WITH (security_invoker = true) AS
SELECT w.source, w.tenant, w.item_type, w.dimension, w.window_name, w.window_start, w.window_end, w.final,
       i.rank, i.item, i.estimate, i.lower_bound, i.upper_bound, i.guaranteed, @extschema@.topk_total(w.sketch) AS total
FROM topk.window_sketch w CROSS JOIN LATERAL @extschema@.topk_items(w.sketch, w.k) i
WHERE w.value IS NULL;
COMMENT ON VIEW topk.top_items IS 'the top items of each window, tenant, item type and dimension, across the values of the dimension';

CREATE VIEW topk.top_items_by_value WITH (security_invoker = true) AS
SELECT w.source, w.tenant, w.item_type, w.dimension, w.value, w.window_name, w.window_start, w.window_end, w.final,
       i.rank, i.item, i.estimate, i.lower_bound, i.upper_bound, i.guaranteed, @extschema@.topk_total(w.sketch) AS total
FROM topk.window_sketch w CROSS JOIN LATERAL @extschema@.topk_items(w.sketch, w.k) i
WHERE w.value IS NOT NULL;
COMMENT ON VIEW topk.top_items_by_value IS 'the top items of each window, tenant, item type, dimension and dimension value';

-- The rows of some lists in the panes of a stretch of time.  Most rows of topk.live are of values, and all of them are
-- written again and again; so those that are wanted are looked up, list by list, rather than found among all.
CREATE FUNCTION topk.live_lists(src integer, low timestamptz, high timestamptz, lists bigint[])
RETURNS TABLE (list_id bigint, sketch @extschema@.topk) LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
DECLARE
    many CONSTANT integer := 1000; -- from here on reading whole panes is cheaper
    p    timestamptz;
BEGIN
    lists := ARRAY(SELECT DISTINCT unnest(lists)); -- shared lists have one id
    IF cardinality(lists) >= many THEN
        RETURN QUERY SELECT l.list_id, l.sketch FROM topk.live l
            WHERE l.source_id = src AND l.pane >= low AND l.pane < high AND l.list_id + 0 = ANY (lists);
        RETURN;
    END IF;
    p := (SELECT min(l.pane) FROM topk.live l WHERE l.source_id = src AND l.pane >= low AND l.pane < high);
    WHILE p IS NOT NULL LOOP -- one look into the index for each list
        RETURN QUERY SELECT l.list_id, l.sketch FROM unnest(lists) i(id) CROSS JOIN LATERAL (
            SELECT l.list_id, l.sketch FROM topk.live l WHERE l.source_id = src AND l.pane = p AND l.list_id = i.id OFFSET 0) l;
        p := (SELECT min(l.pane) FROM topk.live l WHERE l.source_id = src AND l.pane > p AND l.pane < high);
    END LOOP;
END
$$;

-- For ever: what retention has dropped, the coarsest stored windows, and the panes not in them yet.
CREATE VIEW topk.global_sketch WITH (security_invoker = true) AS
SELECT s.name AS source, m.tenant, m.item_type, m.sketch, coalesce(t.k, u.k, s.k) AS k, s.source_id
FROM topk.source s
JOIN topk.source_window d ON d.window_id = topk.coarsest_window(s.source_id)
CROSS JOIN LATERAL (
    SELECT li.tenant, li.item_type, @extschema@.topk_merge(u.sketch) AS sketch
    FROM topk.list li
    JOIN (SELECT a.list_id, a.sketch FROM topk.archive a
          UNION ALL
          SELECT w.list_id, w.sketch FROM topk.win w WHERE w.window_id = d.window_id
          UNION ALL
          SELECT l.list_id, l.sketch FROM topk.live_lists(s.source_id, '-infinity', 'infinity', ARRAY(
              SELECT b.list_id FROM topk.list b WHERE b.source_id = s.source_id AND b.dimension = 'all')) l
    ) u ON u.list_id = li.list_id
    WHERE li.source_id = s.source_id AND li.dimension = 'all'
    GROUP BY li.tenant, li.item_type
) m
LEFT JOIN topk.tenant t ON t.source_id = s.source_id AND t.tenant = m.tenant
LEFT JOIN topk.tenant u ON u.source_id = s.source_id AND u.tenant IS NULL AND t.source_id IS NULL; -- the unlisted
COMMENT ON VIEW topk.global_sketch IS 'everything a source has counted, by tenant and item type, as a sketch';

CREATE VIEW topk.top_items_global WITH (security_invoker = true) AS
SELECT g.source, g.tenant, g.item_type, i.rank, i.item, i.estimate, i.lower_bound, i.upper_bound, i.guaranteed,
       @extschema@.topk_total(g.sketch) AS total
FROM topk.global_sketch g CROSS JOIN LATERAL @extschema@.topk_items(g.sketch, g.k) i;
COMMENT ON VIEW topk.top_items_global IS 'the top items since a source began, by tenant and item type';

CREATE VIEW topk.stat_worker WITH (security_invoker = true) AS
SELECT s.name AS source, w.worker, w.pid,
       CASE WHEN topk.process_runs(w.pid) THEN w.state ELSE 'stopped' END AS state,
       w.config_version, w.started_at, w.last_flush_at, w.last_flush_ms, w.panes, w.memory_bytes, w.last_error, w.last_error_at
FROM topk.worker w JOIN topk.source s USING (source_id);
COMMENT ON VIEW topk.stat_worker IS 'each worker, as of its last flush or error';

-- A partition holds the source back if it is not idle and none that is not idle is further behind; one whose worker
-- does not run is not idle, and one that was never read is the furthest behind.
CREATE VIEW topk.stat_watermark WITH (security_invoker = true) AS
SELECT p.source, p.partition, p.watermark, p.max_event_time, p.idle, p.at_end_since, p.next_offset, p.log_end, p.lag,
       CASE WHEN p.lag = 0 THEN 0 ELSE extract(epoch FROM clock_timestamp() - p.max_event_time)::double precision END AS lag_seconds,
       p.updated_at,
       NOT p.idle AND coalesce(p.watermark, '-infinity')
           = min(coalesce(p.watermark, '-infinity')) FILTER (WHERE NOT p.idle) OVER (PARTITION BY p.source_id) AS holds_back,
       CASE WHEN NOT p.enabled THEN 'not read: the source is paused'
            WHEN NOT p.runs THEN 'not read: its worker does not run'
            WHEN p.state <> 'running' THEN format('not read: its worker is %s', p.state)
            WHEN p.lag > 0 THEN format('behind: %s messages unread', p.lag)
            WHEN p.idle THEN 'idle'
            WHEN p.at_end_since IS NOT NULL THEN 'at its end: waiting for idle_timeout'
            WHEN p.watermark IS NULL THEN 'no events read yet'
            ELSE 'newest event time' END AS reason
FROM (SELECT s.name AS source, p.source_id, p.partition, p.watermark, p.max_event_time, p.idle AND w.runs AS idle, p.at_end_since,
             p.next_offset, p.log_end, greatest(p.log_end - p.next_offset, 0) AS lag, p.updated_at, s.enabled, w.runs, w.state
      FROM topk.partition p JOIN topk.source s USING (source_id)
      LEFT JOIN topk.worker o ON o.source_id = p.source_id AND o.worker = p.partition % s.workers
      CROSS JOIN LATERAL (SELECT coalesce(topk.process_runs(o.pid), false) AS runs, o.state) w) p;
COMMENT ON VIEW topk.stat_watermark IS 'event time and lag of each partition, and which one holds the source back and why';

-- What became of the messages of each partition: events is the sum of what follows it, less late.
CREATE VIEW topk.stat_partition WITH (security_invoker = true) AS
SELECT s.name AS source, p.partition, p.events, p.counted, p.late, p.too_late, p.dead_letters, p.no_rule, p.no_item, p.filtered, p.tombstones,
       p.over_quota, p.tenant_disabled, p.updated_at
FROM topk.partition p JOIN topk.source s USING (source_id);
COMMENT ON VIEW topk.stat_partition IS 'the messages of each partition by what became of them; late ones are among those counted';

CREATE VIEW topk.stat_source WITH (security_invoker = true) AS
SELECT s.name AS source,
       CASE WHEN NOT s.enabled THEN 'paused'
            WHEN NOT topk.at_home() THEN 'not adopted'
            WHEN NOT EXISTS (SELECT FROM topk.rule r WHERE r.source_id = s.source_id) THEN 'no rules'
            WHEN coalesce(w.running, 0) = 0 THEN 'not running'
            WHEN w.worst IS NOT NULL THEN w.worst
            ELSE 'running' END AS state,
       coalesce(w.running, 0) AS workers_running, s.workers, p.partitions,
       p.lag, p.events, p.counted, p.late, p.too_late, p.dead_letters, p.no_rule, p.no_item, p.filtered, p.tombstones,
       p.over_quota, p.tenant_disabled, coalesce(topk.source_watermark(s.source_id), c.watermark) AS watermark, w.last_flush_at, c.last_close_at, st.config_version,
       coalesce(st.pause_reason, e.message) AS last_error, e.at AS last_error_at
FROM topk.source s
JOIN topk.source_state st USING (source_id)
JOIN topk.closer c USING (source_id)
LEFT JOIN LATERAL (
    SELECT count(*) AS partitions, sum(greatest(p.log_end - p.next_offset, 0))::bigint AS lag, sum(p.events)::bigint AS events,
           sum(p.counted)::bigint AS counted, sum(p.late)::bigint AS late, sum(p.too_late)::bigint AS too_late,
           sum(p.dead_letters)::bigint AS dead_letters, sum(p.no_rule)::bigint AS no_rule, sum(p.no_item)::bigint AS no_item,
           sum(p.filtered)::bigint AS filtered, sum(p.tombstones)::bigint AS tombstones, sum(p.over_quota)::bigint AS over_quota,
           sum(p.tenant_disabled)::bigint AS tenant_disabled
    FROM topk.partition p WHERE p.source_id = s.source_id) p ON true
LEFT JOIN LATERAL (
    SELECT count(*) FILTER (WHERE w.state <> 'stopped') AS running, max(w.last_flush_at) AS last_flush_at,
           min(w.state) FILTER (WHERE w.state NOT IN ('running', 'stopped')) AS worst
    FROM topk.stat_worker w WHERE w.source = s.name AND w.worker < s.workers) w ON true
LEFT JOIN LATERAL (
    SELECT e.message, e.at FROM (
        SELECT w.last_error, w.last_error_at FROM topk.worker w WHERE w.source_id = s.source_id
        UNION ALL SELECT c.last_error, c.last_error_at) AS e(message, at)
    WHERE e.message IS NOT NULL ORDER BY e.at DESC LIMIT 1) e ON true;
COMMENT ON VIEW topk.stat_source IS 'each source: state, lag in messages, counts, watermark and last error, as of the last flush';

CREATE VIEW topk.stat_sink WITH (security_invoker = true) AS
SELECT k.name AS sink, s.name AS source,
       CASE WHEN NOT k.enabled THEN 'paused' WHEN NOT topk.at_home() THEN 'not adopted' WHEN topk.process_runs(p.pid) THEN p.state ELSE 'not running' END AS state,
       p.pid, p.mode, p.address, p.last_publish_at, p.keys_published, coalesce(p.windows_waiting, 0) AS windows_waiting,
       coalesce(clock_timestamp() - p.waiting_since, '0') AS delay, p.last_resync_at, coalesce(p.keys_mended, 0) AS keys_mended,
       p.last_error, p.last_error_at
FROM topk.sink k JOIN topk.source s USING (source_id)
LEFT JOIN topk.publisher p USING (sink_id);
COMMENT ON VIEW topk.stat_sink IS 'each sink: state, what was published, how far behind Redis is, and the last error';

-- What the demo shows, each answer one JSON document on one line.

-- Counts and state, the minute to look at, and the newest closed minute.  A minute is looked at from its
-- third second on, when its first events have been flushed and published.
PREPARE status AS
WITH closed AS (
    SELECT count(*) AS n, max(w.window_start) AS newest
    FROM topk.win_state w JOIN topk.source_window d USING (window_id)
    WHERE d.window_name = '1-minute' AND w.final)
SELECT jsonb_build_object(
    'now', extract(epoch FROM now()),
    'minute', extract(epoch FROM date_trunc('minute', now() - interval '3 seconds'))::bigint / 60,
    'watermark', extract(epoch FROM s.watermark),
    'closed', closed.n, 'closed_minute', extract(epoch FROM closed.newest),
    'state', s.state, 'last_error', s.last_error, 'sink_state', k.state, 'sink_error', k.last_error,
    'partitions', s.partitions, 'lag', s.lag, 'events', s.events, 'counted', s.counted,
    'late', s.late, 'too_late', s.too_late, 'dead_letters', s.dead_letters, 'no_rule', s.no_rule)
FROM closed, topk.stat_source s JOIN topk.stat_sink k USING (source) WHERE s.source = 'demo';

-- Events counted in a minute ($1: epoch seconds), by the totals of the lists of everything.
PREPARE minute_total(double precision) AS
SELECT coalesce(sum(t.total), 0) FROM topk.top_items t
WHERE t.source = 'demo' AND t.window_name = '1-minute' AND t.window_start = to_timestamp($1)
  AND t.dimension = 'all' AND t.rank = 1;

-- The top 10 of a minute ($1: epoch seconds) for each of some dimensions, across values.  The item types are
-- merged, because Redis' default keys do so: a list of topk.top_items is of one item type.
PREPARE top10(double precision, text[]) AS
WITH merged AS (
    SELECT w.dimension, topk_merge(w.sketch ORDER BY w.tenant, w.item_type) AS sketch
    FROM topk.window_sketch w
    WHERE w.source = 'demo' AND w.window_name = '1-minute' AND w.window_start = to_timestamp($1)
      AND w.dimension = ANY ($2) AND w.value IS NULL
    GROUP BY w.dimension),
tops AS (
    SELECT m.dimension,
           jsonb_agg(jsonb_build_array(i.item, i.estimate) ORDER BY i.estimate DESC, i.item COLLATE "C" DESC) AS top
    FROM merged m, topk_items(m.sketch, 10) i
    GROUP BY m.dimension)
SELECT coalesce(jsonb_object_agg(dimension, top), '{}') FROM tops;

-- The same minute by value: the values of each dimension, the heaviest first, and the top 3 items of each.
PREPARE by_value(double precision, text[]) AS
WITH ranked AS (
    SELECT t.dimension, t.value, t.item, t.estimate, t.rank, t.total,
           row_number() OVER (PARTITION BY t.dimension, t.value ORDER BY t.estimate DESC, t.item) AS n
    FROM topk.top_items_by_value t
    WHERE t.source = 'demo' AND t.window_name = '1-minute' AND t.window_start = to_timestamp($1)
      AND t.dimension = ANY ($2) AND t.rank <= 3),
tops AS (
    SELECT r.dimension, r.value, sum(r.total) FILTER (WHERE r.rank = 1) AS total,
           jsonb_agg(jsonb_build_array(r.item, r.estimate) ORDER BY r.n) FILTER (WHERE r.n <= 3) AS top
    FROM ranked r
    GROUP BY r.dimension, r.value),
dimensions AS (
    SELECT dimension, jsonb_agg(jsonb_build_array(value, top) ORDER BY total DESC, value) AS top_values
    FROM tops
    GROUP BY dimension)
SELECT coalesce(jsonb_object_agg(dimension, top_values), '{}') FROM dimensions;

-- What the demo shows, each answer one JSON document on one line.

-- Counts and state, the minute to look at, and the newest closed minute.  A minute is looked at from its
-- third second on, when its first events have been flushed and published.
PREPARE status AS
SELECT jsonb_build_object(
    'now', extract(epoch FROM now()), 'minute', extract(epoch FROM date_trunc('minute', now() - interval '3 seconds'))::bigint / 60,
    'state', s.state, 'last_error', s.last_error, 'partitions', s.partitions, 'lag', s.lag, 'events', s.events,
    'counted', s.counted, 'late', s.late, 'too_late', s.too_late, 'dead_letters', s.dead_letters, 'no_rule', s.no_rule,
    'no_item', s.no_item, 'watermark', extract(epoch FROM s.watermark), 'sink_state', k.state, 'sink_error', k.last_error,
    'closed', (SELECT count(*) FROM topk.win_state w JOIN topk.source_window d USING (window_id) WHERE d.window_name = '1-minute' AND w.final),
    'closed_minute', (SELECT extract(epoch FROM max(w.window_start))
                      FROM topk.win_state w JOIN topk.source_window d USING (window_id) WHERE d.window_name = '1-minute' AND w.final))
FROM topk.stat_source s LEFT JOIN topk.stat_sink k USING (source) WHERE s.source = 'demo';

-- Events counted in a minute ($1: epoch seconds), by the totals of the lists of everything.
PREPARE minute_total(double precision) AS
SELECT coalesce(sum(t.total), 0) FROM topk.top_items t
WHERE t.source = 'demo' AND t.window_name = '1-minute' AND t.window_start = to_timestamp($1) AND t.dimension = 'all' AND t.rank = 1;

-- The top 10 of a minute ($1: epoch seconds) for each of some dimensions, across values and item types.
PREPARE top10(double precision, text[]) AS
SELECT coalesce(jsonb_object_agg(d.dimension, d.top), '{}') FROM (
    SELECT r.dimension, jsonb_agg(jsonb_build_array(r.item, r.estimate) ORDER BY r.n) AS top FROM (
        SELECT t.dimension, t.item, t.estimate,
               row_number() OVER (PARTITION BY t.dimension ORDER BY t.estimate DESC, t.item COLLATE "C" DESC) AS n
        FROM topk.top_items t
        WHERE t.source = 'demo' AND t.window_name = '1-minute' AND t.window_start = to_timestamp($1)
          AND t.dimension = ANY ($2) AND t.rank <= 10) r
    WHERE r.n <= 10 GROUP BY r.dimension) d;

-- The same minute by value: the heaviest values of each dimension, and the top 3 of each value.
PREPARE by_value(double precision, text[]) AS
SELECT coalesce(jsonb_object_agg(d.dimension, d.vals), '{}') FROM (
    SELECT v.dimension, jsonb_agg(jsonb_build_array(v.value, v.top) ORDER BY v.total DESC) AS vals FROM (
        SELECT r.dimension, r.value, sum(r.total) FILTER (WHERE r.rank = 1) AS total,
               jsonb_agg(jsonb_build_array(r.item, r.estimate) ORDER BY r.n) FILTER (WHERE r.n <= 3) AS top FROM (
            SELECT t.dimension, t.value, t.item, t.estimate, t.rank, t.total,
                   row_number() OVER (PARTITION BY t.dimension, t.value ORDER BY t.estimate DESC, t.item COLLATE "C" DESC) AS n
            FROM topk.top_items_by_value t
            WHERE t.source = 'demo' AND t.window_name = '1-minute' AND t.window_start = to_timestamp($1)
              AND t.dimension = ANY ($2) AND t.rank <= 3) r
        GROUP BY r.dimension, r.value) v
    GROUP BY v.dimension) d;

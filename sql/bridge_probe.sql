-- ---------------------------------------------------------------------------------------------------------
-- Probes: what an event would yield, what the topic holds, whether the source can be reached.
--
-- Each starts a short-lived background worker, since no ordinary backend loads the libraries that this takes.
-- It sees the committed configuration only, reads with the rights of the source's owner, and changes nothing;
-- so a source may be probed while it runs, is paused, or has no rules yet.  Messages may hold what not
-- everybody should see: only superusers may call these functions until somebody grants them, with SELECT on
-- topk.source, topk.partition and EXECUTE on topk.probe.
-- ---------------------------------------------------------------------------------------------------------

-- kind: check, preview, test.  Rows are JSON objects (bridge/probe_kafka.c, bridge/probe_json.c).
CREATE FUNCTION topk.probe(kind text, source_id integer, payload bytea DEFAULT NULL, n integer DEFAULT 1, start_at text DEFAULT 'latest',
    timeout_ms integer DEFAULT 10000) RETURNS SETOF jsonb
    AS '$libdir/topk_bridge', 'topk_probe' LANGUAGE C VOLATILE ROWS 10;

-- us since 1970
CREATE FUNCTION topk.at_us(us jsonb) RETURNS timestamptz LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS
    $$ SELECT timestamptz 'epoch' + (us #>> '{}')::bigint * interval '1 microsecond' $$;

CREATE FUNCTION topk.test_rule(source text, event bytea)
RETURNS TABLE (outcome text, reason text, lateness text, rule text, item_type text, item text, weight bigint, tenant text,
               event_time timestamptz, pane timestamptz, dimensions jsonb)
LANGUAGE sql VOLATILE AS $$
    SELECT p ->> 'outcome', p ->> 'reason', p ->> 'lateness', i ->> 'rule', i ->> 'item_type', i ->> 'item', (i ->> 'weight')::bigint,
           p ->> 'tenant', topk.at_us(p -> 'time'), topk.at_us(p -> 'pane'), i -> 'dimensions'
    FROM topk.probe('test', topk.source_id(source), event) p
    LEFT JOIN LATERAL jsonb_array_elements(p -> 'items') i ON true
$$;
COMMENT ON FUNCTION topk.test_rule(text, bytea) IS
    'what a message would yield, by the code of the workers: a row for each count, or one that says why there is none';
CREATE FUNCTION topk.test_rule(source text, event text)
RETURNS TABLE (outcome text, reason text, lateness text, rule text, item_type text, item text, weight bigint, tenant text,
               event_time timestamptz, pane timestamptz, dimensions jsonb)
LANGUAGE sql VOLATILE AS $$ SELECT * FROM topk.test_rule(source, convert_to(event, 'UTF8')) $$;
COMMENT ON FUNCTION topk.test_rule(text, text) IS 'the same for a message that is text, JSON or not';
CREATE FUNCTION topk.test_rule(source text, event jsonb)
RETURNS TABLE (outcome text, reason text, lateness text, rule text, item_type text, item text, weight bigint, tenant text,
               event_time timestamptz, pane timestamptz, dimensions jsonb)
LANGUAGE sql VOLATILE AS $$ SELECT * FROM topk.test_rule(source, convert_to(event::text, 'UTF8')) $$;
COMMENT ON FUNCTION topk.test_rule(text, jsonb) IS 'the same for an event of type jsonb';

CREATE FUNCTION topk.check_source(source text)
RETURNS TABLE (reachable boolean, reason text, brokers text, partition integer, low_offset bigint, high_offset bigint,
               next_offset bigint, lag bigint)
LANGUAGE sql VOLATILE AS $$
    SELECT p ? 'high',
           coalesce(p ->> 'reason', CASE WHEN t.next_offset NOT BETWEEN (p ->> 'low')::bigint AND (p ->> 'high')::bigint
               THEN 'the stored offset is not in the log' END),
           p ->> 'brokers', (p ->> 'partition')::integer, (p ->> 'low')::bigint, (p ->> 'high')::bigint,
           t.next_offset, greatest((p ->> 'high')::bigint - t.next_offset, 0)
    FROM (SELECT topk.source_id(check_source.source) AS source_id) s
    CROSS JOIN LATERAL topk.probe('check', s.source_id) p
    LEFT JOIN topk.partition t ON t.source_id = s.source_id AND t.partition = (p ->> 'partition')::integer
    ORDER BY 4
$$;
COMMENT ON FUNCTION topk.check_source IS 'connects to the brokers of a source: each partition''s offsets and lag, or why they cannot be had';

CREATE FUNCTION topk.preview(source text, n integer DEFAULT 10, start_at text DEFAULT 'latest')
RETURNS TABLE (partition integer, kafka_offset bigint, kafka_time timestamptz, key text, payload text, raw_payload bytea,
               outcome text, reason text, lateness text, event_time timestamptz, tenant text, items jsonb)
LANGUAGE plpgsql VOLATILE AS $$
#variable_conflict use_variable
BEGIN
    PERFORM topk.check_range('n', n, 1, 100);
    RETURN QUERY
    SELECT (p ->> 'partition')::integer, (p ->> 'offset')::bigint, topk.at_us(p -> 'kafka_time'),
           coalesce(p ->> 'key', '\x' || (p ->> 'key_hex')), p ->> 'payload',
           CASE WHEN p ? 'payload' THEN convert_to(p ->> 'payload', 'UTF8') ELSE decode(p ->> 'payload_hex', 'hex') END,
           p ->> 'outcome', p ->> 'reason', p ->> 'lateness', topk.at_us(p -> 'time'), p ->> 'tenant', p -> 'items'
    FROM topk.probe('preview', topk.source_id(source), n => n, start_at => start_at) p;
END
$$;
COMMENT ON FUNCTION topk.preview IS
    'n messages of a topic, without consuming them, and what each would yield; start_at: earliest, next (to be read) or latest';


-- ---------------------------------------------------------------------------------------------------------
-- Changes of what is configured.  An argument that is NULL leaves its setting as it is; a setting that may be
-- NULL is set to that by its name in `reset`.  Each call is one UPDATE of one row, so the triggers of
-- bridge_config.sql make it one configuration version; a call that changes nothing makes none.
--
-- What is no argument may not change: the topic, the server and the item type are what counts stand for, and
-- the pane size is that of the panes in topk.live.  Drop and create for another one.
-- ---------------------------------------------------------------------------------------------------------

-- `given`: the names and new values of the settings in this call, which cannot be reset in it as well.
CREATE FUNCTION topk.check_reset(reset text[], resettable text[], given jsonb) RETURNS void LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY coalesce(reset, '{}') LOOP
        IF name IS NULL OR name <> ALL (resettable) THEN
            RAISE EXCEPTION '% cannot be reset', coalesce(quote_literal(name), 'NULL') USING ERRCODE = 'invalid_parameter_value',
                HINT = format('What can be is %s.', array_to_string(resettable, ', '));
        END IF;
        IF given ->> name IS NOT NULL THEN
            RAISE EXCEPTION '% cannot be set and reset at once', name USING ERRCODE = 'invalid_parameter_value';
        END IF;
    END LOOP;
END
$$;

-- The settings that change, for jsonb_populate_record: those that are given, and NULL for those that are reset.
CREATE FUNCTION topk.changes(given jsonb, reset text[]) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
    SELECT jsonb_strip_nulls(given) || coalesce((SELECT jsonb_object_agg(r.name, NULL) FROM unnest(reset) r(name)), '{}')
$$;

CREATE FUNCTION topk.alter_source(
    name             text,
    workers          integer DEFAULT NULL,
    event_type_path  text DEFAULT NULL,
    time_path        text DEFAULT NULL,
    tenant_path      text DEFAULT NULL,
    out_of_orderness interval DEFAULT NULL,
    allowed_lateness interval DEFAULT NULL,
    idle_timeout     interval DEFAULT NULL,
    max_future       interval DEFAULT NULL,
    flush_interval   interval DEFAULT NULL,
    k                integer DEFAULT NULL,
    capacity         integer DEFAULT NULL,
    late_policy      text DEFAULT NULL,
    letter_retention interval DEFAULT NULL,
    letter_max_bytes bigint DEFAULT NULL,
    max_values       integer DEFAULT NULL,
    max_tenants      integer DEFAULT NULL,
    flush_timeout    interval DEFAULT NULL,
    max_flush_failures integer DEFAULT NULL,
    retry_interval   interval DEFAULT NULL,
    max_dead_letter_share double precision DEFAULT NULL,
    reset            text[] DEFAULT '{}'
) RETURNS void LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    src   integer := topk.source_id(name);
    given jsonb := jsonb_build_object('workers', workers, 'event_type_path', event_type_path, 'time_path', time_path,
        'tenant_path', tenant_path, 'out_of_orderness', out_of_orderness, 'allowed_lateness', allowed_lateness,
        'idle_timeout', idle_timeout, 'max_future', max_future, 'flush_interval', flush_interval, 'k', k, 'capacity', capacity,
        'late_policy', late_policy, 'letter_retention', letter_retention, 'letter_max_bytes', letter_max_bytes,
        'max_values', max_values, 'max_tenants', max_tenants, 'flush_timeout', flush_timeout, 'max_flush_failures', max_flush_failures,
        'retry_interval', retry_interval, 'max_dead_letter_share', max_dead_letter_share);
    old   topk.source;
    new   topk.source;
BEGIN
    PERFORM topk.check_reset(reset, '{time_path,tenant_path}', given);
    SELECT * INTO old FROM topk.source s WHERE s.source_id = src FOR UPDATE;
    new := jsonb_populate_record(old, topk.changes(given, reset));
    PERFORM topk.check_source_row(new);
    IF new IS NOT DISTINCT FROM old THEN
        RETURN;
    END IF;
    UPDATE topk.source s SET (workers, event_type_path, time_path, tenant_path, out_of_orderness, allowed_lateness, idle_timeout,
            max_future, flush_interval, k, capacity, late_policy, letter_retention, letter_max_bytes, max_values, max_tenants,
            flush_timeout, max_flush_failures, retry_interval, max_dead_letter_share)
        = (new.workers, new.event_type_path, new.time_path, new.tenant_path, new.out_of_orderness, new.allowed_lateness,
            new.idle_timeout, new.max_future, new.flush_interval, new.k, new.capacity, new.late_policy, new.letter_retention,
            new.letter_max_bytes, new.max_values, new.max_tenants, new.flush_timeout, new.max_flush_failures, new.retry_interval,
            new.max_dead_letter_share)
    WHERE s.source_id = src;
    IF new.k <> old.k THEN -- sinks that take the source's k publish everything anew
        UPDATE topk.sink i SET incarnation = i.incarnation + 1 WHERE i.source_id = src AND i.k IS NULL;
    END IF;
END
$$;
COMMENT ON FUNCTION topk.alter_source IS 'changes settings of a source, from the next flush on; NULL leaves one as it is';

-- Any change of its row makes the publisher write everything anew.  Keys under earlier templates stay until
-- they expire, global ones until somebody deletes them, as with drop_sink.
CREATE FUNCTION topk.alter_sink(
    name            text,
    k               integer DEFAULT NULL,
    window_key      text DEFAULT NULL,
    meta_key        text DEFAULT NULL,
    item_key        text DEFAULT NULL,
    global_key      text DEFAULT NULL,
    global_meta_key text DEFAULT NULL,
    sweep_interval  interval DEFAULT NULL,
    reset           text[] DEFAULT '{}'
) RETURNS void LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    given jsonb := jsonb_build_object('k', k, 'window_key', window_key, 'meta_key', meta_key, 'item_key', item_key,
        'global_key', global_key, 'global_meta_key', global_meta_key, 'sweep_interval', sweep_interval);
    old   topk.sink;
    new   topk.sink;
BEGIN
    PERFORM topk.check_reset(reset, '{k,item_key,global_key,global_meta_key,sweep_interval}', given);
    SELECT * INTO old FROM topk.sink i WHERE i.name = name FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no sink %', coalesce(quote_literal(name), 'NULL')
            USING ERRCODE = 'undefined_object', HINT = 'SELECT name FROM topk.sink lists the sinks.';
    END IF;
    new := jsonb_populate_record(old, topk.changes(given, reset));
    PERFORM topk.check_sink_row(new);
    IF new IS NOT DISTINCT FROM old THEN
        RETURN;
    END IF;
    UPDATE topk.sink i SET (k, window_key, meta_key, item_key, global_key, global_meta_key, sweep_interval)
        = (new.k, new.window_key, new.meta_key, new.item_key, new.global_key, new.global_meta_key, new.sweep_interval)
    WHERE i.sink_id = old.sink_id;
    PERFORM topk.wake();
END
$$;
COMMENT ON FUNCTION topk.alter_sink IS 'changes settings of a sink; NULL leaves one as it is';

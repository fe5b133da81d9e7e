-- ---------------------------------------------------------------------------------------------------------
-- Configuration by SQL.  Set a source up in one transaction: it does not run before its rules are committed.
-- ---------------------------------------------------------------------------------------------------------

-- A change that workers must see: they find their epoch gone at the next flush, and start again from the
-- stored offsets with the new configuration, so that its first offset is exact.
CREATE FUNCTION topk.config_changed() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    changed integer := CASE WHEN TG_OP = 'DELETE' THEN OLD.source_id ELSE NEW.source_id END;
BEGIN
    UPDATE topk.source_state SET config_version = config_version + 1 WHERE source_id = changed;
    UPDATE topk.partition SET epoch = epoch + 1 WHERE source_id = changed;
    PERFORM topk.wake();
    RETURN NULL;
END
$$;
CREATE TRIGGER config_changed AFTER UPDATE ON topk.source FOR EACH ROW EXECUTE FUNCTION topk.config_changed();
CREATE FUNCTION topk.check_name(what text, name text) RETURNS void LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    IF name IS NULL OR name !~ '^[A-Za-z0-9_.-]{1,63}$' THEN
        RAISE EXCEPTION 'invalid % name: %', what, coalesce(quote_literal(name), 'NULL')
            USING ERRCODE = 'invalid_name', HINT = 'Use 1 to 63 letters, digits, ''_'', ''.'' or ''-''.';
    END IF;
    IF name IN ('all', '(other)') THEN
        RAISE EXCEPTION '% name "%" is reserved', what, name USING ERRCODE = 'reserved_name';
    END IF;
END
$$;

CREATE FUNCTION topk.check_path(what text, path text) RETURNS void LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    IF topk.path_error(path) IS NOT NULL THEN
        RAISE EXCEPTION '% is not a path: %', what, quote_literal(path)
            USING ERRCODE = 'invalid_parameter_value', DETAIL = topk.path_error(path),
                  HINT = 'A path is keys joined by dots, as payload.url; a key that holds a dot is written in double quotes.';
    END IF;
END
$$;

CREATE FUNCTION topk.check_interval(what text, value interval, lowest interval, highest interval) RETURNS void
LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    IF value IS NULL OR value < lowest OR value > highest OR extract(year FROM value) <> 0 OR extract(month FROM value) <> 0 THEN
        RAISE EXCEPTION '% must be an interval from % to %, without months or years', what, lowest, highest
            USING ERRCODE = 'invalid_parameter_value', DETAIL = format('It is %s.', coalesce(value::text, 'NULL'));
    END IF;
END
$$;

CREATE FUNCTION topk.check_range(what text, value bigint, lowest bigint, highest bigint) RETURNS void
LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    IF value IS NULL OR value < lowest OR value > highest THEN
        RAISE EXCEPTION '% must be from % to %', what, lowest, highest
            USING ERRCODE = 'invalid_parameter_value', DETAIL = format('It is %s.', coalesce(value::text, 'NULL'));
    END IF;
END
$$;

CREATE FUNCTION topk.check_server(server text, wrapper name) RETURNS void LANGUAGE plpgsql STABLE AS $$
BEGIN
    PERFORM FROM pg_catalog.pg_foreign_server s JOIN pg_catalog.pg_foreign_data_wrapper w ON w.oid = s.srvfdw
    WHERE s.srvname = server AND w.fdwname = wrapper;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no server "%" of the foreign data wrapper %', server, wrapper
            USING ERRCODE = 'undefined_object',
                  HINT = format('CREATE SERVER %I FOREIGN DATA WRAPPER %I OPTIONS (%s);', server, wrapper,
                      CASE wrapper WHEN 'topk_kafka' THEN 'bootstrap_servers ''host:9092''' ELSE 'host ''host'', port ''6379''' END);
    END IF;
    IF NOT has_server_privilege(topk.caller(), server, 'USAGE') THEN
        RAISE EXCEPTION 'permission denied for foreign server %', server USING ERRCODE = 'insufficient_privilege';
    END IF;
END
$$;

CREATE FUNCTION topk.source_id(name text) RETURNS integer LANGUAGE plpgsql STABLE AS $$
DECLARE
    result integer;
BEGIN
    SELECT s.source_id INTO result FROM topk.source s WHERE s.name = source_id.name;
    IF result IS NULL THEN
        RAISE EXCEPTION 'there is no source %', coalesce(quote_literal(name), 'NULL')
            USING ERRCODE = 'undefined_object', HINT = 'SELECT name FROM topk.source lists the sources.';
    END IF;
    RETURN result;
END
$$;

-- Is this the database that the sources were made in, or adopted by?
CREATE FUNCTION topk.at_home() RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT NOT EXISTS (SELECT FROM topk.home h
        WHERE (h.system_id, h.database) <> (topk.system_id(), (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = current_database())))
$$;

CREATE FUNCTION topk.adopt() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO topk.home (database) SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = current_database()
    ON CONFLICT (only_row) DO UPDATE SET system_id = excluded.system_id, database = excluded.database;
    UPDATE topk.partition SET epoch = epoch + 1;
    UPDATE topk.sink SET incarnation = greatest(incarnation + 1, extract(epoch FROM now())::bigint);
    PERFORM topk.wake();
END
$$;
COMMENT ON FUNCTION topk.adopt IS 'lets the sources and sinks of this copy of a database run, which the original''s must not any more';

-- What create_source and alter_source ask of a row.
CREATE FUNCTION topk.check_source_row(s topk.source) RETURNS void LANGUAGE plpgsql STABLE AS $$
DECLARE
    sink record;
BEGIN
    PERFORM topk.check_path('event_type_path', s.event_type_path);
    PERFORM topk.check_path('time_path', s.time_path);
    PERFORM topk.check_path('tenant_path', s.tenant_path);
    PERFORM topk.check_range('workers', s.workers, 1, 64);
    PERFORM topk.check_range('k', s.k, 1, 10000);
    PERFORM topk.check_range('capacity', s.capacity, s.k, 65536);
    PERFORM topk.check_range('max_values', s.max_values, 1, 1000000);
    PERFORM topk.check_range('max_tenants', s.max_tenants, 1, 100000);
    PERFORM topk.check_interval('out_of_orderness', s.out_of_orderness, '0 seconds', '1 day');
    PERFORM topk.check_interval('allowed_lateness', s.allowed_lateness, '0 seconds', '1 day');
    PERFORM topk.check_lateness(d, s.allowed_lateness) FROM topk.source_window d WHERE d.source_id = s.source_id;
    PERFORM topk.check_interval('idle_timeout', s.idle_timeout, '1 second', '1 day');
    PERFORM topk.check_interval('max_future', s.max_future, '0 seconds', '365 days');
    PERFORM topk.check_interval('flush_interval', s.flush_interval, '10 milliseconds', '1 minute');
    IF s.late_policy IS NULL OR s.late_policy NOT IN ('drop', 'keep') THEN
        RAISE EXCEPTION 'late_policy must be drop or keep' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM topk.check_interval('letter_retention', s.letter_retention, '0 seconds', '36600 days');
    PERFORM topk.check_range('letter_max_bytes', s.letter_max_bytes, 0, 1::bigint << 50);
    PERFORM topk.check_interval('flush_timeout', s.flush_timeout, '100 milliseconds', '1 hour');
    PERFORM topk.check_range('max_flush_failures', s.max_flush_failures, 1, 1000000);
    PERFORM topk.check_interval('retry_interval', s.retry_interval, '1 second', '1 hour');
    IF s.max_dead_letter_share IS NULL OR NOT s.max_dead_letter_share BETWEEN 0 AND 1 THEN
        RAISE EXCEPTION 'max_dead_letter_share must be from 0 to 1' USING ERRCODE = 'invalid_parameter_value',
            DETAIL = format('It is %s.', coalesce(s.max_dead_letter_share::text, 'NULL'));
    END IF;
    SELECT i.name, i.k INTO sink FROM topk.sink i WHERE i.source_id = s.source_id AND i.k > s.k LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'k cannot be less than that of a sink' USING ERRCODE = 'invalid_parameter_value',
            DETAIL = format('Sink "%s" has %s.', sink.name, sink.k), HINT = 'Lower it first, with topk.alter_sink.';
    END IF;
END
$$;

CREATE FUNCTION topk.create_source(
    name             text,
    server           text,
    topic            text,
    workers          integer DEFAULT 1,
    start_at         text DEFAULT 'earliest',
    event_type_path  text DEFAULT 'metadata.eventType',
    time_path        text DEFAULT 'metadata.timestamp',
    tenant_path      text DEFAULT NULL,
    pane_size        interval DEFAULT '1 minute',
    out_of_orderness interval DEFAULT '1 minute',
    allowed_lateness interval DEFAULT '1 hour',
    idle_timeout     interval DEFAULT '30 seconds',
    max_future       interval DEFAULT '10 minutes',
    flush_interval   interval DEFAULT '1 second',
    k                integer DEFAULT 100,
    capacity         integer DEFAULT NULL,
    time_zone        text DEFAULT NULL,
    late_policy      text DEFAULT 'drop',
    letter_retention interval DEFAULT '7 days',
    letter_max_bytes bigint DEFAULT 1073741824,
    max_values       integer DEFAULT 10000,
    max_tenants      integer DEFAULT 10000,
    flush_timeout    interval DEFAULT '2 minutes',
    max_flush_failures integer DEFAULT 10,
    retry_interval   interval DEFAULT '1 minute',
    max_dead_letter_share double precision DEFAULT 0.5
) RETURNS integer LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    s  topk.source;
    id integer;
BEGIN
    IF getdatabaseencoding() <> 'UTF8' THEN
        RAISE EXCEPTION 'the database must have the encoding UTF8 to read from Kafka' USING ERRCODE = 'feature_not_supported',
            DETAIL = format('It has %s.', getdatabaseencoding());
    END IF;
    PERFORM topk.check_name('source', name);
    PERFORM topk.check_server(server, 'topk_kafka');
    IF topic IS NULL OR topic !~ '^[A-Za-z0-9._-]{1,249}$' OR topic IN ('.', '..') THEN
        RAISE EXCEPTION 'invalid topic name: %', coalesce(quote_literal(topic), 'NULL') USING ERRCODE = 'invalid_name';
    END IF;
    IF start_at IS NULL OR start_at NOT IN ('earliest', 'latest') THEN
        RAISE EXCEPTION 'start_at must be earliest or latest' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF event_type_path IS NULL THEN
        RAISE EXCEPTION 'event_type_path must not be NULL' USING ERRCODE = 'null_value_not_allowed';
    END IF;
    capacity := coalesce(capacity, 3 * k);
    PERFORM topk.check_interval('pane_size', pane_size, '1 second', '1 hour');
    -- windows consist of whole panes
    IF extract(epoch FROM interval '1 hour') % extract(epoch FROM pane_size) <> 0
        OR (pane_size < '1 minute' OR extract(second FROM pane_size) <> 0) AND extract(epoch FROM interval '1 minute') % extract(epoch FROM pane_size) <> 0 THEN
        RAISE EXCEPTION 'pane_size must divide a minute, or be whole minutes that divide an hour' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    s.workers := workers;
    s.event_type_path := event_type_path;
    s.time_path := time_path;
    s.tenant_path := tenant_path;
    s.out_of_orderness := out_of_orderness;
    s.allowed_lateness := allowed_lateness;
    s.idle_timeout := idle_timeout;
    s.max_future := max_future;
    s.flush_interval := flush_interval;
    s.k := k;
    s.capacity := capacity;
    s.late_policy := late_policy;
    s.letter_retention := letter_retention;
    s.letter_max_bytes := letter_max_bytes;
    s.max_values := max_values;
    s.max_tenants := max_tenants;
    s.flush_timeout := flush_timeout;
    s.max_flush_failures := max_flush_failures;
    s.retry_interval := retry_interval;
    s.max_dead_letter_share := max_dead_letter_share;
    PERFORM topk.check_source_row(s);

    IF NOT topk.at_home() THEN
        RAISE EXCEPTION 'this database is a copy, whose sources do not run' USING ERRCODE = 'object_not_in_prerequisite_state',
            HINT = 'SELECT topk.adopt() makes it their home.';
    END IF;
    INSERT INTO topk.home (database) SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = current_database()
    ON CONFLICT DO NOTHING;
    BEGIN
        INSERT INTO topk.source (name, server, topic, workers, start_at, event_type_path, time_path, tenant_path, pane_size,
            out_of_orderness, allowed_lateness, idle_timeout, max_future, flush_interval, k, capacity,
            late_policy, letter_retention, letter_max_bytes, max_values, max_tenants,
            flush_timeout, max_flush_failures, retry_interval, max_dead_letter_share)
        VALUES (name, server, topic, workers, start_at, event_type_path, time_path, tenant_path, pane_size,
            out_of_orderness, allowed_lateness, idle_timeout, max_future, flush_interval, k, capacity,
            late_policy, letter_retention, letter_max_bytes, max_values, max_tenants,
            flush_timeout, max_flush_failures, retry_interval, max_dead_letter_share)
        RETURNING source_id INTO id;
    EXCEPTION WHEN unique_violation THEN
        RAISE EXCEPTION 'source "%" already exists', name USING ERRCODE = 'duplicate_object';
    END;
    INSERT INTO topk.source_state (source_id) VALUES (id);
    INSERT INTO topk.closer (source_id) VALUES (id);
    PERFORM topk.add_window(id, '1-minute', '1 minute', '26 hours', '1 hour') WHERE pane_size <= '1 minute';
    PERFORM topk.add_window(id, '1-hour', '1 hour', '35 days', '1 day');
    PERFORM topk.add_window(id, '1-day', '1 day', '400 days', '7 days', time_zone => topk.check_time_zone(time_zone, pane_size));
    IF NOT topk.wake() THEN
        RAISE WARNING 'the topk launcher is not running, so source "%" will not be read', name
            USING HINT = 'Add topk_bridge to shared_preload_libraries and restart the server.';
    END IF;
    RETURN id;
END
$$;
COMMENT ON FUNCTION topk.create_source IS 'reads a Kafka topic from now on (once it has a rule); returns its source_id';

-- What create_sink and alter_sink ask of a row.
CREATE FUNCTION topk.check_sink_row(i topk.sink) RETURNS void LANGUAGE plpgsql STABLE AS $$
DECLARE
    in_window text[] := topk.template_variables(i.window_key);
    in_global text[] := topk.template_variables(i.global_key);
BEGIN
    IF i.k IS NOT NULL THEN
        PERFORM topk.check_range('k', i.k, 1, s.k) FROM topk.source s WHERE s.source_id = i.source_id;
    END IF;
    PERFORM topk.check_template('window_key', i.window_key, '{window,dimension,minutes,tenant,item_type,value,source}', '{window,dimension,minutes}');
    PERFORM topk.check_template('meta_key', i.meta_key, in_window, in_window);
    PERFORM topk.check_template('item_key', i.item_key, '{item,dimension,source}', '{item,dimension}');
    PERFORM topk.check_template('global_key', i.global_key, '{item_type,tenant,source}', '{item_type}');
    PERFORM topk.check_template('global_meta_key', i.global_meta_key, in_global, in_global);
    IF i.sweep_interval IS NOT NULL THEN
        PERFORM topk.check_interval('sweep_interval', i.sweep_interval, '1 second', '1 day');
    END IF;
    IF topk.is_cluster(i.server) THEN
        PERFORM topk.check_hash_tag('window_key', i.window_key, 'meta_key', i.meta_key);
        PERFORM topk.check_hash_tag('global_key', i.global_key, 'global_meta_key', i.global_meta_key);
    END IF;
    PERFORM topk.check_sink_overlap(i.server, ARRAY[i.window_key, i.meta_key, i.item_key, i.global_key, i.global_meta_key], i.sink_id);
END
$$;

CREATE FUNCTION topk.is_cluster(server text) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (SELECT FROM pg_catalog.pg_foreign_server s, pg_catalog.pg_options_to_table(s.srvoptions) o
        WHERE s.srvname = is_cluster.server AND o.option_name = 'cluster' AND o.option_value::boolean)
$$;

-- What a Redis Cluster takes a key's slot from: the text between the first '{' and the next '}', unless it is empty.
CREATE FUNCTION topk.hash_tag(template text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
    $$ SELECT nullif(substring(template FROM '^[^{]*\{([^}]*)\}'), '') $$;

-- A script may touch keys of one slot only.  What may be empty in a tag would leave it without one.
CREATE FUNCTION topk.check_hash_tag(zset text, zset_template text, hash text, hash_template text) RETURNS void
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    tag text := topk.hash_tag(zset_template);
BEGIN
    IF zset_template IS NULL THEN
        RETURN;
    END IF;
    IF tag IS NULL OR regexp_replace(tag, '%(tenant|value)%', '', 'g') = '' THEN
        RAISE EXCEPTION 'on a cluster, % needs a hash tag: %', zset, quote_literal(zset_template)
            USING ERRCODE = 'invalid_parameter_value', DETAIL = 'A zset and its hash are written together, so they must be in one slot.',
                  HINT = 'Put braces around some of it, the same in both templates, with more in them than %tenant% and %value%, which may be empty: for example {%window%:%dimension%:%minutes%}.';
    END IF;
    -- without a template of its own the hash has the name of the zset with an ending
    IF hash_template IS NOT NULL AND topk.hash_tag(hash_template) IS DISTINCT FROM tag THEN
        RAISE EXCEPTION 'on a cluster, % and % must have the same hash tag', zset, hash USING ERRCODE = 'invalid_parameter_value',
            DETAIL = format('%s has {%s}, %s has %s.', zset, tag, hash, coalesce('{' || topk.hash_tag(hash_template) || '}', 'none')),
            HINT = format('Put {%s} into both.', tag);
    END IF;
END
$$;

-- The default templates as a cluster needs them; others as they are.
CREATE FUNCTION topk.with_hash_tag(template text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN template IN ('topk:%window%:%dimension%:%minutes%', 'meta:%window%:%dimension%:%minutes%',
                                  'topk:global:%item_type%', 'meta:global:%item_type%')
           THEN regexp_replace(template, '(%.*%)', '{\1}') ELSE template END
$$;

CREATE FUNCTION topk.create_sink(
    source     text,
    server     text,
    name       text DEFAULT NULL,
    k          integer DEFAULT NULL,
    window_key text DEFAULT 'topk:%window%:%dimension%:%minutes%',
    meta_key   text DEFAULT 'meta:%window%:%dimension%:%minutes%',
    item_key   text DEFAULT 'item:%item%:%dimension%',
    global_key text DEFAULT 'topk:global:%item_type%',
    global_meta_key text DEFAULT 'meta:global:%item_type%',
    sweep_interval interval DEFAULT '1 minute'
) RETURNS integer LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    src integer := topk.source_id(source);
    i   topk.sink;
    id  integer;
BEGIN
    name := coalesce(name, source);
    PERFORM topk.check_name('sink', name);
    PERFORM topk.check_server(server, 'topk_redis');
    IF topk.is_cluster(server) THEN
        window_key := topk.with_hash_tag(window_key);
        meta_key := topk.with_hash_tag(meta_key);
        global_key := topk.with_hash_tag(global_key);
        global_meta_key := topk.with_hash_tag(global_meta_key);
    END IF;
    i.source_id := src;
    i.server := server;
    i.k := k;
    i.window_key := window_key;
    i.meta_key := meta_key;
    i.item_key := item_key;
    i.global_key := global_key;
    i.global_meta_key := global_meta_key;
    i.sweep_interval := sweep_interval;
    PERFORM topk.check_sink_row(i);
    BEGIN
        INSERT INTO topk.sink (source_id, name, server, k, window_key, meta_key, item_key, global_key, global_meta_key, sweep_interval)
        VALUES (src, name, server, k, window_key, meta_key, item_key, global_key, global_meta_key, sweep_interval) RETURNING sink_id INTO id;
    EXCEPTION WHEN unique_violation THEN
        RAISE EXCEPTION 'sink "%" already exists', name USING ERRCODE = 'duplicate_object';
    END;
    PERFORM topk.wake();
    RETURN id;
END
$$;
COMMENT ON FUNCTION topk.create_sink IS 'mirrors the results of a source into a Redis; returns the sink_id';

CREATE FUNCTION topk.template_variables(template text) RETURNS text[] LANGUAGE sql IMMUTABLE AS $$
    SELECT coalesce(array_agg(DISTINCT m[1] ORDER BY m[1]), '{}') FROM regexp_matches(template, '%([a-z_]*)%', 'g') m
$$;

CREATE FUNCTION topk.check_template(what text, template text, allowed text[], required text[]) RETURNS void
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    used text[] := topk.template_variables(template);
BEGIN
    IF template IS NULL THEN
        RETURN;
    END IF;
    IF NOT used <@ allowed OR NOT required <@ used THEN
        RAISE EXCEPTION 'invalid %: %', what, quote_literal(template) USING ERRCODE = 'invalid_parameter_value',
            DETAIL = format('It must use each of %s, and may use %s.', required, allowed),
            HINT = 'The variables of a key template are its grouping: what it does not name is merged over.';
    END IF;
END
$$;

-- Two sinks that would write the same key of one Redis would overwrite each other for ever.  `self`: this sink,
-- if it exists already.
CREATE FUNCTION topk.check_sink_overlap(server text, keys text[], self integer DEFAULT NULL) RETURNS void LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_variable
DECLARE
    other text;
BEGIN
    SELECT k.name INTO other
    FROM topk.sink k, unnest(ARRAY[k.window_key, k.meta_key, k.item_key, k.global_key, k.global_meta_key]) theirs, unnest(keys) ours
    WHERE k.server = server AND k.sink_id IS DISTINCT FROM self AND NOT (ours LIKE '%\%source\%%' AND theirs LIKE '%\%source\%%')
        AND regexp_replace(ours, '%[a-z_]+%', '%', 'g') = regexp_replace(theirs, '%[a-z_]+%', '%', 'g')
    LIMIT 1;
    IF other IS NOT NULL THEN
        RAISE EXCEPTION 'the keys of this sink would collide with those of sink "%"', other
            USING ERRCODE = 'duplicate_object', HINT = 'Give it other key templates, for example with %source% in each.';
    END IF;
END
$$;

CREATE FUNCTION topk.drop_source(name text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    src integer := topk.source_id(name);
    w   record;
BEGIN
    PERFORM FROM topk.source_state WHERE source_id = src FOR UPDATE; -- before the tables, as everybody else
    UPDATE topk.partition SET epoch = epoch + 1 WHERE source_id = src;
    PERFORM topk.lock_windows(src);
    FOR w IN SELECT window_id FROM topk.source_window WHERE source_id = src LOOP
        EXECUTE format('DROP TABLE IF EXISTS topk.win_%s', w.window_id);
    END LOOP;
    DELETE FROM topk.archive a USING topk.list l WHERE l.list_id = a.list_id AND l.source_id = src;
    DELETE FROM topk.live WHERE source_id = src;
    DELETE FROM topk.dead_letter_block WHERE source_id = src;
    DELETE FROM topk.dead_letter_row WHERE source_id = src;
    DELETE FROM topk.late_event WHERE source_id = src;
    DELETE FROM topk.source WHERE source_id = src;
    PERFORM topk.wake();
END
$$;
COMMENT ON FUNCTION topk.drop_source IS 'forgets a source and all that was counted of it (Redis keys expire by themselves)';

CREATE FUNCTION topk.drop_sink(name text) RETURNS void LANGUAGE plpgsql AS $$
#variable_conflict use_variable
BEGIN
    DELETE FROM topk.sink s WHERE s.name = name;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no sink %', coalesce(quote_literal(name), 'NULL') USING ERRCODE = 'undefined_object';
    END IF;
END
$$;

-- The incarnation is what fences are compared by first, so the publisher overwrites whatever is held.
CREATE FUNCTION topk.resync_sink(name text) RETURNS void LANGUAGE plpgsql AS $$
#variable_conflict use_variable
BEGIN
    UPDATE topk.sink s SET incarnation = greatest(s.incarnation + 1, extract(epoch FROM now())::bigint) WHERE s.name = name;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no sink %', coalesce(quote_literal(name), 'NULL')
            USING ERRCODE = 'undefined_object', HINT = 'SELECT name FROM topk.sink lists the sinks.';
    END IF;
END
$$;
COMMENT ON FUNCTION topk.resync_sink IS 'publishes everything of a sink anew, over whatever its Redis holds';

CREATE FUNCTION topk.pause(source text) RETURNS void LANGUAGE sql AS $$
    UPDATE topk.source SET enabled = false WHERE source_id = topk.source_id(pause.source) AND enabled
$$;
CREATE FUNCTION topk.resume(source text) RETURNS void LANGUAGE sql AS $$
    UPDATE topk.source_state SET pause_reason = NULL WHERE source_id = topk.source_id(resume.source);
    UPDATE topk.source SET enabled = true WHERE source_id = topk.source_id(resume.source) AND NOT enabled
$$;
-- What a worker does when going on would make things worse.
CREATE FUNCTION topk.pause_for(src integer, reason text) RETURNS void LANGUAGE sql AS $$
    UPDATE topk.source SET enabled = false WHERE source_id = src;
    UPDATE topk.source_state SET pause_reason = reason WHERE source_id = src
$$;
CREATE FUNCTION topk.set_parallelism(source text, workers integer) RETURNS void LANGUAGE plpgsql AS $$
#variable_conflict use_variable
BEGIN
    PERFORM topk.check_range('workers', workers, 1, 64);
    UPDATE topk.source s SET workers = workers WHERE s.source_id = topk.source_id(source) AND s.workers <> workers;
END
$$;
COMMENT ON FUNCTION topk.pause IS 'stops reading a source; its results stay';
COMMENT ON FUNCTION topk.resume IS 'reads a paused source on, from where it stopped';
COMMENT ON FUNCTION topk.set_parallelism IS 'changes the number of workers of a source';

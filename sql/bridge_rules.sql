-- ---------------------------------------------------------------------------------------------------------
-- Rules: for one event type of a source, which items it yields, their type, weight and dimensions, and which
-- events are taken at all.  An event type may have several; each has a name of its own in its source.
--
-- What a rule says is checked here, when it is made; what an event then yields is decided by bridge/extract.c,
-- and the order of its checks is in the head of bridge/extract.h.
-- ---------------------------------------------------------------------------------------------------------

CREATE TRIGGER config_changed AFTER INSERT OR UPDATE OR DELETE ON topk.rule
    FOR EACH ROW EXECUTE FUNCTION topk.config_changed();

-- Counts of a rule that is gone say nothing.  Workers of the source are fenced by now: none adds to them again.
CREATE FUNCTION topk.forget_rule_counts() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM topk.rule_count c WHERE c.rule_id = OLD.rule_id;
    RETURN NULL;
END
$$;
CREATE TRIGGER forget_rule_counts AFTER DELETE ON topk.rule FOR EACH ROW EXECUTE FUNCTION topk.forget_rule_counts();

-- The dimensions of a rule, in the order in which they are read.
CREATE FUNCTION topk.rule_dimensions(dimensions jsonb, missing_value text)
RETURNS TABLE (name text, path text, missing text) LANGUAGE sql IMMUTABLE AS $$
    SELECT d.key, coalesce(d.value ->> 'path', d.value #>> '{}'), coalesce(d.value ->> 'missing', missing_value)
    FROM jsonb_each(dimensions) d ORDER BY d.key
$$;

CREATE FUNCTION topk.check_missing(what text, missing text) RETURNS void LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    IF missing IS NULL OR octet_length(missing) > 512 THEN
        RAISE EXCEPTION '% must be text of at most 512 bytes', what USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF missing = '(other)' THEN
        RAISE EXCEPTION '% cannot be "(other)", which is reserved', what USING ERRCODE = 'reserved_name';
    END IF;
END
$$;

CREATE FUNCTION topk.check_dimension(name text, dimension jsonb) RETURNS void LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    PERFORM topk.check_name('dimension', name);
    IF jsonb_typeof(dimension) = 'object' THEN
        IF jsonb_typeof(dimension -> 'path') IS DISTINCT FROM 'string' OR dimension - '{path,missing}'::text[] <> '{}'
            OR coalesce(jsonb_typeof(dimension -> 'missing'), 'string') <> 'string' THEN
            RAISE EXCEPTION 'dimension "%" must have a path and may have a missing value, both strings', name
                USING ERRCODE = 'invalid_parameter_value', DETAIL = format('It is %s.', dimension),
                      HINT = 'For example {"country": {"path": "payload.country", "missing": "??"}}.';
        END IF;
        PERFORM topk.check_missing(format('the missing value of dimension "%s"', name), coalesce(dimension ->> 'missing', ''));
    ELSIF jsonb_typeof(dimension) <> 'string' THEN
        RAISE EXCEPTION 'the path of dimension "%" must be a string', name USING ERRCODE = 'invalid_parameter_value';
    END IF;
END
$$;

CREATE FUNCTION topk.check_dimensions(dimensions jsonb) RETURNS void LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    IF dimensions IS NULL OR jsonb_typeof(dimensions) <> 'object' THEN
        RAISE EXCEPTION 'dimensions must be a JSON object of names and paths' USING ERRCODE = 'invalid_parameter_value',
            HINT = 'For example {"deviceType": "payload.deviceType"}.';
    END IF;
    PERFORM topk.check_range('the number of dimensions', count(*), 0, 32) FROM jsonb_object_keys(dimensions);
    PERFORM topk.check_dimension(e.key, e.value) FROM jsonb_each(dimensions) e;
    PERFORM topk.check_path(format('the path of dimension "%s"', d.name), d.path) FROM topk.rule_dimensions(dimensions, '') d;
END
$$;

-- A filter's conditions, all of which must hold: {"path": what, ...}, where `what` is a string, a number or a
-- boolean (equal to it), an array of them (one of them), or an object with any of "=" (a scalar or an array, as
-- before), "not" (likewise: none of them), "exists" (true, false), "<", "<=", ">", ">=" (a number).  Also what
-- bridge/config.c reads; the names of tests are those of bridge/rule_filter.c.
CREATE FUNCTION topk.filter_conditions(filter jsonb)
RETURNS TABLE (path text, test text, texts text[], number double precision) LANGUAGE sql IMMUTABLE AS $$
    SELECT c.path,
           CASE o.op WHEN '=' THEN 'in' WHEN 'not' THEN 'not_in'
                     WHEN 'exists' THEN CASE o.operand WHEN 'true' THEN 'exists' ELSE 'missing' END ELSE o.op END,
           CASE WHEN o.op IN ('=', 'not') THEN ARRAY(SELECT t FROM jsonb_array_elements_text(
               CASE jsonb_typeof(o.operand) WHEN 'array' THEN o.operand ELSE jsonb_build_array(o.operand) END) t) ELSE '{}' END,
           CASE WHEN o.op IN ('<', '<=', '>', '>=') THEN (o.operand #>> '{}')::double precision ELSE 0 END
    FROM jsonb_each(filter) AS c(path, what)
    CROSS JOIN LATERAL jsonb_each(CASE jsonb_typeof(c.what) WHEN 'object' THEN c.what ELSE jsonb_build_object('=', c.what) END)
        AS o(op, operand)
    ORDER BY c.path, o.op
$$;

-- An operand that is compared as text: a fraction or an exponent has no one spelling.
CREATE FUNCTION topk.check_filter_texts(path text, operand jsonb) RETURNS void LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    t jsonb;
BEGIN
    IF jsonb_typeof(operand) <> 'array' THEN
        operand := jsonb_build_array(operand);
    END IF;
    PERFORM topk.check_range(format('the number of values in the filter on "%s"', path), jsonb_array_length(operand), 1, 1000);
    FOR t IN SELECT e FROM jsonb_array_elements(operand) e LOOP
        IF jsonb_typeof(t) NOT IN ('string', 'number', 'boolean') THEN
            RAISE EXCEPTION 'the filter on "%" can compare only with strings, numbers and booleans', path
                USING ERRCODE = 'invalid_parameter_value', DETAIL = format('It has %s.', t),
                      HINT = 'Use {"exists": false} for what is null or missing.';
        END IF;
        IF jsonb_typeof(t) = 'number' AND t #>> '{}' !~ '^-?[0-9]{1,18}$' THEN
            RAISE EXCEPTION 'the filter on "%" can be equal only to whole numbers of at most 18 digits', path
                USING ERRCODE = 'invalid_parameter_value', DETAIL = format('It has %s.', t),
                      HINT = 'Use "<=" and ">=", or write the number''s JSON text as a string.';
        END IF;
    END LOOP;
END
$$;

CREATE FUNCTION topk.check_filter_test(path text, op text, operand jsonb) RETURNS void LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    IF op IN ('=', 'not') THEN
        PERFORM topk.check_filter_texts(path, operand);
    ELSIF op = 'exists' THEN
        IF jsonb_typeof(operand) <> 'boolean' THEN
            RAISE EXCEPTION '"exists" in the filter on "%" must be true or false', path USING ERRCODE = 'invalid_parameter_value';
        END IF;
    ELSIF op IN ('<', '<=', '>', '>=') THEN
        IF jsonb_typeof(operand) <> 'number' OR abs((operand #>> '{}')::numeric) > 1e300 THEN
            RAISE EXCEPTION '"%" in the filter on "%" must be a number', op, path USING ERRCODE = 'invalid_parameter_value';
        END IF;
    ELSE
        RAISE EXCEPTION 'the filter on "%" has an unknown test %', path, quote_literal(op) USING ERRCODE = 'invalid_parameter_value',
            HINT = 'Tests are "=", "not", "exists", "<", "<=", ">" and ">=".';
    END IF;
END
$$;

CREATE FUNCTION topk.check_rule_filter(filter jsonb) RETURNS void LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    c record;
BEGIN
    IF filter IS NULL THEN
        RETURN;
    END IF;
    IF jsonb_typeof(filter) <> 'object' THEN
        RAISE EXCEPTION 'filter must be a JSON object of paths and conditions' USING ERRCODE = 'invalid_parameter_value',
            HINT = 'For example {"payload.country": "DE", "payload.ms": {">=": 100}}.';
    END IF;
    PERFORM topk.check_range('the number of paths in a filter', count(*), 1, 32) FROM jsonb_object_keys(filter);
    FOR c IN SELECT e.key AS path, e.value AS what FROM jsonb_each(filter) e LOOP
        PERFORM topk.check_path('a key of the filter', c.path);
        IF c.what = '{}' THEN
            RAISE EXCEPTION 'the filter on "%" has no test', c.path USING ERRCODE = 'invalid_parameter_value',
                HINT = 'Tests are "=", "not", "exists", "<", "<=", ">" and ">=".';
        ELSIF jsonb_typeof(c.what) = 'object' THEN
            PERFORM topk.check_filter_test(c.path, o.key, o.value) FROM jsonb_each(c.what) o;
        ELSE
            PERFORM topk.check_filter_test(c.path, '=', c.what);
        END IF;
    END LOOP;
END
$$;

-- What create_rule and alter_rule ask of a row.
CREATE FUNCTION topk.check_rule_row(r topk.rule) RETURNS void LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    PERFORM topk.check_path('item_path', r.item_path);
    PERFORM topk.check_path('weight_path', r.weight_path);
    PERFORM topk.check_range('weight', r.weight, 1, 1::bigint << 40);
    PERFORM topk.check_dimensions(r.dimensions);
    PERFORM topk.check_missing('missing_value', r.missing_value);
    PERFORM topk.check_rule_filter(r.filter);
END
$$;

-- The rule of a name, locked.
CREATE FUNCTION topk.rule_named(source text, name text) RETURNS topk.rule LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    src integer := topk.source_id(source);
    r   topk.rule;
BEGIN
    SELECT * INTO r FROM topk.rule u WHERE u.source_id = src AND u.name = name FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'source "%" has no rule %', source, coalesce(quote_literal(name), 'NULL') USING ERRCODE = 'undefined_object',
            HINT = 'SELECT name FROM topk.rule lists those that it has. A rule made without a name has that of its event type.';
    END IF;
    RETURN r;
END
$$;

CREATE FUNCTION topk.create_rule(
    source        text,
    event_type    text,
    item_type     text,
    item_path     text,
    dimensions    jsonb DEFAULT '{}',
    weight        bigint DEFAULT 1,
    weight_path   text DEFAULT NULL,
    missing_value text DEFAULT 'unknown',
    filter        jsonb DEFAULT NULL,
    name          text DEFAULT NULL
) RETURNS integer LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    src integer := topk.source_id(source);
    r   topk.rule;
    id  integer;
BEGIN
    IF event_type IS NULL OR event_type = '' THEN
        RAISE EXCEPTION 'event_type must not be empty' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF name IS DISTINCT FROM event_type AND name IS NOT NULL THEN
        PERFORM topk.check_name('rule', name);
    END IF;
    PERFORM topk.check_name('item type', item_type);
    IF item_path IS NULL THEN
        RAISE EXCEPTION 'item_path must not be NULL' USING ERRCODE = 'null_value_not_allowed';
    END IF;
    r.item_path := item_path;
    r.weight_path := weight_path;
    r.weight := weight;
    r.dimensions := dimensions;
    r.missing_value := missing_value;
    r.filter := filter;
    PERFORM topk.check_rule_row(r);
    name := coalesce(name, event_type);
    BEGIN
        INSERT INTO topk.rule (source_id, name, event_type, item_type, item_path, weight_path, weight, dimensions, missing_value, filter)
        VALUES (src, name, event_type, item_type, item_path, weight_path, weight, dimensions, missing_value, filter)
        RETURNING rule_id INTO id;
    EXCEPTION WHEN unique_violation THEN
        RAISE EXCEPTION 'source "%" already has a rule "%"', source, name USING ERRCODE = 'duplicate_object',
            HINT = 'An event type may have several rules: give this one a name of its own (name => ''...'').';
    END;
    PERFORM topk.unshare_lists(src, item_type, dimensions);
    RETURN id;
END
$$;
COMMENT ON FUNCTION topk.create_rule IS 'counts items of each event of a type; returns the rule_id';

-- The list across a dimension's values is that of `all` only while every event of the item type has the
-- dimension.  A rule that lacks it parts them.
CREATE FUNCTION topk.unshare_lists(src integer, item_type text, dimensions jsonb) RETURNS void LANGUAGE plpgsql AS $$
#variable_conflict use_variable
BEGIN
    PERFORM topk.unshare_list(l) FROM topk.list l WHERE l.source_id = src AND l.item_type = item_type AND l.base_id <> l.list_id
        AND NOT dimensions ? l.dimension;
END
$$;

-- Gives a list that reads those of `all` a copy of what they hold up to here.  The caller has raised the epochs,
-- so no worker adds to either before it knows.
CREATE FUNCTION topk.unshare_list(l topk.list) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM topk.lock_windows(l.source_id); -- no close between the copies, and no window made: each pane is copied once
    INSERT INTO topk.win SELECT w.window_id, w.window_start, l.list_id, w.sketch FROM topk.win w WHERE w.list_id = l.base_id;
    UPDATE topk.live SET sealed = true WHERE source_id = l.source_id AND NOT sealed AND list_id = l.base_id;
    INSERT INTO topk.live SELECT v.source_id, v.pane, l.list_id, v.incarnation, v.worker, true, v.version, v.sketch
        FROM topk.live v WHERE v.source_id = l.source_id AND v.list_id = l.base_id;
    UPDATE topk.list SET base_id = list_id WHERE list_id = l.list_id;
END
$$;

-- Dimensions are replaced as a whole.  One that goes parts its list from that of `all`, as a rule without it
-- does; one that comes never begins to share, since `all` holds older events (topk.intern_family).
CREATE FUNCTION topk.alter_rule(
    source        text,
    name          text,
    item_path     text DEFAULT NULL,
    dimensions    jsonb DEFAULT NULL,
    weight        bigint DEFAULT NULL,
    weight_path   text DEFAULT NULL,
    missing_value text DEFAULT NULL,
    filter        jsonb DEFAULT NULL,
    reset         text[] DEFAULT '{}'
) RETURNS void LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    given jsonb := jsonb_build_object('item_path', item_path, 'weight', weight, 'weight_path', weight_path, 'missing_value', missing_value,
        'filter', CASE WHEN filter IS NOT NULL THEN true END);
    old   topk.rule;
    new   topk.rule;
BEGIN
    PERFORM topk.check_reset(reset, '{weight_path,filter}', given);
    old := topk.rule_named(source, name);
    new := jsonb_populate_record(old, topk.changes(given, reset));
    new.dimensions := coalesce(dimensions, old.dimensions);
    new.filter := CASE WHEN 'filter' = ANY (reset) THEN NULL ELSE coalesce(filter, old.filter) END;
    PERFORM topk.check_rule_row(new);
    IF new IS NOT DISTINCT FROM old THEN
        RETURN;
    END IF;
    UPDATE topk.rule r SET (item_path, weight, weight_path, dimensions, missing_value, filter)
        = (new.item_path, new.weight, new.weight_path, new.dimensions, new.missing_value, new.filter)
    WHERE r.rule_id = old.rule_id;
    PERFORM topk.unshare_lists(old.source_id, old.item_type, new.dimensions);
END
$$;
COMMENT ON FUNCTION topk.alter_rule IS 'changes a rule, from the next flush on; NULL leaves a setting as it is';

CREATE FUNCTION topk.drop_rule(source text, name text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    r topk.rule := topk.rule_named(source, name);
BEGIN
    DELETE FROM topk.rule u WHERE u.rule_id = r.rule_id;
END
$$;
COMMENT ON FUNCTION topk.drop_rule IS 'counts no more by a rule, from the next flush on; what it has counted stays';

CREATE VIEW topk.stat_rule WITH (security_invoker = true) AS
SELECT s.name AS source, r.name, r.event_type, r.item_type, c.counted, c.items, c.filtered, c.no_item
FROM topk.rule r
JOIN topk.source s USING (source_id)
CROSS JOIN LATERAL (
    SELECT coalesce(sum(c.counted), 0)::bigint AS counted, coalesce(sum(c.items), 0)::bigint AS items,
           coalesce(sum(c.filtered), 0)::bigint AS filtered, coalesce(sum(c.no_item), 0)::bigint AS no_item
    FROM topk.rule_count c WHERE c.rule_id = r.rule_id) c;
COMMENT ON VIEW topk.stat_rule IS 'each rule: events of its type by what it made of them, and the items it counted, as of the last flush';

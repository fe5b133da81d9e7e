-- ---------------------------------------------------------------------------------------------------------
-- Tenants, and the guard against too many of them and of the values of a dimension.
--
-- A tenant is listed if it has a row in topk.tenant; the row whose tenant is NULL has the settings of all others.
-- A setting that is NULL is the source's, or no limit.  What a worker does with them is in bridge/tenant.h.
-- ---------------------------------------------------------------------------------------------------------

CREATE TABLE topk.tenant (
    source_id        integer NOT NULL REFERENCES topk.source ON DELETE CASCADE,
    tenant           text,                     -- NULL: those that are not listed
    enabled          boolean NOT NULL,
    k                integer,
    capacity         integer,
    dimensions       text[],                   -- NULL: all of the rules
    items_per_second bigint,                   -- NULL: no quota
    max_values       integer,
    role             regrole,                  -- sees the results of this tenant, and of those only
    UNIQUE NULLS NOT DISTINCT (source_id, tenant)
);
COMMENT ON TABLE topk.tenant IS 'the settings of tenants; those of the row without a tenant are for all that are not listed';
CREATE TRIGGER config_changed AFTER INSERT OR UPDATE OR DELETE ON topk.tenant
    FOR EACH ROW EXECUTE FUNCTION topk.config_changed();

-- What each tenant that is listed, or has a quota or is refused, did on each partition, as of the last flush.  The
-- quota's state is a function of the partition's log up to the stored offset.
CREATE TABLE topk.tenant_use (
    source_id    integer NOT NULL REFERENCES topk.source ON DELETE CASCADE,
    partition    integer NOT NULL,
    tenant       text NOT NULL,                -- (other): those that are refused without being listed
    counted      bigint NOT NULL DEFAULT 0,    -- items
    over_quota   bigint NOT NULL DEFAULT 0,    -- events
    disabled     bigint NOT NULL DEFAULT 0,    -- events
    quota_second bigint,                       -- of event time, since 1970
    quota_used   bigint NOT NULL DEFAULT 0,    -- items counted in that second
    PRIMARY KEY (source_id, partition, tenant)
) WITH (fillfactor = 50);

-- The first max_tenants unlisted tenants of a source.
CREATE TABLE topk.tenant_seen (
    source_id  integer NOT NULL REFERENCES topk.source ON DELETE CASCADE,
    tenant     text NOT NULL,
    first_seen timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (source_id, tenant)
);

-- The values of a dimension that were let in on one UTC day of event time, and how many there are.
CREATE TABLE topk.dimension_day (
    source_id integer NOT NULL REFERENCES topk.source ON DELETE CASCADE,
    tenant    text NOT NULL,
    item_type text NOT NULL,
    dimension text NOT NULL,
    day       date NOT NULL,
    n_values  integer NOT NULL DEFAULT 0,
    other     boolean NOT NULL DEFAULT false,  -- more came, and were counted as (other)
    PRIMARY KEY (source_id, tenant, item_type, dimension, day)
);
CREATE TABLE topk.list_day (
    source_id integer NOT NULL,
    day       date NOT NULL,
    list_id   bigint NOT NULL REFERENCES topk.list ON DELETE CASCADE,
    PRIMARY KEY (list_id, day)
);
CREATE INDEX ON topk.list_day (source_id, day);

DO $$
DECLARE
    kept regclass;
BEGIN
    FOREACH kept IN ARRAY ARRAY['topk.tenant', 'topk.tenant_use', 'topk.tenant_seen', 'topk.dimension_day', 'topk.list_day'] LOOP
        PERFORM pg_catalog.pg_extension_config_dump(kept, '');
    END LOOP;
END
$$;

-- ---------------------------------------------------------------- settings

-- The settings in force, those of the unlisted (tenant NULL) always among them.
CREATE FUNCTION topk.tenant_settings(src integer)
RETURNS TABLE (tenant text, enabled boolean, k integer, capacity integer, dimensions text[], items_per_second bigint,
    max_values integer, role regrole) LANGUAGE sql STABLE AS $$
    SELECT t.tenant, t.enabled, e.k, greatest(e.k, coalesce(t.capacity, CASE WHEN t.k IS NULL THEN s.capacity ELSE 3 * t.k END)),
           t.dimensions, t.items_per_second, coalesce(t.max_values, s.max_values), t.role
    FROM topk.source s
    CROSS JOIN LATERAL (
        SELECT t.tenant, t.enabled, t.k, t.capacity, t.dimensions, t.items_per_second, t.max_values, t.role
        FROM topk.tenant t WHERE t.source_id = s.source_id
        UNION ALL
        SELECT NULL, true, NULL, NULL, NULL, NULL, NULL, NULL
        WHERE NOT EXISTS (SELECT FROM topk.tenant t WHERE t.source_id = s.source_id AND t.tenant IS NULL)) t
    CROSS JOIN LATERAL (SELECT coalesce(t.k, s.k) AS k) e
    WHERE s.source_id = src
$$;

CREATE FUNCTION topk.check_tenant_row(t topk.tenant) RETURNS void LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF octet_length(t.tenant) > 512 OR t.tenant = '(other)' THEN
        RAISE EXCEPTION 'invalid tenant: %', quote_literal(t.tenant) USING ERRCODE = 'invalid_name',
            HINT = 'A tenant is text of at most 512 bytes; "(other)" is reserved.';
    END IF;
    PERFORM topk.check_range('k', coalesce(t.k, 1), 1, 10000);
    IF t.capacity IS NOT NULL THEN
        PERFORM topk.check_range('capacity', t.capacity, coalesce(t.k, s.k), 65536) FROM topk.source s WHERE s.source_id = t.source_id;
    END IF;
    PERFORM topk.check_range('items_per_second', coalesce(t.items_per_second, 1), 1, 1000000000);
    PERFORM topk.check_range('max_values', coalesce(t.max_values, 1), 1, 1000000);
    PERFORM topk.check_range('the number of dimensions', coalesce(cardinality(t.dimensions), 0), 0, 1024);
    PERFORM topk.check_name('dimension', d) FROM unnest(t.dimensions) d;
    IF t.enabled IS NULL THEN
        RAISE EXCEPTION 'enabled must not be NULL' USING ERRCODE = 'null_value_not_allowed';
    END IF;
    IF t.tenant IS NULL AND t.role IS NOT NULL THEN
        RAISE EXCEPTION 'tenants that are not listed cannot have a role' USING ERRCODE = 'invalid_parameter_value',
            HINT = 'Name the tenant that the role is to see.';
    END IF;
END
$$;

-- A list that reads those of `all` no longer does when its dimension is taken from the tenant.
CREATE FUNCTION topk.unshare_tenant_lists(src integer) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM topk.unshare_list(l)
    FROM topk.list l
    CROSS JOIN LATERAL (SELECT s.dimensions FROM topk.tenant_settings(src) s
                        WHERE s.tenant = l.tenant OR s.tenant IS NULL ORDER BY s.tenant NULLS LAST LIMIT 1) s
    WHERE l.source_id = src AND l.base_id <> l.list_id AND s.dimensions IS NOT NULL AND l.dimension <> ALL (s.dimensions);
END
$$;

CREATE FUNCTION topk.find_tenant(source text, tenant text) RETURNS topk.tenant LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    src integer := topk.source_id(source);
    t   topk.tenant;
BEGIN
    SELECT * INTO t FROM topk.tenant o WHERE o.source_id = src AND o.tenant IS NOT DISTINCT FROM tenant FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'source "%" has no settings for tenant %', source, coalesce(quote_literal(tenant), 'NULL')
            USING ERRCODE = 'undefined_object', HINT = 'SELECT tenant FROM topk.tenant lists the tenants that have.';
    END IF;
    RETURN t;
END
$$;

CREATE FUNCTION topk.create_tenant(
    source           text,
    tenant           text,
    enabled          boolean DEFAULT true,
    k                integer DEFAULT NULL,
    capacity         integer DEFAULT NULL,
    dimensions       text[] DEFAULT NULL,
    items_per_second bigint DEFAULT NULL,
    max_values       integer DEFAULT NULL,
    role             regrole DEFAULT NULL
) RETURNS void LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    src integer := topk.source_id(source);
    t   topk.tenant;
BEGIN
    t := ROW(src, tenant, enabled, k, capacity, dimensions, items_per_second, max_values, role);
    PERFORM topk.check_tenant_row(t);
    BEGIN
        INSERT INTO topk.tenant SELECT t.*;
    EXCEPTION WHEN unique_violation THEN
        RAISE EXCEPTION 'source "%" already has settings for tenant %', source, coalesce(quote_literal(tenant), 'NULL')
            USING ERRCODE = 'duplicate_object', HINT = 'Change them with topk.alter_tenant.';
    END;
    PERFORM topk.unshare_tenant_lists(src);
END
$$;
COMMENT ON FUNCTION topk.create_tenant IS 'gives a tenant settings of its own, from the next flush on; NULL: all tenants that have none';

CREATE FUNCTION topk.alter_tenant(
    source           text,
    tenant           text,
    enabled          boolean DEFAULT NULL,
    k                integer DEFAULT NULL,
    capacity         integer DEFAULT NULL,
    dimensions       text[] DEFAULT NULL,
    items_per_second bigint DEFAULT NULL,
    max_values       integer DEFAULT NULL,
    role             regrole DEFAULT NULL,
    reset            text[] DEFAULT '{}'
) RETURNS void LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    given jsonb := jsonb_build_object('enabled', enabled, 'k', k, 'capacity', capacity, 'dimensions', dimensions,
        'items_per_second', items_per_second, 'max_values', max_values, 'role', role);
    old   topk.tenant := topk.find_tenant(source, tenant);
    new   topk.tenant;
BEGIN
    PERFORM topk.check_reset(reset, '{k,capacity,dimensions,items_per_second,max_values,role}', given);
    new := jsonb_populate_record(old, topk.changes(given, reset));
    PERFORM topk.check_tenant_row(new);
    IF new IS NOT DISTINCT FROM old THEN
        RETURN;
    END IF;
    UPDATE topk.tenant t SET (enabled, k, capacity, dimensions, items_per_second, max_values, role)
        = (new.enabled, new.k, new.capacity, new.dimensions, new.items_per_second, new.max_values, new.role)
    WHERE t.source_id = old.source_id AND t.tenant IS NOT DISTINCT FROM tenant;
    PERFORM topk.unshare_tenant_lists(old.source_id);
END
$$;
COMMENT ON FUNCTION topk.alter_tenant IS 'changes settings of a tenant, from the next flush on; NULL leaves one as it is';

CREATE FUNCTION topk.drop_tenant(source text, tenant text) RETURNS void LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    old topk.tenant := topk.find_tenant(source, tenant);
BEGIN
    DELETE FROM topk.tenant t WHERE t.source_id = old.source_id AND t.tenant IS NOT DISTINCT FROM tenant;
    PERFORM topk.unshare_tenant_lists(old.source_id);
END
$$;
COMMENT ON FUNCTION topk.drop_tenant IS 'forgets the settings of a tenant, whose results stay';

-- ---------------------------------------------------------------- what workers agree on

-- Which of these unlisted tenants are kept apart, in their order.
CREATE FUNCTION topk.admit_tenants(src integer, tenants text[], most integer) RETURNS SETOF boolean LANGUAGE plpgsql AS $$
DECLARE
    name text;
    used bigint;
BEGIN
    LOCK TABLE topk.tenant_seen IN SHARE ROW EXCLUSIVE MODE; -- new tenants are rare, and counted one by one
    used := (SELECT count(*) FROM topk.tenant_seen s WHERE s.source_id = src);
    FOREACH name IN ARRAY tenants LOOP
        IF EXISTS (SELECT FROM topk.tenant_seen s WHERE s.source_id = src AND s.tenant = name) THEN
            RETURN NEXT true;
        ELSIF used < most THEN
            INSERT INTO topk.tenant_seen (source_id, tenant) VALUES (src, name);
            used := used + 1;
            RETURN NEXT true;
        ELSE
            RETURN NEXT false;
        END IF;
    END LOOP;
END
$$;

-- Ids of the lists of values that claim a place on a day, in their order; NULL: the day is full.  `most` is the
-- max_values of each.  Days are locked in one order, so workers wait for one another but never in a circle.
CREATE FUNCTION topk.admit_values(src integer, tenants text[], item_types text[], dimensions text[], vals text[], days date[], most integer[])
RETURNS SETOF bigint LANGUAGE plpgsql SET enable_seqscan = off AS $$ -- as topk.find_list
DECLARE
    ids   bigint[] := array_fill(NULL::bigint, ARRAY[cardinality(vals)]);
    d     record;
    found record;
    n     integer;
    taken integer;
BEGIN
    FOR d IN SELECT u.tenant, u.item_type, u.dimension, u.day, max(u.most) AS most, array_agg(u.n ORDER BY u.n) AS places
        FROM unnest(tenants, item_types, dimensions, days, most) WITH ORDINALITY AS u(tenant, item_type, dimension, day, most, n)
        GROUP BY 1, 2, 3, 4 ORDER BY u.tenant COLLATE "C", u.item_type COLLATE "C", u.dimension COLLATE "C", u.day
    LOOP
        INSERT INTO topk.dimension_day (source_id, tenant, item_type, dimension, day)
        VALUES (src, d.tenant, d.item_type, d.dimension, d.day) ON CONFLICT DO NOTHING;
        SELECT dd.n_values INTO taken FROM topk.dimension_day dd WHERE dd.source_id = src AND dd.tenant = d.tenant
            AND dd.item_type = d.item_type AND dd.dimension = d.dimension AND dd.day = d.day FOR UPDATE;
        FOREACH n IN ARRAY d.places LOOP
            SELECT l.list_id, ld.list_id IS NOT NULL AS admitted INTO found
            FROM topk.list l LEFT JOIN topk.list_day ld ON ld.list_id = l.list_id AND ld.day = d.day
            WHERE l.source_id = src AND l.tenant = d.tenant AND l.item_type = d.item_type AND l.dimension = d.dimension AND l.value = vals[n];
            CONTINUE WHEN found.admitted IS NOT TRUE AND taken >= d.most;
            ids[n] := coalesce(found.list_id, topk.intern_list(src, d.tenant, d.item_type, d.dimension, vals[n], NULL));
            CONTINUE WHEN found.admitted;
            INSERT INTO topk.list_day (source_id, day, list_id) VALUES (src, d.day, ids[n]);
            taken := taken + 1;
        END LOOP;
        UPDATE topk.dimension_day dd SET n_values = taken WHERE dd.source_id = src AND dd.tenant = d.tenant
            AND dd.item_type = d.item_type AND dd.dimension = d.dimension AND dd.day = d.day AND dd.n_values <> taken;
    END LOOP;
    RETURN QUERY SELECT u.id FROM unnest(ids) WITH ORDINALITY AS u(id, n) ORDER BY u.n;
END
$$;

-- Notes that a day's values are complete and (other) is in use; returns them.
CREATE FUNCTION topk.close_day(src integer, tenant text, item_type text, dimension text, day date, OUT list_id bigint, OUT value text)
RETURNS SETOF record LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    INSERT INTO topk.dimension_day AS dd (source_id, tenant, item_type, dimension, day, other)
    VALUES (src, close_day.tenant, close_day.item_type, close_day.dimension, close_day.day, true)
    ON CONFLICT (source_id, tenant, item_type, dimension, day) DO UPDATE SET other = true WHERE NOT dd.other;
    RETURN QUERY SELECT l.list_id, l.value FROM topk.list l JOIN topk.list_day ld USING (list_id)
        WHERE l.source_id = src AND l.tenant = close_day.tenant AND l.item_type = close_day.item_type
            AND l.dimension = close_day.dimension AND l.value IS NOT NULL AND ld.day = close_day.day;
END
$$;

-- What a worker that begins must know of days that are complete already, from this one on.
CREATE FUNCTION topk.closed_days(src integer, since date,
    OUT tenant text, OUT item_type text, OUT dimension text, OUT day date, OUT list_id bigint, OUT value text)
RETURNS SETOF record LANGUAGE sql STABLE AS $$
    SELECT dd.tenant, dd.item_type, dd.dimension, dd.day, l.list_id, l.value
    FROM topk.dimension_day dd
    JOIN topk.list l USING (source_id, tenant, item_type, dimension)
    JOIN topk.list_day ld ON ld.list_id = l.list_id AND ld.day = dd.day
    CROSS JOIN LATERAL (SELECT t.max_values FROM topk.tenant_settings(src) t
                        WHERE t.tenant = dd.tenant OR t.tenant IS NULL ORDER BY t.tenant NULLS LAST LIMIT 1) t
    WHERE dd.source_id = src AND dd.day >= since AND dd.other AND dd.n_values >= t.max_values AND l.value IS NOT NULL
$$;

-- Forgets the values of days that no event may come for any more.  Part of the closer's work once a minute.
CREATE FUNCTION topk.forget_days(src integer) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    kept      date := (SELECT (c.watermark AT TIME ZONE 'UTC')::date - 3 FROM topk.closer c WHERE c.source_id = src);
    forgotten bigint;
BEGIN
    DELETE FROM topk.list_day d WHERE d.source_id = src AND d.day < kept;
    GET DIAGNOSTICS forgotten = ROW_COUNT;
    DELETE FROM topk.dimension_day d WHERE d.source_id = src AND d.day < kept;
    RETURN forgotten;
END
$$;

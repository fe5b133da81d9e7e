-- ---------------------------------------------------------------------------------------------------------
-- Statistics of tenants and of the guard.  Every view runs with the reader's rights.
-- ---------------------------------------------------------------------------------------------------------

CREATE VIEW topk.stat_tenant WITH (security_invoker = true) AS
SELECT s.name AS source, n.tenant, t.tenant IS NOT NULL AS listed, coalesce(t.enabled, u.enabled, true) AS enabled,
       coalesce(t.k, u.k, s.k) AS k, CASE WHEN t.source_id IS NULL THEN u.dimensions ELSE t.dimensions END AS dimensions,
       CASE WHEN t.source_id IS NULL THEN u.items_per_second ELSE t.items_per_second END AS items_per_second,
       coalesce(t.max_values, u.max_values, s.max_values) AS max_values, t.role,
       x.counted, coalesce(x.over_quota, 0) AS over_quota, coalesce(x.disabled, 0) AS disabled, l.lists, l.values
FROM topk.source s
CROSS JOIN LATERAL (
    SELECT t.tenant FROM topk.tenant t WHERE t.source_id = s.source_id AND t.tenant IS NOT NULL
    UNION SELECT t.tenant FROM topk.tenant_use t WHERE t.source_id = s.source_id
    UNION SELECT l.tenant FROM topk.list l WHERE l.source_id = s.source_id) n
LEFT JOIN topk.tenant t ON t.source_id = s.source_id AND t.tenant = n.tenant
LEFT JOIN topk.tenant u ON u.source_id = s.source_id AND u.tenant IS NULL AND t.source_id IS NULL
LEFT JOIN LATERAL (
    SELECT sum(x.counted)::bigint AS counted, sum(x.over_quota)::bigint AS over_quota, sum(x.disabled)::bigint AS disabled
    FROM topk.tenant_use x WHERE x.source_id = s.source_id AND x.tenant = n.tenant) x ON true
LEFT JOIN LATERAL (
    SELECT count(*) AS lists, count(l.value) AS values FROM topk.list l WHERE l.source_id = s.source_id AND l.tenant = n.tenant) l ON true;
COMMENT ON VIEW topk.stat_tenant IS 'each tenant: settings in force, items counted (of tenants with settings or a quota), events refused, lists';

CREATE VIEW topk.stat_dimension WITH (security_invoker = true) AS
SELECT s.name AS source, d.tenant, d.item_type, d.dimension, d.day, d.n_values, d.other AS other_in_use,
       coalesce(t.max_values, u.max_values, s.max_values) AS max_values
FROM topk.dimension_day d
JOIN topk.source s USING (source_id)
LEFT JOIN topk.tenant t ON t.source_id = s.source_id AND t.tenant = d.tenant
LEFT JOIN topk.tenant u ON u.source_id = s.source_id AND u.tenant IS NULL AND t.source_id IS NULL;
COMMENT ON VIEW topk.stat_dimension IS 'values of each dimension on each recent UTC day of event time, and whether more were counted as (other)';

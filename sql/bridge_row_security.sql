-- ---------------------------------------------------------------------------------------------------------
-- A role that stands for a tenant (topk.tenant.role) sees the results of that tenant, and nothing of others.
--
-- Such a role is a member of topk_tenant, which may read these tables only through the policies below.  Members
-- of topk_reader see everything.  Any other role, whatever it has been granted, sees no row.
--
-- Policies must be made by this script, and not later: pg_dump takes those of an extension's tables for a part of
-- the extension and leaves them out, while rights that were granted later are dumped.  A restore would open up.
--
-- What a tenant can learn of others: that the source has other events (the windows, their revisions and the
-- watermark are the source's), and by EXPLAIN ANALYZE how many rows the policies hide.
-- ---------------------------------------------------------------------------------------------------------

DO $$
DECLARE
    mine   constant text := 'SELECT t.source_id FROM topk.tenant t WHERE pg_catalog.pg_has_role(t.role, ''USAGE'')';
    listed constant text := 'EXISTS (SELECT FROM topk.list l WHERE l.list_id = %I.list_id)';
    p      record;
BEGIN
    FOR p IN
        SELECT v.kept, v.shown, v.columns FROM (VALUES
            ('tenant', 'pg_catalog.pg_has_role(role, ''USAGE'')', ''),
            ('source', format('source_id IN (%s)', mine), '(source_id, name, k, pane_size, max_values)'),
            ('rule', format('source_id IN (%s)', mine), '(source_id, event_type, item_type, dimensions)'),
            ('source_window', format('source_id IN (%s)', mine), ''),
            ('closer', format('source_id IN (%s)', mine), '(source_id, watermark)'),
            ('win_state', 'EXISTS (SELECT FROM topk.source_window d WHERE d.window_id = win_state.window_id)', ''),
            ('list', format('(source_id, tenant) IN (%s)', replace(mine, 't.source_id', 't.source_id, t.tenant')), ''),
            ('tenant_use', format('(source_id, tenant) IN (%s)', replace(mine, 't.source_id', 't.source_id, t.tenant')), ''),
            ('dimension_day', format('(source_id, tenant) IN (%s)', replace(mine, 't.source_id', 't.source_id, t.tenant')), ''),
            ('live', format(listed, 'live'), ''),
            ('win', format(listed, 'win'), ''),
            ('archive', format(listed, 'archive'), '')) v(kept, shown, columns)
    LOOP
        EXECUTE format('ALTER TABLE topk.%I ENABLE ROW LEVEL SECURITY', p.kept);
        EXECUTE format('CREATE POLICY topk_reader ON topk.%I FOR SELECT TO topk_reader USING (true)', p.kept);
        EXECUTE format('CREATE POLICY topk_tenant ON topk.%I FOR SELECT TO topk_tenant USING (%s)', p.kept, p.shown);
        EXECUTE format('GRANT SELECT %s ON topk.%I TO topk_tenant', p.columns, p.kept);
    END LOOP;
END
$$;

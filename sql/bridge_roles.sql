-- ---------------------------------------------------------------------------------------------------------
-- Who may do what.  It comes after all functions and tables: what it does not name, nobody but the owner may use.
--
--   topk_admin      creates, alters and drops; may do what topk_operator may
--   topk_operator   pauses, resumes, sets the number of workers, seeks and replays, reads messages; may do what topk_reader may
--   topk_reader     all results and statistics, but no message
--   topk_tenant     results, of the tenants that its member is mapped to (bridge_row_security.sql)
--
-- Roles belong to the server, so they stay when the extension is dropped.  What admins and operators call runs
-- with the owner's rights, under a fixed search_path: they need no rights on tables, and can only do what the
-- functions check.  Whose call it is they ask topk.caller().  What readers call runs with theirs.
-- ---------------------------------------------------------------------------------------------------------

DO $$
DECLARE
    role text;
    pair text[];
BEGIN
    FOREACH role IN ARRAY '{topk_admin,topk_operator,topk_reader,topk_tenant}'::text[] LOOP
        CONTINUE WHEN EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = role);
        BEGIN
            EXECUTE format('CREATE ROLE %I NOLOGIN', role);
        EXCEPTION
            WHEN duplicate_object OR unique_violation THEN NULL; -- just now, by the same script in another database
            WHEN insufficient_privilege THEN
                RAISE EXCEPTION 'role "%" is missing and cannot be created', role USING ERRCODE = 'insufficient_privilege',
                    HINT = 'Let a superuser run CREATE ROLE topk_admin; CREATE ROLE topk_operator; CREATE ROLE topk_reader; '
                           'CREATE ROLE topk_tenant; GRANT topk_reader TO topk_operator; GRANT topk_operator TO topk_admin;';
        END;
    END LOOP;
    FOREACH pair SLICE 1 IN ARRAY '{{topk_reader,topk_operator},{topk_operator,topk_admin}}'::text[] LOOP
        CONTINUE WHEN pg_catalog.pg_has_role(pair[2], pair[1], 'MEMBER');
        EXECUTE format('GRANT %I TO %I', pair[1], pair[2]);
    END LOOP;
END
$$;

-- Nothing for PUBLIC.  The type is everybody's: its functions, which all begin with topk_, stay as they are.
DO $$
DECLARE
    f record;
BEGIN
    FOR f IN SELECT p.oid::regprocedure AS call FROM pg_catalog.pg_proc p
        WHERE p.pronamespace = 'topk'::regnamespace AND p.proname NOT LIKE 'topk\_%' LOOP
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', f.call);
    END LOOP;
END
$$;
REVOKE ALL ON ALL TABLES IN SCHEMA topk FROM PUBLIC;
REVOKE ALL ON ALL SEQUENCES IN SCHEMA topk FROM PUBLIC;
GRANT USAGE ON SCHEMA topk TO topk_reader, topk_tenant;
GRANT USAGE ON FOREIGN DATA WRAPPER topk_kafka TO topk_admin;
GRANT USAGE ON FOREIGN DATA WRAPPER topk_redis TO topk_admin;

-- Functions: the roles, whether they run with the owner's rights, and their names.
DO $$
DECLARE
    g record;
    f record;
BEGIN
    FOR g IN SELECT * FROM (VALUES
        ('topk_admin', true, '{create_source,alter_source,drop_source,create_rule,alter_rule,drop_rule,create_sink,alter_sink,drop_sink,
            create_window,alter_window,drop_window,create_tenant,alter_tenant,drop_tenant,adopt}'::text[]),
        ('topk_operator', true, '{pause,resume,set_parallelism,test_rule,check_source,preview,resync_sink,retry_dead_letters,purge_dead_letters,
            seek,replay,cancel_replay,delete_dead_letter}'),
        ('topk_reader', false, '{mirror,mirror_window,mirror_global,mirror_items,sink_windows,window_lists,redis_expiry,redis_key,redis_escape,
            template_variables,source_watermark,process_runs,at_home,system_id,tenant_settings,dead_letter_reasons}'),
        ('topk_reader, topk_tenant', false, '{top,top_between,source_id,find_window,newest_window,check_retained,check_filter,check_n,
            check_range,check_stretch,find_lists,live_panes,live_lists,window_start,window_end,first_instant,next_edge,coarsest_window,kept_since,
            chain_tops,window_chain,chain_cover,best_chain,cover,stretch_query,bounded_items}'))
        AS g(roles, as_owner, names)
    LOOP
        FOR f IN SELECT n.name, p.oid::regprocedure AS call FROM unnest(g.names) n(name)
            LEFT JOIN pg_catalog.pg_proc p ON p.proname = n.name AND p.pronamespace = 'topk'::regnamespace LOOP
            IF f.call IS NULL THEN
                RAISE EXCEPTION 'there is no function topk.% to grant', f.name;
            END IF;
            EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %s', f.call, g.roles);
            IF g.as_owner THEN
                EXECUTE format('ALTER FUNCTION %s SECURITY DEFINER SET search_path = pg_catalog, pg_temp', f.call);
            END IF;
        END LOOP;
    END LOOP;
END
$$;

-- Tables and views.
GRANT SELECT ON topk.source, topk.rule, topk.source_window, topk.sink, topk.tenant, topk.home, topk.source_state, topk.closer, topk.partition,
    topk.rule_count, topk.adoption, topk.list, topk.live, topk.win, topk.win_state, topk.archive, topk.worker, topk.publisher, topk.publication,
    topk.tenant_use, topk.tenant_seen, topk.dimension_day, topk.list_day, topk.list_use,
    topk.pane_offset, topk.seek_log, topk.replay_job TO topk_reader;
GRANT SELECT ON topk.stat_source, topk.stat_rule, topk.stat_worker, topk.stat_watermark, topk.stat_partition, topk.stat_sink,
    topk.stat_replay TO topk_reader;
GRANT SELECT ON topk.window_sketch, topk.top_items, topk.top_items_by_value, topk.global_sketch, topk.top_items_global, topk.stat_tenant,
    topk.stat_dimension TO topk_reader, topk_tenant;
GRANT SELECT, DELETE ON topk.dead_letter, topk.late_event TO topk_operator;
GRANT SELECT ON topk.dead_letter_row, topk.dead_letter_block TO topk_operator;

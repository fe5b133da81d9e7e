-- Role by role, and function by function: who may call what in the schema topk, and read or change which table.
-- A function or table that is not named here fails the test.
BEGIN;
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pgtap;
CREATE EXTENSION IF NOT EXISTS topk;
SELECT no_plan();
CREATE ROLE topk_test_nobody;

-- Each class: who is in it.
CREATE TEMP TABLE allowed (class text, roles text[]);
INSERT INTO allowed VALUES
    ('admin', '{topk_admin}'),
    ('operator', '{topk_admin,topk_operator}'),
    ('reader', '{topk_admin,topk_operator,topk_reader}'),
    ('result', '{topk_admin,topk_operator,topk_reader,topk_tenant}'),
    ('internal', '{}');

CREATE TEMP TABLE classified (name text, class text);
INSERT INTO classified SELECT name, class FROM (VALUES
    ('admin', '{create_source,alter_source,drop_source,create_rule,alter_rule,drop_rule,create_sink,alter_sink,drop_sink,
        create_window,alter_window,drop_window,create_tenant,alter_tenant,drop_tenant,adopt}'::text[]),
    ('operator', '{pause,resume,set_parallelism,test_rule,check_source,preview,resync_sink,retry_dead_letters,purge_dead_letters,
        seek,replay,cancel_replay,delete_dead_letter}'),
    ('reader', '{mirror,mirror_window,mirror_global,mirror_items,sink_windows,window_lists,redis_expiry,redis_key,redis_escape,template_variables,
        source_watermark,process_runs,at_home,system_id,tenant_settings,dead_letter_reasons}'),
    ('result', '{top,top_between,source_id,find_window,newest_window,check_retained,check_filter,check_n,check_range,check_stretch,
        find_lists,live_panes,live_lists,window_start,window_end,first_instant,next_edge,coarsest_window,kept_since,
        chain_tops,window_chain,chain_cover,best_chain,cover,stretch_query,bounded_items}'),
    ('internal', '{store_window,closable,compress,fold,fold_step,add_window,admit_tenants,admit_values,at_us,caller,changes,check_coarsest,check_dimension,check_dimensions,
        check_reason,check_rule_filter,check_filter_test,check_filter_texts,check_hash_tag,check_lateness,check_missing,check_time_zone,check_window_row,collect_lists,
        default_origin,fill_window,filling_window,filter_conditions,forget_rule_counts,hash_tag,is_cluster,lock_windows,make_leaf,nests,
        note_nesting,pause_for,probe,rule_dimensions,rule_named,trim,trim_dead_letters,trim_late_events,unpack_letters,unused_lists,with_hash_tag,check_interval,check_name,
        check_path,check_reset,check_rule_row,check_server,check_sink_overlap,check_sink_row,check_source_row,check_template,
        check_tenant_row,claim_partitions,close,close_day,close_due,close_rests,closed_days,config_changed,drop_leaf,find_list,find_tenant,forget_days,
        forget_idle,intern_family,intern_list,kafka_validator,leaf_size,make_leaves,path_error,redis_validator,
        unshare_list,unshare_lists,unshare_tenant_lists,us,wake,
        move_offset,check_seek,resolve_seek,forget_pane_offsets,prune_pane_offsets,note_archived,time_path_changed,
        replay_gone,whole_windows,windows_within,replay_obstacle,replay_windows,begin_replay,replay_ranges,merge_replay,hold_replay,
        check_held,retained_from,swap_panes,swap_windows,swap_replay}')) v(class, names), unnest(v.names) AS name;

CREATE TEMP VIEW func AS
    SELECT p.oid, p.proname::text AS name, p.prosecdef, p.proconfig FROM pg_proc p WHERE p.pronamespace = 'topk'::regnamespace;
SELECT is_empty('SELECT name FROM func EXCEPT SELECT name FROM classified', 'every function has a class');
SELECT is_empty('SELECT name FROM classified EXCEPT SELECT name FROM func', 'every function that has a class exists');

SELECT is(has_function_privilege(r.name, f.oid, 'EXECUTE'), r.name = ANY (a.roles),
          format('%s %s call %s', r.name, CASE WHEN r.name = ANY (a.roles) THEN 'may' ELSE 'may not' END, f.oid::regprocedure))
FROM func f JOIN classified c USING (name) JOIN allowed a USING (class)
CROSS JOIN unnest('{topk_admin,topk_operator,topk_reader,topk_tenant,topk_test_nobody}'::text[]) r(name)
ORDER BY f.name, r.name;

SELECT is(f.prosecdef, c.class IN ('admin', 'operator'), f.name || ': whose rights it runs with') FROM func f JOIN classified c USING (name);
SELECT is(f.proconfig, '{"search_path=pg_catalog, pg_temp"}', f.name || ': a fixed search_path') FROM func f WHERE f.prosecdef;

-- The type is everybody's.
SELECT ok(has_function_privilege('topk_test_nobody', p.oid, 'EXECUTE'), 'everybody may call ' || p.oid::regprocedure)
FROM pg_proc p JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'topk'
WHERE p.pronamespace <> 'topk'::regnamespace;

-- Tables and views.
CREATE TEMP TABLE readable (name text, class text);
INSERT INTO readable SELECT name, class FROM (VALUES
    ('reader', '{source,rule,sink,home,source_state,closer,partition,rule_count,adoption,worker,publisher,publication,tenant_seen,list_day,list_use,
        stat_source,stat_rule,stat_worker,stat_watermark,stat_partition,stat_sink,stat_replay,seek_log,replay_job,pane_offset}'::text[]),
    -- the tables among them through their policies (row_security.sql)
    ('result', '{source_window,tenant,list,live,win,win_state,archive,tenant_use,dimension_day,window_sketch,top_items,top_items_by_value,global_sketch,top_items_global,stat_tenant,stat_dimension}'),
    ('operator', '{dead_letter,dead_letter_row,dead_letter_block,late_event}'),
    ('internal', '{replay_pane,replay_win}')) v(class, names), unnest(v.names) AS name;
CREATE TEMP VIEW relation AS
    SELECT c.oid, c.relname::text AS name, c.relkind FROM pg_class c WHERE c.relnamespace = 'topk'::regnamespace AND c.relkind IN ('r', 'p', 'v');
SELECT is_empty('SELECT name FROM relation EXCEPT SELECT name FROM readable', 'every table has a class');
SELECT is_empty('SELECT name FROM readable EXCEPT SELECT name FROM relation', 'every table that has a class exists');

SELECT is(has_table_privilege(r.name, t.oid, 'SELECT'), r.name = ANY (a.roles),
          format('%s %s read %s', r.name, CASE WHEN r.name = ANY (a.roles) THEN 'may' ELSE 'may not' END, t.name))
FROM relation t JOIN readable USING (name) JOIN allowed a USING (class)
CROSS JOIN unnest('{topk_admin,topk_operator,topk_reader,topk_tenant,topk_test_nobody}'::text[]) r(name)
ORDER BY t.name, r.name;
SELECT is_empty($$
    SELECT r, t.name, p FROM relation t, unnest('{topk_admin,topk_operator,topk_reader,topk_tenant,topk_test_nobody}'::text[]) r,
        unnest('{INSERT,UPDATE,DELETE,TRUNCATE,REFERENCES,TRIGGER}'::text[]) p
    WHERE has_table_privilege(r, t.oid, p) AND NOT (t.name IN ('dead_letter', 'late_event') AND p = 'DELETE' AND r IN ('topk_admin', 'topk_operator'))$$,
    'nobody changes a table, but operators remove letters');
SELECT is_empty($$
    SELECT r, c.relname FROM pg_class c, unnest('{topk_admin,topk_operator,topk_reader,topk_tenant,topk_test_nobody}'::text[]) r
    WHERE c.relkind = 'S' AND c.relnamespace = 'topk'::regnamespace AND has_sequence_privilege(r, c.oid, 'USAGE, SELECT, UPDATE')$$,
    'nobody has a sequence');
SELECT is_empty($$SELECT relname FROM pg_class WHERE relnamespace = 'topk'::regnamespace AND relkind = 'v'
    AND NOT coalesce(reloptions, '{}') @> '{security_invoker=true}'$$, 'every view runs with the rights of its reader');
SELECT ok(NOT has_schema_privilege('topk_test_nobody', 'topk', 'USAGE'), 'the schema is not for PUBLIC');
SELECT ok(NOT has_foreign_data_wrapper_privilege('topk_operator', 'topk_kafka', 'USAGE'), 'only admins make servers');

-- What an admin creates is his, on servers that he may use.
CREATE SERVER k FOREIGN DATA WRAPPER topk_kafka OPTIONS (bootstrap_servers 'x:1');
CREATE ROLE topk_test_admin IN ROLE topk_admin;
CREATE ROLE topk_test_operator IN ROLE topk_operator;
SET LOCAL ROLE topk_test_admin;
SELECT throws_ok($$SELECT topk.create_source('s', 'k', 't')$$, '42501', 'permission denied for foreign server k',
                 'a server that the caller may not use');
RESET ROLE;
GRANT USAGE ON FOREIGN SERVER k TO topk_test_admin;
SET LOCAL ROLE topk_test_admin;
SELECT lives_ok($$SELECT topk.create_source('s', 'k', 't'), topk.create_rule('s', 'e', 'url', 'a', '{"d": "b"}')$$, 'an admin creates a source');
SELECT is(owner::regrole, 'topk_test_admin', '... and is its owner') FROM topk.source;
SELECT lives_ok($$SELECT topk.create_tenant('s', 'x', k => 5), topk.alter_tenant('s', 'x', enabled => false), topk.drop_tenant('s', 'x')$$,
                'an admin has tenants');
SELECT throws_ok($$UPDATE topk.source SET owner = 10$$, '42501', NULL, '... but may not write the tables');
SET LOCAL ROLE topk_test_operator;
SELECT lives_ok($$SELECT topk.pause('s')$$, 'an operator pauses');
SELECT throws_ok($$SELECT topk.seek('s', to_position => 'latest')$$, '42704', NULL, '... seeks, where there is a partition');
SELECT throws_ok($$SELECT topk.replay('s', 'yesterday', 'today')$$, '55000', NULL, '... replays, where there is something to read');
SELECT throws_ok($$SELECT topk.drop_source('s')$$, '42501', NULL, '... but may not drop');
SELECT is(state, 'paused', '... and sees it') FROM topk.stat_source;
SET LOCAL ROLE topk_reader;
SELECT is(count(*), 1::bigint, 'a reader reads statistics') FROM topk.stat_source;
SELECT throws_ok('SELECT FROM topk.dead_letter', '42501', NULL, '... but no message');
RESET ROLE;
SELECT * FROM finish();
ROLLBACK;

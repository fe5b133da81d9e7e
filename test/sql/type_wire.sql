-- text, binary and bytea forms: lossless, the same for ever, and checked
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS topk;
RESET client_min_messages;
-- what is written
CREATE TEMP TABLE sketch (name text, s topk);
INSERT INTO sketch SELECT 'one', topk_agg('a');
INSERT INTO sketch SELECT 'exact', topk_agg(x, 2, w, 3) FROM (VALUES ('a', 300), ('b', 1), ('', 70000)) v(x, w);
INSERT INTO sketch SELECT 'bigint', topk_agg(x, 2, 5, 3) FROM (VALUES (0), (-1), (256)) v(x);
INSERT INTO sketch SELECT 'uuid', topk_agg('01234567-89ab-cdef-0123-456789abcdef'::uuid, 1, 9223372036854775807);
INSERT INTO sketch SELECT 'not exact', topk_agg('item-' || i % (1 + i % 2000) || repeat('x', i % 2), 2, i, 4)
    FROM generate_series(1, 20000) i;
INSERT INTO sketch SELECT 'flat', topk_agg('item-' || i, 2, 1, 4) FROM generate_series(1, 20000) i;
SELECT name, s FROM sketch;

-- version 1 as it was released: every later build must read it, whatever it writes itself
CREATE TEMP TABLE fixture (name text, s topk);
INSERT INTO fixture VALUES
    ('one', '\x01050164ac02010001010161'),
    ('exact', '\x01010102039da5040003f0a204c4a004ab020001016162'),
    ('bigint', '\x01010202030f00030500007fffffffffffffff80000000000000008000000000000100'),
    ('uuid', '\x0101030103ffffffffffffffff7f0001ffffffffffffffff7f0123456789abcdef0123456789abcdef'),
    ('not exact', '\x010001020490d2af5f98a83704f2a213a7d501f6b407e4fa04c9a73789a837f1a737f9a637080808096974656d2d3739786974656d2d3135786974656d2d3339786974656d2d31353978'),
    ('flat', '\x0104010204a09c01040400000000010101010a6974656d2d31353530366974656d2d31353531366974656d2d31353636316974656d2d3135363936');
SELECT name, topk_item_type(s), topk_k(s), topk_capacity(s), topk_total(s), topk_max_error(s), topk_is_exact(s) FROM fixture;
SELECT name, i.* FROM fixture, topk_items(s, 10) i;
SELECT count(*) AS same_when_written_anew FROM fixture WHERE topk_final(s)::bytea = s::bytea;

-- lossless
INSERT INTO sketch SELECT 'large', topk_agg('item-' || i % (1 + i % 5000), 100, i) FROM generate_series(1, 30000) i;
SELECT count(*), count(*) FILTER (WHERE s::text::topk::text = s::text) AS text,
       count(*) FILTER (WHERE s::bytea::topk::bytea = s::bytea) AS bytea,
       count(*) FILTER (WHERE topk_send(s) = s::bytea) AS send,
       count(*) FILTER (WHERE upper(substr(s::text, 3)) = upper(encode(s::bytea, 'hex'))) AS hex FROM sketch;
SELECT count(*) AS upper_case FROM sketch WHERE ('\x' || upper(substr(s::text, 3)))::topk::bytea = s::bytea;
CREATE TEMP TABLE copied (name text, s topk);
CREATE FUNCTION pg_temp.copy_binary(source text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    file text := current_setting('data_directory') || '/type_wire.copy';
BEGIN
    EXECUTE format('COPY (%s) TO %L (FORMAT binary)', source, file);
    EXECUTE format('COPY copied FROM %L (FORMAT binary)', file);
    RETURN 'copied';
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE || ' ' || SQLERRM;
END $$;
SELECT pg_temp.copy_binary('SELECT name, s FROM sketch');
SELECT count(*) AS same FROM sketch JOIN copied USING (name) WHERE sketch.s::bytea = copied.s::bytea;
SELECT pg_temp.copy_binary($$SELECT 'bytea', s::bytea || '\x00' FROM sketch$$);
SELECT pg_temp.copy_binary($$SELECT 'empty', ''::bytea$$);
SELECT count(*) = count(DISTINCT name) AS nothing_more FROM copied;

-- what is read back merges as well as what was never stored
SELECT (a.s || b.s)::bytea = (a.s::text::topk || b.s::text::topk)::bytea AS same
    FROM sketch a, sketch b WHERE a.name = 'large' AND b.name = 'exact';

-- compact: keys, 4.5 bytes an entry, 32
SELECT octet_length(s::bytea) <= (SELECT sum(octet_length(item) + 4.5) + 32 FROM topk_items(s, 300)) AS large FROM sketch WHERE name = 'large';
SELECT octet_length(topk_agg('0123456789abcde' || i)::bytea) <= 256 AS ten_items FROM generate_series(0, 9) i;
SELECT attstorage FROM pg_attribute WHERE attrelid = 'sketch'::regclass AND attname = 's';

-- each byte changed, each truncation, bytes too many: an error with the right code, or a sketch that serves every function and aggregate
CREATE FUNCTION pg_temp.read_all(s topk) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM topk_total(s), topk_max_error(s), topk_k(s), topk_capacity(s), topk_is_exact(s), topk_item_type(s), s::text, s::jsonb, s::bytea,
        topk_send(s), topk_hash(s), s = s, s <> s, topk_final(s), topk_heavy_hitters_complete(s, 0.1);
    PERFORM topk_agg(item, 10, lower_bound) FROM topk_items(s, 10);
    PERFORM topk_agg(item, 10, lower_bound, 20) FROM topk_heavy_hitters(s, 0.1);
    CASE topk_item_type(s)
        WHEN 'text' THEN
            PERFORM topk_estimate(s, 'a'), topk_from_datasketches(topk_to_datasketches(s));
        WHEN 'bigint' THEN
            PERFORM topk_estimate(s, 256), topk_from_datasketches(topk_to_datasketches(s), 'bigint');
            PERFORM topk_agg(item) FROM topk_items_bigint(s, 10);
        WHEN 'uuid' THEN
            PERFORM topk_estimate(s, '01234567-89ab-cdef-0123-456789abcdef'::uuid);
            PERFORM topk_agg(item) FROM topk_items_uuid(s, 10);
    END CASE;
END $$;
-- what adds to a sketch may come to a total that is out of range, and to no other error
CREATE FUNCTION pg_temp.add_all(s topk) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    way int;
BEGIN
    FOR way IN 1..4 LOOP
        BEGIN
            CASE way
                WHEN 1 THEN PERFORM s || s;
                WHEN 2 THEN PERFORM topk_merge(x), topk_total(topk_merge(x)) FROM (VALUES (s), (NULL), (s)) v(x);
                WHEN 3 THEN PERFORM topk_merge(x) OVER (ORDER BY n ROWS 1 PRECEDING) FROM (VALUES (1, s), (2, NULL), (3, s), (4, s)) v(n, x);
                WHEN 4 THEN PERFORM CASE topk_item_type(s) WHEN 'text' THEN topk_add(s, 'new') WHEN 'bigint' THEN topk_add(s, 77)
                    ELSE topk_add(s, '01234567-89ab-cdef-0123-000000000000'::uuid) END;
            END CASE;
        EXCEPTION WHEN numeric_value_out_of_range THEN
            NULL;
        END;
    END LOOP;
END $$;
-- bytes that nobody has checked, as a damaged page would have them
CREATE FUNCTION pg_temp.damaged(bytea, int DEFAULT 1) RETURNS topk LANGUAGE internal IMMUTABLE STRICT AS 'bytea_substr_no_len';
CREATE FUNCTION pg_temp.try(bytes bytea, form text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    s topk;
BEGIN
    s := CASE form WHEN 'text' THEN bytes::text::topk WHEN 'binary' THEN bytes::topk ELSE pg_temp.damaged(bytes) END;
    PERFORM pg_temp.read_all(s);
    PERFORM pg_temp.add_all(s);
    RETURN 'read';
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE;
END $$;
CREATE FUNCTION pg_temp.try_each(bytes bytea) RETURNS TABLE (call text, outcome text) LANGUAGE plpgsql AS $$
BEGIN
    FOREACH call IN ARRAY ARRAY['topk_total($1)', 'topk_max_error($1)', 'topk_k($1)', 'topk_capacity($1)', 'topk_is_exact($1)', 'topk_item_type($1)',
        'topk_send($1)', '$1::text', '$1::jsonb', 'topk_hash($1)', '$1 = $1', 'topk_final($1)', 'topk_items($1, 10)', 'topk_items_bigint($1)',
        'topk_items_uuid($1)', 'topk_heavy_hitters($1, 0.1)', 'topk_heavy_hitters_complete($1, 0.1)', 'topk_estimate($1, ''a'')',
        'topk_estimate($1, 256)', 'topk_add($1, ''new'')', 'topk_add($1, 77)', '$1 || $1', 'topk_merge($1)', 'topk_merge($1) OVER ()',
        'topk_to_datasketches($1)']
    LOOP
        BEGIN
            EXECUTE 'SELECT ' || call USING pg_temp.damaged(bytes);
            outcome := 'read';
        EXCEPTION WHEN OTHERS THEN
            outcome := SQLSTATE;
        END;
        RETURN NEXT;
    END LOOP;
END $$;
CREATE TEMP TABLE hostile AS
    SELECT set_byte(s::bytea, i, b) AS bytes FROM sketch, generate_series(0, octet_length(s::bytea) - 1) i, generate_series(0, 255, 5) b
        WHERE name <> 'large'
    UNION ALL SELECT set_byte(s::bytea, i, b) FROM sketch, generate_series(0, 400) i, unnest(ARRAY[0, 1, 127, 128, 255]) b
        WHERE name = 'large'
    UNION ALL SELECT substr(s::bytea, 1, n) FROM sketch, generate_series(0, octet_length(s::bytea) - 1) n
    UNION ALL SELECT s::bytea || '\x00' FROM sketch
    UNION ALL SELECT decode(string_agg(md5(i || '/' || j), ''), 'hex') FROM generate_series(1, 200) i, generate_series(1, 4) j GROUP BY i
    UNION ALL SELECT '\x01'::bytea || decode(md5(i::text), 'hex') FROM generate_series(1, 200) i
    UNION ALL SELECT '\x010001'::bytea || decode(md5(i::text), 'hex') FROM generate_series(1, 200) i;
SELECT DISTINCT form, pg_temp.try(bytes, form) AS outcome FROM hostile, unnest(ARRAY['binary', 'stored', 'text']) form ORDER BY 1, 2;
-- each function by itself, as the first to refuse hides the others; a sixteenth of all that
SELECT call, string_agg(DISTINCT outcome, ' ' ORDER BY outcome) AS outcomes
    FROM (SELECT bytes FROM hostile WHERE left(md5(bytes), 1) = '0' AND pg_temp.try(bytes, 'binary') <> 'read') h, LATERAL pg_temp.try_each(bytes) GROUP BY call ORDER BY call;
SELECT count(*) AS truncated_but_read FROM sketch, generate_series(0, octet_length(s::bytea) - 1) n
    WHERE pg_temp.try(substr(s::bytea, 1, n), 'binary') = 'read';
SELECT count(*) AS longer_but_read FROM sketch WHERE pg_temp.try(s::bytea || '\x00', 'binary') = 'read';

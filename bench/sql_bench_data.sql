-- The streams of the SQL bench; :rows is the length of the large ones.
CREATE EXTENSION topk;
SET work_mem = '1GB';

-- items of 16 bytes whose order says nothing about their weight
CREATE FUNCTION item(id bigint) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT 'item-' || lpad(to_hex(id * 2654435761 % 4294967296), 11, '0')
$$;

-- a Zipf stream over a million ids, drawn by their cumulative shares
CREATE PROCEDURE make_zipf(name text, skew float8, length bigint) LANGUAGE plpgsql AS $$
DECLARE
    shares float8[];
BEGIN
    SELECT array_agg(share ORDER BY id) INTO shares FROM (
        SELECT id, sum(weight) OVER (ORDER BY id) / sum(weight) OVER () AS share
        FROM (SELECT id, id::float8 ^ -skew AS weight FROM generate_series(1, 1000000) id) w) s;
    PERFORM setseed(0.5);
    EXECUTE format('CREATE UNLOGGED TABLE %I AS
                    SELECT item(width_bucket(random(), $1) + 1) AS item FROM generate_series(1, $2)', name)
        USING shares, length;
END $$;

CALL make_zipf('zipf_0_8', 0.8, :rows);
CALL make_zipf('zipf_1_0', 1.0, :rows);
CALL make_zipf('zipf_1_5', 1.5, :rows);
CREATE UNLOGGED TABLE all_distinct AS SELECT item(i) AS item FROM generate_series(1, :rows) i;

-- groups whose rows come one from each in turn; 1000 rows a group, and 20
CREATE UNLOGGED TABLE groups_large AS
    SELECT (n * 7919 % (:rows / 1000))::int AS g, item FROM (SELECT item, row_number() OVER () AS n FROM zipf_1_0) t;
CREATE UNLOGGED TABLE groups_small AS
    SELECT (n * 7919 % (:rows / 100))::int AS g, item FROM (SELECT item, row_number() OVER () AS n FROM zipf_1_0) t
    WHERE n <= :rows / 5;
CREATE UNLOGGED TABLE groups_many AS
    SELECT (n * 7919 % (:rows / 10))::int AS g, item
    FROM (SELECT item, row_number() OVER () AS n FROM (TABLE zipf_1_0 UNION ALL TABLE zipf_1_0) u) t;

-- a day of minutes
CREATE UNLOGGED TABLE pane AS
    SELECT n * 1440 / (:rows + 1) AS minute, topk_agg(item, 100, 1, 300) AS s, topk_agg(item, 100, 1, 1024) AS large
    FROM (SELECT item, row_number() OVER () AS n FROM zipf_1_0) t GROUP BY 1;
CREATE UNLOGGED TABLE pane_0_8 AS
    SELECT n * 1440 / (:rows + 1) AS minute, topk_agg(item) AS s FROM (SELECT item, row_number() OVER () AS n FROM zipf_0_8) t GROUP BY 1;

CREATE UNLOGGED TABLE truth AS
    SELECT 'zipf_0_8' AS stream, item, count(*) AS f FROM zipf_0_8 GROUP BY item
    UNION ALL SELECT 'zipf_1_0', item, count(*) FROM zipf_1_0 GROUP BY item
    UNION ALL SELECT 'zipf_1_5', item, count(*) FROM zipf_1_5 GROUP BY item;
VACUUM ANALYZE;

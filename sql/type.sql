-- complain if this script is sourced by hand rather than by CREATE EXTENSION
\echo Use "CREATE EXTENSION topk" to load this file. \quit

-- The type topk, its aggregates and its accessors. They live in the schema that
-- CREATE EXTENSION names and need nothing but the module topk: no preload, no
-- third-party library.

-- ---------------------------------------------------------------------------
-- type
-- ---------------------------------------------------------------------------

CREATE TYPE topk;

CREATE FUNCTION topk_in(cstring) RETURNS topk
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION topk_out(topk) RETURNS cstring
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION topk_recv(internal) RETURNS topk
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION topk_send(topk) RETURNS bytea
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

-- The stored form is compact as it is: compressing it costs time and gains nothing.
CREATE TYPE topk (
    INPUT = topk_in,
    OUTPUT = topk_out,
    RECEIVE = topk_recv,
    SEND = topk_send,
    INTERNALLENGTH = VARIABLE,
    STORAGE = external
);

COMMENT ON TYPE topk IS 'top-k sketch: the heaviest items of a stream, with bounds that always hold';

-- ---------------------------------------------------------------------------
-- casts
-- ---------------------------------------------------------------------------

CREATE FUNCTION topk_from_bytea(bytea) RETURNS topk
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION topk_to_jsonb(topk) RETURNS jsonb
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 100;

CREATE CAST (topk AS bytea) WITHOUT FUNCTION AS ASSIGNMENT;

CREATE CAST (bytea AS topk) WITH FUNCTION topk_from_bytea(bytea) AS ASSIGNMENT;

CREATE CAST (topk AS jsonb) WITH FUNCTION topk_to_jsonb(topk) AS ASSIGNMENT;

COMMENT ON FUNCTION topk_from_bytea(bytea) IS 'sketch of its stored form, which is checked first';
COMMENT ON FUNCTION topk_to_jsonb(topk) IS 'everything a sketch knows, its top k included, as a document';

-- ---------------------------------------------------------------------------
-- equality
-- ---------------------------------------------------------------------------

-- Equal sketches have equal bytes, so what serves bytea serves here: DISTINCT, UNION,
-- GROUP BY and logical replication of rows that hold sketches.

CREATE FUNCTION topk_eq(topk, topk) RETURNS boolean
    AS 'byteaeq' LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION topk_ne(topk, topk) RETURNS boolean
    AS 'byteane' LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION topk_hash(topk) RETURNS int
    AS 'hashvarlena' LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE;

CREATE OPERATOR = (
    LEFTARG = topk, RIGHTARG = topk, FUNCTION = topk_eq, COMMUTATOR = =, NEGATOR = <>,
    RESTRICT = eqsel, JOIN = eqjoinsel, HASHES
);

CREATE OPERATOR <> (
    LEFTARG = topk, RIGHTARG = topk, FUNCTION = topk_ne, COMMUTATOR = <>, NEGATOR = =,
    RESTRICT = neqsel, JOIN = neqjoinsel
);

CREATE OPERATOR CLASS topk_ops DEFAULT FOR TYPE topk USING hash AS
    OPERATOR 1 =,
    FUNCTION 1 topk_hash(topk);

-- ---------------------------------------------------------------------------
-- aggregates
-- ---------------------------------------------------------------------------

-- The state is the type itself, expanded in memory, so that partial states travel
-- between parallel workers (and distributed nodes) without serialization functions.
-- SSPACE tells the planner what a state takes: some 1 kB for 20 items, 40 kB for a
-- thousand, 120 kB at most with the default capacity. Too low makes hash aggregation
-- spill, which it does well; too high makes it sort, which costs more.

CREATE FUNCTION topk_final(topk) RETURNS topk
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE;

CREATE FUNCTION topk_combine(topk, topk) RETURNS topk
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE;

CREATE AGGREGATE topk_merge(topk) (
    SFUNC = topk_combine,
    STYPE = topk,
    SSPACE = 32768,
    FINALFUNC = topk_final,
    COMBINEFUNC = topk_combine,
    PARALLEL = SAFE
);

COMMENT ON AGGREGATE topk_merge(topk) IS 'one sketch of all that the sketches have seen';

-- text items

CREATE FUNCTION topk_agg_trans(topk, text) RETURNS topk
    AS 'MODULE_PATHNAME', 'topk_agg_trans_text' LANGUAGE C IMMUTABLE PARALLEL SAFE;

CREATE FUNCTION topk_agg_trans(topk, text, int) RETURNS topk
    AS 'MODULE_PATHNAME', 'topk_agg_trans_text' LANGUAGE C IMMUTABLE PARALLEL SAFE;

CREATE FUNCTION topk_agg_trans(topk, text, int, bigint) RETURNS topk
    AS 'MODULE_PATHNAME', 'topk_agg_trans_text' LANGUAGE C IMMUTABLE PARALLEL SAFE;

CREATE FUNCTION topk_agg_trans(topk, text, int, bigint, int) RETURNS topk
    AS 'MODULE_PATHNAME', 'topk_agg_trans_text' LANGUAGE C IMMUTABLE PARALLEL SAFE;

CREATE AGGREGATE topk_agg(item text) (
    SFUNC = topk_agg_trans, STYPE = topk, SSPACE = 4096, FINALFUNC = topk_final,
    COMBINEFUNC = topk_combine, PARALLEL = SAFE
);

CREATE AGGREGATE topk_agg(item text, k int) (
    SFUNC = topk_agg_trans, STYPE = topk, SSPACE = 4096, FINALFUNC = topk_final,
    COMBINEFUNC = topk_combine, PARALLEL = SAFE
);

CREATE AGGREGATE topk_agg(item text, k int, weight bigint) (
    SFUNC = topk_agg_trans, STYPE = topk, SSPACE = 4096, FINALFUNC = topk_final,
    COMBINEFUNC = topk_combine, PARALLEL = SAFE
);

CREATE AGGREGATE topk_agg(item text, k int, weight bigint, capacity int) (
    SFUNC = topk_agg_trans, STYPE = topk, SSPACE = 4096, FINALFUNC = topk_final,
    COMBINEFUNC = topk_combine, PARALLEL = SAFE
);

COMMENT ON AGGREGATE topk_agg(text) IS 'sketch of the 100 most frequent items';
COMMENT ON AGGREGATE topk_agg(text, int) IS 'sketch of the k most frequent items';
COMMENT ON AGGREGATE topk_agg(text, int, bigint) IS 'sketch of the k heaviest items';
COMMENT ON AGGREGATE topk_agg(text, int, bigint, int)
    IS 'sketch of the k heaviest items, off by total / capacity at most';

-- bigint items

CREATE FUNCTION topk_agg_trans(topk, bigint) RETURNS topk
    AS 'MODULE_PATHNAME', 'topk_agg_trans_bigint' LANGUAGE C IMMUTABLE PARALLEL SAFE;

CREATE FUNCTION topk_agg_trans(topk, bigint, int) RETURNS topk
    AS 'MODULE_PATHNAME', 'topk_agg_trans_bigint' LANGUAGE C IMMUTABLE PARALLEL SAFE;

CREATE FUNCTION topk_agg_trans(topk, bigint, int, bigint) RETURNS topk
    AS 'MODULE_PATHNAME', 'topk_agg_trans_bigint' LANGUAGE C IMMUTABLE PARALLEL SAFE;

CREATE FUNCTION topk_agg_trans(topk, bigint, int, bigint, int) RETURNS topk
    AS 'MODULE_PATHNAME', 'topk_agg_trans_bigint' LANGUAGE C IMMUTABLE PARALLEL SAFE;

CREATE AGGREGATE topk_agg(item bigint) (
    SFUNC = topk_agg_trans, STYPE = topk, SSPACE = 4096, FINALFUNC = topk_final,
    COMBINEFUNC = topk_combine, PARALLEL = SAFE
);

CREATE AGGREGATE topk_agg(item bigint, k int) (
    SFUNC = topk_agg_trans, STYPE = topk, SSPACE = 4096, FINALFUNC = topk_final,
    COMBINEFUNC = topk_combine, PARALLEL = SAFE
);

CREATE AGGREGATE topk_agg(item bigint, k int, weight bigint) (
    SFUNC = topk_agg_trans, STYPE = topk, SSPACE = 4096, FINALFUNC = topk_final,
    COMBINEFUNC = topk_combine, PARALLEL = SAFE
);

CREATE AGGREGATE topk_agg(item bigint, k int, weight bigint, capacity int) (
    SFUNC = topk_agg_trans, STYPE = topk, SSPACE = 4096, FINALFUNC = topk_final,
    COMBINEFUNC = topk_combine, PARALLEL = SAFE
);

-- uuid items

CREATE FUNCTION topk_agg_trans(topk, uuid) RETURNS topk
    AS 'MODULE_PATHNAME', 'topk_agg_trans_uuid' LANGUAGE C IMMUTABLE PARALLEL SAFE;

CREATE FUNCTION topk_agg_trans(topk, uuid, int) RETURNS topk
    AS 'MODULE_PATHNAME', 'topk_agg_trans_uuid' LANGUAGE C IMMUTABLE PARALLEL SAFE;

CREATE FUNCTION topk_agg_trans(topk, uuid, int, bigint) RETURNS topk
    AS 'MODULE_PATHNAME', 'topk_agg_trans_uuid' LANGUAGE C IMMUTABLE PARALLEL SAFE;

CREATE FUNCTION topk_agg_trans(topk, uuid, int, bigint, int) RETURNS topk
    AS 'MODULE_PATHNAME', 'topk_agg_trans_uuid' LANGUAGE C IMMUTABLE PARALLEL SAFE;

CREATE AGGREGATE topk_agg(item uuid) (
    SFUNC = topk_agg_trans, STYPE = topk, SSPACE = 4096, FINALFUNC = topk_final,
    COMBINEFUNC = topk_combine, PARALLEL = SAFE
);

CREATE AGGREGATE topk_agg(item uuid, k int) (
    SFUNC = topk_agg_trans, STYPE = topk, SSPACE = 4096, FINALFUNC = topk_final,
    COMBINEFUNC = topk_combine, PARALLEL = SAFE
);

CREATE AGGREGATE topk_agg(item uuid, k int, weight bigint) (
    SFUNC = topk_agg_trans, STYPE = topk, SSPACE = 4096, FINALFUNC = topk_final,
    COMBINEFUNC = topk_combine, PARALLEL = SAFE
);

CREATE AGGREGATE topk_agg(item uuid, k int, weight bigint, capacity int) (
    SFUNC = topk_agg_trans, STYPE = topk, SSPACE = 4096, FINALFUNC = topk_final,
    COMBINEFUNC = topk_combine, PARALLEL = SAFE
);

COMMENT ON AGGREGATE topk_agg(bigint) IS 'sketch of the 100 most frequent items';
COMMENT ON AGGREGATE topk_agg(bigint, int) IS 'sketch of the k most frequent items';
COMMENT ON AGGREGATE topk_agg(bigint, int, bigint) IS 'sketch of the k heaviest items';
COMMENT ON AGGREGATE topk_agg(bigint, int, bigint, int)
    IS 'sketch of the k heaviest items, off by total / capacity at most';
COMMENT ON AGGREGATE topk_agg(uuid) IS 'sketch of the 100 most frequent items';
COMMENT ON AGGREGATE topk_agg(uuid, int) IS 'sketch of the k most frequent items';
COMMENT ON AGGREGATE topk_agg(uuid, int, bigint) IS 'sketch of the k heaviest items';
COMMENT ON AGGREGATE topk_agg(uuid, int, bigint, int)
    IS 'sketch of the k heaviest items, off by total / capacity at most';

-- ---------------------------------------------------------------------------
-- items
-- ---------------------------------------------------------------------------

-- Planner support: rows that a set-returning function on a sketch yields.
CREATE FUNCTION topk_rows_support(internal) RETURNS internal
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION topk_items(
    sketch topk, n int DEFAULT NULL,
    OUT rank int, OUT item text, OUT estimate bigint, OUT lower_bound bigint, OUT upper_bound bigint,
    OUT guaranteed boolean)
    RETURNS SETOF record
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE COST 100 ROWS 100 SUPPORT topk_rows_support;

CREATE FUNCTION topk_items_bigint(
    sketch topk, n int DEFAULT NULL,
    OUT rank int, OUT item bigint, OUT estimate bigint, OUT lower_bound bigint, OUT upper_bound bigint,
    OUT guaranteed boolean)
    RETURNS SETOF record
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE COST 100 ROWS 100 SUPPORT topk_rows_support;

CREATE FUNCTION topk_items_uuid(
    sketch topk, n int DEFAULT NULL,
    OUT rank int, OUT item uuid, OUT estimate bigint, OUT lower_bound bigint, OUT upper_bound bigint,
    OUT guaranteed boolean)
    RETURNS SETOF record
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE COST 100 ROWS 100 SUPPORT topk_rows_support;

COMMENT ON FUNCTION topk_items(topk, int) IS 'the n (by default k) heaviest items, heaviest first';
COMMENT ON FUNCTION topk_items_bigint(topk, int) IS 'topk_items of a sketch of bigint items';
COMMENT ON FUNCTION topk_items_uuid(topk, int) IS 'topk_items of a sketch of uuid items';

CREATE FUNCTION topk_heavy_hitters(
    sketch topk, share double precision,
    OUT rank int, OUT item text, OUT estimate bigint, OUT lower_bound bigint, OUT upper_bound bigint,
    OUT guaranteed boolean, OUT complete boolean)
    RETURNS SETOF record
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 100 ROWS 10 SUPPORT topk_rows_support;

CREATE FUNCTION topk_heavy_hitters_complete(sketch topk, share double precision) RETURNS boolean
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION topk_heavy_hitters(topk, double precision)
    IS 'items that may weigh at least this share of the total; guaranteed: that surely do; complete: none is missing';
COMMENT ON FUNCTION topk_heavy_hitters_complete(topk, double precision)
    IS 'is no item missing that weighs at least this share of the total?';

CREATE FUNCTION topk_estimate(
    sketch topk, item text, OUT estimate bigint, OUT lower_bound bigint, OUT upper_bound bigint)
    RETURNS record
    AS 'MODULE_PATHNAME', 'topk_estimate_text' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 100;

CREATE FUNCTION topk_estimate(
    sketch topk, item bigint, OUT estimate bigint, OUT lower_bound bigint, OUT upper_bound bigint)
    RETURNS record
    AS 'MODULE_PATHNAME', 'topk_estimate_bigint' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 100;

CREATE FUNCTION topk_estimate(
    sketch topk, item uuid, OUT estimate bigint, OUT lower_bound bigint, OUT upper_bound bigint)
    RETURNS record
    AS 'MODULE_PATHNAME', 'topk_estimate_uuid' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 100;

COMMENT ON FUNCTION topk_estimate(topk, text) IS 'weight of one item, with its bounds';
COMMENT ON FUNCTION topk_estimate(topk, bigint) IS 'weight of one item, with its bounds';
COMMENT ON FUNCTION topk_estimate(topk, uuid) IS 'weight of one item, with its bounds';

-- ---------------------------------------------------------------------------
-- facts about a sketch
-- ---------------------------------------------------------------------------

CREATE FUNCTION topk_total(topk) RETURNS bigint
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION topk_max_error(topk) RETURNS bigint
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION topk_capacity(topk) RETURNS int
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION topk_k(topk) RETURNS int
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION topk_is_exact(topk) RETURNS boolean
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION topk_item_type(topk) RETURNS text
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION topk_capacity_for(epsilon double precision) RETURNS int
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION topk_total(topk) IS 'weight of all items counted, kept or not';
COMMENT ON FUNCTION topk_max_error(topk) IS 'no item without an entry weighs more, and no bounds are wider apart';
COMMENT ON FUNCTION topk_capacity(topk) IS 'entries that the sketch may keep';
COMMENT ON FUNCTION topk_k(topk) IS 'the k that the sketch was made for';
COMMENT ON FUNCTION topk_is_exact(topk) IS 'are all counts exact, with no item left out?';
COMMENT ON FUNCTION topk_item_type(topk) IS 'type of the items: text, bigint or uuid';
COMMENT ON FUNCTION topk_capacity_for(double precision) IS 'capacity for an error of at most epsilon times the total';

-- ---------------------------------------------------------------------------
-- changing and joining sketches
-- ---------------------------------------------------------------------------

CREATE FUNCTION topk_add(sketch topk, item text, weight bigint DEFAULT 1) RETURNS topk
    AS 'MODULE_PATHNAME', 'topk_add_text' LANGUAGE C IMMUTABLE PARALLEL SAFE COST 100;

CREATE FUNCTION topk_add(sketch topk, item bigint, weight bigint DEFAULT 1) RETURNS topk
    AS 'MODULE_PATHNAME', 'topk_add_bigint' LANGUAGE C IMMUTABLE PARALLEL SAFE COST 100;

CREATE FUNCTION topk_add(sketch topk, item uuid, weight bigint DEFAULT 1) RETURNS topk
    AS 'MODULE_PATHNAME', 'topk_add_uuid' LANGUAGE C IMMUTABLE PARALLEL SAFE COST 100;

CREATE FUNCTION topk_union(topk, topk) RETURNS topk
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 100;

CREATE OPERATOR || (
    LEFTARG = topk,
    RIGHTARG = topk,
    FUNCTION = topk_union
);

COMMENT ON FUNCTION topk_add(topk, text, bigint) IS 'the sketch with one more item counted';
COMMENT ON FUNCTION topk_add(topk, bigint, bigint) IS 'the sketch with one more item counted';
COMMENT ON FUNCTION topk_add(topk, uuid, bigint) IS 'the sketch with one more item counted';
COMMENT ON FUNCTION topk_union(topk, topk) IS 'implementation of || operator';
COMMENT ON OPERATOR || (topk, topk) IS 'merge two sketches';

-- ---------------------------------------------------------------------------
-- exchange with Apache DataSketches
-- ---------------------------------------------------------------------------

CREATE FUNCTION topk_to_datasketches(topk) RETURNS bytea
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 100;

CREATE FUNCTION topk_from_datasketches(sketch bytea, item_type text DEFAULT 'text') RETURNS topk
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 100;

COMMENT ON FUNCTION topk_to_datasketches(topk) IS 'the sketch as a frequent-items sketch of Apache DataSketches';
COMMENT ON FUNCTION topk_from_datasketches(bytea, text)
    IS 'sketch of a frequent-items sketch of Apache DataSketches, of strings (text) or longs (bigint)';

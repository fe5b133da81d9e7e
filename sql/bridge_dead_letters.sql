-- ---------------------------------------------------------------------------------------------------------
-- Dead letters: why there are any, reading them again, and throwing them away.
-- ---------------------------------------------------------------------------------------------------------

-- The vocabulary of topk.dead_letter.reason, in the order of the checks (bridge/extract.h).
CREATE FUNCTION topk.dead_letter_reasons(OUT reason text, OUT meaning text) RETURNS SETOF record LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    VALUES ('bad_json', 'not one JSON object in UTF-8, or nested too deeply, or longer than 64 MB'),
           ('bad_event_type', 'no event type, or one that is no string'),
           ('no_time', 'no event time'),
           ('bad_time', 'an event time that is neither ISO 8601 nor an epoch'),
           ('future_time', 'an event time further than max_future beyond the clock'),
           ('bad_tenant', 'no tenant, or one that is an object or an array'),
           ('tenant_too_long', 'a tenant of more than 512 bytes'),
           ('tenant_has_nul', 'a tenant with U+0000'),
           ('too_many_items', 'an array of more items than an event may have'),
           ('bad_item', 'an item that is an object or an array'),
           ('item_too_long', 'an item of more than 1,024 bytes'),
           ('item_has_nul', 'an item with U+0000'),
           ('bad_weight', 'a weight that is no whole number from 1 to 2^40'),
           ('bad_value', 'a dimension value that is an object or an array'),
           ('value_too_long', 'a dimension value of more than 512 bytes'),
           ('value_has_nul', 'a dimension value with U+0000')
$$;
COMMENT ON FUNCTION topk.dead_letter_reasons IS 'the reasons for which a message can be a dead letter';

CREATE FUNCTION topk.check_reason(reason text) RETURNS void LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_variable
BEGIN
    IF reason NOT IN (SELECT r.reason FROM topk.dead_letter_reasons() r) THEN
        RAISE EXCEPTION 'there is no reason "%" for a dead letter', reason
            USING ERRCODE = 'invalid_parameter_value', HINT = 'topk.dead_letter_reasons() lists them.';
    END IF;
END
$$;

CREATE VIEW topk.dead_letter WITH (security_invoker = true) AS
    SELECT r.dead_letter_id, r.source_id, r.topic, r.partition, r.kafka_offset, r.key, r.payload, r.payload_bytes, r.kafka_time, r.reason,
           r.created_at, r.queued, r.retries, r.bytes
    FROM topk.dead_letter_row r
    UNION ALL
    SELECT b.dead_letter_id + l.n - 1, b.source_id, b.topic, b.partition, l.kafka_offset, l.key, l.payload, octet_length(l.payload), l.kafka_time, b.reason,
           b.created_at, false, 0, 200 + coalesce(octet_length(l.key), 0) + octet_length(l.payload)
    FROM topk.dead_letter_block b
    CROSS JOIN LATERAL unnest(b.kafka_offsets, b.keys, b.payloads, b.kafka_times) WITH ORDINALITY AS l(kafka_offset, key, payload, kafka_time, n);
COMMENT ON VIEW topk.dead_letter IS 'messages that could not be read, and why';

-- Moves the letters of blocks into rows, with the ids that they have.  Returns how many; those of a block that
-- somebody else has moved or deleted meanwhile are not among them.
CREATE FUNCTION topk.unpack_letters(src integer, blocks bigint[], queue boolean DEFAULT false) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    moved bigint;
BEGIN
    WITH block AS (DELETE FROM topk.dead_letter_block b WHERE b.source_id = src AND b.dead_letter_id = ANY (blocks) RETURNING b.*)
    INSERT INTO topk.dead_letter_row (dead_letter_id, source_id, topic, partition, kafka_offset, key, payload, payload_bytes, kafka_time, reason,
        created_at, queued)
    SELECT b.dead_letter_id + l.n - 1, b.source_id, b.topic, b.partition, l.kafka_offset, l.key, l.payload, octet_length(l.payload), l.kafka_time, b.reason,
        b.created_at, queue
    FROM block b
    CROSS JOIN LATERAL unnest(b.kafka_offsets, b.keys, b.payloads, b.kafka_times) WITH ORDINALITY AS l(kafka_offset, key, payload, kafka_time, n);
    GET DIAGNOSTICS moved = ROW_COUNT;
    RETURN moved;
END
$$;

-- DELETE FROM topk.dead_letter, by whoever has that right.
CREATE FUNCTION topk.delete_dead_letter() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM topk.unpack_letters(b.source_id, ARRAY[b.dead_letter_id])
    FROM (SELECT * FROM topk.dead_letter_block o WHERE o.source_id = OLD.source_id AND o.dead_letter_id <= OLD.dead_letter_id
          ORDER BY o.dead_letter_id DESC LIMIT 1) b
    WHERE OLD.dead_letter_id < b.dead_letter_id + b.letters;
    DELETE FROM topk.dead_letter_row r WHERE r.source_id = OLD.source_id AND r.dead_letter_id = OLD.dead_letter_id;
    RETURN CASE WHEN FOUND THEN OLD END;
END
$$;
CREATE TRIGGER delete_dead_letter INSTEAD OF DELETE ON topk.dead_letter FOR EACH ROW EXECUTE FUNCTION topk.delete_dead_letter();

-- The worker of a letter's partition takes it, reads it by today's rules, and removes it in the flush that counts
-- it; what is dead again stays, with its new reason.
CREATE FUNCTION topk.retry_dead_letters(source text, reason text DEFAULT NULL, OUT queued bigint, OUT truncated bigint) LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    src      integer := topk.source_id(source);
    unpacked bigint;
BEGIN
    PERFORM topk.check_reason(reason);
    unpacked := topk.unpack_letters(src, ARRAY(SELECT b.dead_letter_id FROM topk.dead_letter_block b
                                               WHERE b.source_id = src AND (reason IS NULL OR b.reason = reason)), queue => true);
    UPDATE topk.dead_letter_row d SET queued = true
    WHERE d.source_id = src AND (reason IS NULL OR d.reason = reason) AND NOT d.queued AND octet_length(d.payload) = d.payload_bytes;
    GET DIAGNOSTICS queued = ROW_COUNT;
    queued := queued + unpacked;
    SELECT count(*) INTO truncated FROM topk.dead_letter_row d
    WHERE d.source_id = src AND (reason IS NULL OR d.reason = reason) AND octet_length(d.payload) IS DISTINCT FROM d.payload_bytes;
END
$$;
COMMENT ON FUNCTION topk.retry_dead_letters IS
    'reads dead letters again, by the rules of today, and counts each at most once; those that were kept in part cannot be';

CREATE FUNCTION topk.purge_dead_letters(source text, reason text DEFAULT NULL, older_than interval DEFAULT NULL) RETURNS bigint LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    src    integer := topk.source_id(source);
    purged bigint;
    others bigint;
BEGIN
    PERFORM topk.check_reason(reason);
    WITH block AS (DELETE FROM topk.dead_letter_block d
        WHERE d.source_id = src AND (reason IS NULL OR d.reason = reason) AND (older_than IS NULL OR d.created_at < now() - older_than)
        RETURNING d.letters)
    SELECT coalesce(sum(letters), 0) INTO purged FROM block;
    DELETE FROM topk.dead_letter_row d -- later than that: also those that somebody unpacked meanwhile
    WHERE d.source_id = src AND (reason IS NULL OR d.reason = reason) AND (older_than IS NULL OR d.created_at < now() - older_than);
    GET DIAGNOSTICS others = ROW_COUNT;
    RETURN purged + others;
END
$$;
COMMENT ON FUNCTION topk.purge_dead_letters IS 'deletes dead letters; returns how many (the counts of the statistics stay)';

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

-- The worker of a letter's partition takes it, reads it by today's rules, and removes it in the flush that counts
-- it; what is dead again stays, with its new reason.
CREATE FUNCTION topk.retry_dead_letters(source text, reason text DEFAULT NULL, OUT queued bigint, OUT truncated bigint) LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    src integer := topk.source_id(source);
BEGIN
    PERFORM topk.check_reason(reason);
    UPDATE topk.dead_letter d SET queued = true
    WHERE d.source_id = src AND (reason IS NULL OR d.reason = reason) AND NOT d.queued AND octet_length(d.payload) = d.payload_bytes;
    GET DIAGNOSTICS queued = ROW_COUNT;
    SELECT count(*) INTO truncated FROM topk.dead_letter d
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
BEGIN
    PERFORM topk.check_reason(reason);
    DELETE FROM topk.dead_letter d
    WHERE d.source_id = src AND (reason IS NULL OR d.reason = reason) AND (older_than IS NULL OR d.created_at < now() - older_than);
    GET DIAGNOSTICS purged = ROW_COUNT;
    RETURN purged;
END
$$;
COMMENT ON FUNCTION topk.purge_dead_letters IS 'deletes dead letters; returns how many (the counts of the statistics stay)';

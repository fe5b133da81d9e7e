/*
 * extract.c - turns one message into what it counts.
 *
 * tk_extract is a chain of steps in the order that extract.h fixes.  Each step reads one thing and either
 * lets the chain go on or settles the event's outcome and ends it; the first step that objects decides.  What
 * one rule yields is in extract_rule.c.
 *
 * Rules are found by event type through a small open-addressing table, at most half full, whose slots begin
 * the chain of one type's rules.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "extractor.h"
#include "../src/sketch/sketch.h"

static const char *const reason_names[TK_N_REASONS] = {
	[TK_REASON_NONE] = "",
	[TK_BAD_JSON] = "bad_json",
	[TK_BAD_EVENT_TYPE] = "bad_event_type",
	[TK_NO_EVENT_TIME] = "no_time",
	[TK_BAD_TIME] = "bad_time",
	[TK_FUTURE_TIME] = "future_time",
	[TK_BAD_TENANT] = "bad_tenant",
	[TK_TENANT_TOO_LONG] = "tenant_too_long",
	[TK_TENANT_HAS_NUL] = "tenant_has_nul",
	[TK_TOO_MANY_ITEMS] = "too_many_items",
	[TK_BAD_ITEM] = "bad_item",
	[TK_ITEM_TOO_LONG] = "item_too_long",
	[TK_ITEM_HAS_NUL] = "item_has_nul",
	[TK_BAD_WEIGHT] = "bad_weight",
	[TK_BAD_VALUE] = "bad_value",
	[TK_VALUE_TOO_LONG] = "value_too_long",
	[TK_VALUE_HAS_NUL] = "value_has_nul",
};

const char *
tk_reason_name(TkReason reason)
{
	return reason_names[reason];
}

/* ---- making an extractor ---- */

static bool
slot_is_of(const TkRuleSlot *slot, const char *event_type, size_t len, uint64_t hash)
{
	return slot->hash == hash && slot->len == len && memcmp(slot->event_type, event_type, len) == 0;
}

/* The slot of an event type, or the free one where it would be. */
static TkRuleSlot *
find_slot(const TkExtractor *extractor, const char *event_type, size_t len)
{
	uint64_t hash = tk_hash(event_type, len);
	size_t at = hash & extractor->slot_mask;

	while (extractor->slots[at].event_type != NULL &&
		   !slot_is_of(&extractor->slots[at], event_type, len, hash))
		at = (at + 1) & extractor->slot_mask;
	return &extractor->slots[at];
}

static void
fill_rule_table(TkExtractor *extractor, const TkExtractConfig *config)
{
	for (int i = 0; i < config->n_rules; i++)
	{
		const char *event_type = config->rules[i].event_type;
		size_t len = strlen(event_type);
		TkRuleSlot *slot = find_slot(extractor, event_type, len);

		extractor->next_rule[i] = -1;
		if (slot->event_type == NULL)
			*slot = (TkRuleSlot){event_type, len, tk_hash(event_type, len), i, i};
		else
		{
			extractor->next_rule[slot->last] = i;
			slot->last = i;
		}
	}
}

static void
fill_missing_values(TkExtractor *extractor, const TkExtractConfig *config)
{
	TkText *next = extractor->missing;

	for (int i = 0; i < config->n_rules; i++)
	{
		const TkRule *rule = &config->rules[i];

		assert(rule->n_dimensions <= TK_MAX_DIMENSIONS);
		extractor->rule_missing[i] = next;
		for (int j = 0; j < rule->n_dimensions; j++)
			*next++ = (TkText){rule->dimensions[j].missing, strlen(rule->dimensions[j].missing)};
	}
}

static bool
allocate_tables(TkExtractor *extractor, const TkExtractConfig *config)
{
	size_t n_slots = 8;
	size_t n_missing = 0;

	for (int i = 0; i < config->n_rules; i++)
		n_missing += (size_t) config->rules[i].n_dimensions;
	while (n_slots < 2 * (size_t) config->n_rules)
		n_slots *= 2;
	extractor->slot_mask = n_slots - 1;
	extractor->slots = calloc(n_slots, sizeof(TkRuleSlot));
	extractor->next_rule = calloc((size_t) config->n_rules + 1, sizeof(int));
	extractor->results = calloc((size_t) config->n_rules + 1, sizeof(TkRuleResult));
	extractor->missing = calloc(n_missing + 1, sizeof(TkText));
	extractor->rule_missing = calloc((size_t) config->n_rules + 1, sizeof(TkText *));
	return extractor->slots != NULL && extractor->next_rule != NULL && extractor->results != NULL &&
		   extractor->missing != NULL && extractor->rule_missing != NULL;
}

TkExtractor *
tk_extractor_create(const TkExtractConfig *config)
{
	TkExtractor *extractor = calloc(1, sizeof(TkExtractor));

	if (extractor == NULL)
		return NULL;
	extractor->config = config;
	extractor->decoder = tk_decode_json_create(config->paths, config->n_paths, config->max_message_bytes);
	if (extractor->decoder == NULL || !allocate_tables(extractor, config))
	{
		tk_extractor_free(extractor);
		return NULL;
	}
	fill_rule_table(extractor, config);
	fill_missing_values(extractor, config);
	return extractor;
}

void
tk_extractor_free(TkExtractor *extractor)
{
	if (extractor == NULL)
		return;
	if (extractor->decoder != NULL)
		extractor->decoder->methods->free(extractor->decoder);
	free(extractor->slots);
	free(extractor->next_rule);
	free(extractor->results);
	free(extractor->missing);
	free(extractor->rule_missing);
	free(extractor->yields);
	free(extractor->values);
	tk_text_pool_free(&extractor->numbers);
	free(extractor);
}

/* ---- the steps; each returns false when the outcome is settled ---- */

bool
tk_extract_settle(TkEvent *event, TkOutcome outcome)
{
	event->outcome = outcome;
	event->n_yields = 0;
	event->n_results = 0;
	return false;
}

/* A message that could not be read has no time that anyone should trust. */
bool
tk_extract_dead(TkEvent *event, TkReason reason)
{
	event->reason = reason;
	event->has_time = false;
	return tk_extract_settle(event, TK_DEAD);
}

static inline void
get_value(TkExtractor *extractor, int path, TkValue *value)
{
	extractor->decoder->methods->get(extractor->decoder, path, value);
}

static bool
read_message(TkExtractor *extractor, const char *payload, size_t len, TkEvent *event)
{
	if (payload == NULL)
		return tk_extract_settle(event, TK_TOMBSTONE);
	switch (extractor->decoder->methods->read(extractor->decoder, payload, len))
	{
		case TK_DECODE_OK:
			return true;
		case TK_DECODE_NO_MEMORY:
			return tk_extract_settle(event, TK_RETRY);
		case TK_DECODE_BAD:
			break;
	}
	return tk_extract_dead(event, TK_BAD_JSON);
}

static bool
read_event_type(TkExtractor *extractor, TkEvent *event, TkValue *type)
{
	get_value(extractor, extractor->config->event_type_path, type);
	return type->kind == TK_VALUE_STRING ? true : tk_extract_dead(event, TK_BAD_EVENT_TYPE);
}

/* The Kafka timestamp, for sources whose event time it is; a broker without one says -1. */
static bool
take_kafka_time(int64_t kafka_time, TkEvent *event)
{
	if (kafka_time < 0)
		return tk_extract_dead(event, TK_NO_EVENT_TIME);
	if (kafka_time > TK_MAX_TIME)
		return tk_extract_dead(event, TK_BAD_TIME);
	event->time = kafka_time;
	return true;
}

static bool
take_event_time(TkExtractor *extractor, TkEvent *event)
{
	TkValue value;
	bool ok = false;

	get_value(extractor, extractor->config->time_path, &value);
	if (tk_value_is_absent(&value))
		return tk_extract_dead(event, TK_NO_EVENT_TIME);
	if (value.kind == TK_VALUE_STRING)
		ok = tk_time_parse(&extractor->time_cache, value.text, value.len, &event->time);
	else if (value.kind == TK_VALUE_NUMBER)
		ok = tk_time_from_epoch(value.number, &event->time);
	return ok ? true : tk_extract_dead(event, TK_BAD_TIME);
}

static bool
read_time(TkExtractor *extractor, int64_t kafka_time, int64_t now, TkEvent *event)
{
	const TkExtractConfig *config = extractor->config;
	bool taken;

	taken = config->time_path < 0 ? take_kafka_time(kafka_time, event) : take_event_time(extractor, event);
	if (!taken)
		return false;
	if (tk_time_is_future(&config->time, event->time, now))
		return tk_extract_dead(event, TK_FUTURE_TIME);
	event->has_time = true;
	return true;
}

static bool
find_rules(const TkExtractor *extractor, const TkValue *type, TkEvent *event, int *first)
{
	const TkRuleSlot *slot = find_slot(extractor, type->text, type->len);

	if (slot->event_type == NULL)
		return tk_extract_settle(event, TK_NO_RULE);
	*first = slot->first;
	return true;
}

/* Without a tenant path, or without a tenant, the tenant is ''. */
static bool
read_tenant(TkExtractor *extractor, TkEvent *event)
{
	TkValue value = {.kind = TK_VALUE_MISSING};

	if (extractor->config->tenant_path >= 0)
		get_value(extractor, extractor->config->tenant_path, &value);
	if (tk_value_is_absent(&value))
	{
		event->tenant = (TkText){"", 0};
		return true;
	}
	return tk_extract_text(extractor, event, &value, TK_MAX_VALUE_BYTES, TK_BAD_TENANT, &event->tenant);
}

/* A rule that passed its filter without an item makes no_item of what all others filtered. */
static TkOutcome
outcome_of_rules(const TkExtractor *extractor, const TkEvent *event)
{
	if (event->n_yields > 0)
		return TK_COUNTED;
	for (int i = 0; i < event->n_results; i++)
	{
		if (extractor->results[i].outcome == TK_NO_ITEM)
			return TK_NO_ITEM;
	}
	return TK_FILTERED;
}

static void
apply_rules(TkExtractor *extractor, TkEvent *event, int first)
{
	extractor->n_values = 0;
	tk_text_pool_reset(&extractor->numbers);
	for (int i = first; i >= 0; i = extractor->next_rule[i])
	{
		if (!tk_extract_rule(extractor, event, i))
			return;
	}
	event->outcome = outcome_of_rules(extractor, event);
	event->yields = extractor->yields;
	event->values = extractor->values;
	event->results = extractor->results;
}

void
tk_extract(TkExtractor *extractor, const char *payload, size_t len, int64_t kafka_time, int64_t now,
		   TkEvent *event)
{
	TkValue type;
	int first;

	event->reason = TK_REASON_NONE;
	event->has_time = false;
	event->n_yields = 0;
	event->n_results = 0;
	if (read_message(extractor, payload, len, event) && read_event_type(extractor, event, &type) &&
		read_time(extractor, kafka_time, now, event) && find_rules(extractor, &type, event, &first) &&
		read_tenant(extractor, event))
		apply_rules(extractor, event, first);
}

/*
 * extract.c - turns one message into what it counts.
 *
 * tk_extract is a chain of steps in the order that extract.h fixes.  Each step reads one thing and either
 * lets the chain go on or settles the event's outcome and ends it; the first step that objects decides.
 *
 * Rules are found by event type through a small open-addressing table, at most half full.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "extract.h"
#include "../src/sketch/sketch.h"

typedef struct RuleSlot
{
	const TkRule *rule; /* NULL: free */
	uint64_t hash;      /* of the event type */
	size_t len;         /* of the event type */
	int index;
} RuleSlot;

struct TkExtractor
{
	const TkExtractConfig *config;
	TkDecoder *decoder;
	TkTimeCache time_cache;
	RuleSlot *slots;
	size_t slot_mask;
	TkText *missing; /* what stands for missing values: the dimensions of all rules, one after the other */
	TkText **rule_missing; /* where each rule's begin */
};

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

static void
fill_rule_table(TkExtractor *extractor, const TkExtractConfig *config)
{
	for (int i = 0; i < config->n_rules; i++)
	{
		const TkRule *rule = &config->rules[i];
		size_t len = strlen(rule->event_type);
		uint64_t hash = tk_hash(rule->event_type, len);
		size_t at = hash & extractor->slot_mask;

		while (extractor->slots[at].rule != NULL)
			at = (at + 1) & extractor->slot_mask;
		extractor->slots[at] = (RuleSlot){rule, hash, len, i};
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
	extractor->slots = calloc(n_slots, sizeof(RuleSlot));
	extractor->missing = calloc(n_missing + 1, sizeof(TkText));
	extractor->rule_missing = calloc((size_t) config->n_rules + 1, sizeof(TkText *));
	return extractor->slots != NULL && extractor->missing != NULL && extractor->rule_missing != NULL;
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
	free(extractor->missing);
	free(extractor->rule_missing);
	free(extractor);
}

/* ---- the steps; each returns false when the outcome is settled ---- */

static bool
settle(TkEvent *event, TkOutcome outcome)
{
	event->outcome = outcome;
	return false;
}

/* A message that could not be read has no time that anyone should trust. */
static bool
settle_dead(TkEvent *event, TkReason reason)
{
	event->reason = reason;
	event->has_time = false;
	return settle(event, TK_DEAD);
}

static inline void
get_value(TkExtractor *extractor, int path, TkValue *value)
{
	extractor->decoder->methods->get(extractor->decoder, path, value);
}

static inline bool
is_absent(const TkValue *value)
{
	return value->kind == TK_VALUE_MISSING || value->kind == TK_VALUE_NULL;
}

/*
 * Takes a scalar as text.  `bad` is the reason if it is none; the reasons for too long and for U+0000 follow
 * it in TkReason for tenants, items and values alike.
 */
static bool
take_text(TkEvent *event, const TkValue *value, size_t max_bytes, TkReason bad, TkText *text)
{
	if (is_absent(value) || value->kind == TK_VALUE_OBJECT || value->kind == TK_VALUE_ARRAY)
		return settle_dead(event, bad);
	if (value->len > max_bytes)
		return settle_dead(event, bad + 1);
	if (memchr(value->text, '\0', value->len) != NULL)
		return settle_dead(event, bad + 2);
	text->data = value->text;
	text->len = value->len;
	return true;
}

static bool
read_message(TkExtractor *extractor, const char *payload, size_t len, TkEvent *event)
{
	if (payload == NULL)
		return settle(event, TK_TOMBSTONE);
	switch (extractor->decoder->methods->read(extractor->decoder, payload, len))
	{
		case TK_DECODE_OK:
			return true;
		case TK_DECODE_NO_MEMORY:
			return settle(event, TK_RETRY);
		case TK_DECODE_BAD:
			break;
	}
	return settle_dead(event, TK_BAD_JSON);
}

static bool
read_event_type(TkExtractor *extractor, TkEvent *event, TkValue *type)
{
	get_value(extractor, extractor->config->event_type_path, type);
	return type->kind == TK_VALUE_STRING ? true : settle_dead(event, TK_BAD_EVENT_TYPE);
}

/* The Kafka timestamp, for sources whose event time it is; a broker without one says -1. */
static bool
take_kafka_time(int64_t kafka_time, TkEvent *event)
{
	if (kafka_time < 0)
		return settle_dead(event, TK_NO_EVENT_TIME);
	if (kafka_time > TK_MAX_TIME)
		return settle_dead(event, TK_BAD_TIME);
	event->time = kafka_time;
	return true;
}

static bool
take_event_time(TkExtractor *extractor, TkEvent *event)
{
	TkValue value;
	bool ok = false;

	get_value(extractor, extractor->config->time_path, &value);
	if (is_absent(&value))
		return settle_dead(event, TK_NO_EVENT_TIME);
	if (value.kind == TK_VALUE_STRING)
		ok = tk_time_parse(&extractor->time_cache, value.text, value.len, &event->time);
	else if (value.kind == TK_VALUE_NUMBER)
		ok = tk_time_from_epoch(value.number, &event->time);
	return ok ? true : settle_dead(event, TK_BAD_TIME);
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
		return settle_dead(event, TK_FUTURE_TIME);
	event->has_time = true;
	return true;
}

static bool
find_rule(const TkExtractor *extractor, const TkValue *type, TkEvent *event)
{
	uint64_t hash = tk_hash(type->text, type->len);
	size_t at = hash & extractor->slot_mask;
	const RuleSlot *slot;

	for (; (slot = &extractor->slots[at])->rule != NULL; at = (at + 1) & extractor->slot_mask)
	{
		if (slot->hash != hash || slot->len != type->len)
			continue;
		if (memcmp(slot->rule->event_type, type->text, type->len) != 0)
			continue;
		event->rule = slot->rule;
		event->rule_index = slot->index;
		return true;
	}
	return settle(event, TK_NO_RULE);
}

/* Without a tenant path, or without a tenant, the tenant is ''. */
static bool
read_tenant(TkExtractor *extractor, TkEvent *event)
{
	TkValue value = {.kind = TK_VALUE_MISSING};

	if (extractor->config->tenant_path >= 0)
		get_value(extractor, extractor->config->tenant_path, &value);
	if (value.kind == TK_VALUE_MISSING || value.kind == TK_VALUE_NULL)
	{
		event->tenant = (TkText){"", 0};
		return true;
	}
	return take_text(event, &value, TK_MAX_VALUE_BYTES, TK_BAD_TENANT, &event->tenant);
}

static bool
read_item(TkExtractor *extractor, TkEvent *event)
{
	TkValue value;

	get_value(extractor, event->rule->item_path, &value);
	if (is_absent(&value))
		return settle(event, TK_NO_ITEM);
	return take_text(event, &value, TK_MAX_ITEM_BYTES, TK_BAD_ITEM, &event->item);
}

static bool
read_weight(TkExtractor *extractor, TkEvent *event)
{
	TkValue value;

	if (event->rule->weight_path < 0)
	{
		event->weight = (uint64_t) event->rule->weight;
		return true;
	}
	get_value(extractor, event->rule->weight_path, &value);
	if (value.kind != TK_VALUE_NUMBER || !value.is_integer)
		return settle_dead(event, TK_BAD_WEIGHT);
	if (value.integer < 1 || value.integer > TK_MAX_WEIGHT)
		return settle_dead(event, TK_BAD_WEIGHT);
	event->weight = (uint64_t) value.integer;
	return true;
}

static bool
read_values(TkExtractor *extractor, TkEvent *event)
{
	const TkRule *rule = event->rule;
	const TkText *missing = extractor->rule_missing[event->rule_index];

	for (int i = 0; i < rule->n_dimensions; i++)
	{
		TkValue value;

		get_value(extractor, rule->dimensions[i].path, &value);
		if (is_absent(&value))
			event->values[i] = missing[i];
		else if (!take_text(event, &value, TK_MAX_VALUE_BYTES, TK_BAD_VALUE, &event->values[i]))
			return false;
	}
	return true;
}

void
tk_extract(TkExtractor *extractor, const char *payload, size_t len, int64_t kafka_time, int64_t now,
		   TkEvent *event)
{
	TkValue type;

	event->reason = TK_REASON_NONE;
	event->has_time = false;
	event->rule = NULL;
	event->rule_index = -1;
	if (read_message(extractor, payload, len, event) && read_event_type(extractor, event, &type) &&
		read_time(extractor, kafka_time, now, event) && find_rule(extractor, &type, event) &&
		read_tenant(extractor, event) && read_item(extractor, event) && read_weight(extractor, event) &&
		read_values(extractor, event))
		event->outcome = TK_COUNTED;
}

/*
 * extract_rule.c - what one rule yields for a message: its filter, its items, their weights and values.
 *
 * The steps and their order are those of extract.h.  For the elements of an array the decoder answers as if
 * each stood in the array's place, so that one function adds a yield, whether the item is in an array or not.
 */
#include <stdlib.h>

#include "extractor.h"

#define MIN_ROOM 64

static inline void
get_value(TkExtractor *extractor, int path, TkValue *value)
{
	extractor->decoder->methods->get(extractor->decoder, path, value);
}

/* ---- room ---- */

/* Makes an array of `size` bytes an element hold at least `needed`. */
static bool
grow(void **array, size_t *room, size_t needed, size_t size)
{
	size_t grown = *room > 0 ? *room : MIN_ROOM;
	void *block;

	while (grown < needed)
		grown *= 2;
	block = realloc(*array, grown * size);
	if (block == NULL)
		return false;
	*array = block;
	*room = grown;
	return true;
}

/* Makes sure that one more yield of the rule fits. */
static inline bool
reserve_yield(TkExtractor *extractor, const TkEvent *event, const TkRule *rule)
{
	size_t yields = (size_t) event->n_yields + 1;
	size_t values = extractor->n_values + (size_t) rule->n_dimensions;

	if (yields > extractor->yield_room &&
		!grow((void **) &extractor->yields, &extractor->yield_room, yields, sizeof(TkYield)))
		return false;
	return values <= extractor->value_room ||
		   grow((void **) &extractor->values, &extractor->value_room, values, sizeof(TkText));
}

/* ---- one yield ---- */

static bool
read_weight(TkExtractor *extractor, TkEvent *event, TkYield *yield)
{
	TkValue value;

	if (yield->rule->weight_path < 0)
	{
		yield->weight = (uint64_t) yield->rule->weight;
		return true;
	}
	get_value(extractor, yield->rule->weight_path, &value);
	if (value.kind != TK_VALUE_NUMBER || !value.is_integer)
		return tk_extract_dead(event, TK_BAD_WEIGHT);
	if (value.integer < 1 || value.integer > TK_MAX_WEIGHT)
		return tk_extract_dead(event, TK_BAD_WEIGHT);
	yield->weight = (uint64_t) value.integer;
	return true;
}

static bool
read_values(TkExtractor *extractor, TkEvent *event, TkYield *yield)
{
	const TkRule *rule = yield->rule;
	const TkText *missing = extractor->rule_missing[yield->rule_index];
	TkText *texts = extractor->values + extractor->n_values;

	yield->first_value = extractor->n_values;
	for (int i = 0; i < rule->n_dimensions; i++)
	{
		TkValue value;

		get_value(extractor, rule->dimensions[i].path, &value);
		if (tk_value_is_absent(&value))
			texts[i] = missing[i];
		else if (!tk_extract_text(extractor, event, &value, TK_MAX_VALUE_BYTES, TK_BAD_VALUE, &texts[i]))
			return false;
	}
	extractor->n_values += (size_t) rule->n_dimensions;
	return true;
}

static bool
add_yield(TkExtractor *extractor, TkEvent *event, int rule_index, const TkValue *item)
{
	const TkRule *rule = &extractor->config->rules[rule_index];
	TkYield *yield;

	if (!reserve_yield(extractor, event, rule))
		return tk_extract_settle(event, TK_RETRY);
	yield = &extractor->yields[event->n_yields];
	yield->rule = rule;
	yield->rule_index = rule_index;
	if (!tk_extract_text(extractor, event, item, TK_MAX_ITEM_BYTES, TK_BAD_ITEM, &yield->item) ||
		!read_weight(extractor, event, yield) || !read_values(extractor, event, yield))
		return false;
	event->n_yields++;
	return true;
}

/* ---- the items of a rule ---- */

/* What a visit to an element of an array needs to know. */
typedef struct ElementVisit
{
	TkExtractor *extractor;
	TkEvent *event;
	int rule_index;
	bool ok; /* false: the event's outcome is settled */
} ElementVisit;

static bool
visit_element(void *arg)
{
	ElementVisit *visit = arg;
	TkValue item;

	get_value(visit->extractor, visit->extractor->config->rules[visit->rule_index].item_path, &item);
	visit->ok =
		tk_value_is_absent(&item) || add_yield(visit->extractor, visit->event, visit->rule_index, &item);
	return visit->ok;
}

static bool
read_elements(TkExtractor *extractor, TkEvent *event, int rule_index)
{
	ElementVisit visit = {extractor, event, rule_index, true};
	TkDecoder *decoder = extractor->decoder;
	int path = extractor->config->rules[rule_index].item_path;
	TkEachStatus status;

	extractor->in_array = true;
	status = decoder->methods->each(decoder, path, TK_MAX_ITEMS, visit_element, &visit);
	extractor->in_array = false;
	return status == TK_EACH_TOO_MANY ? tk_extract_dead(event, TK_TOO_MANY_ITEMS) : visit.ok;
}

static bool
read_items(TkExtractor *extractor, TkEvent *event, int rule_index)
{
	TkValue item;

	get_value(extractor, extractor->config->rules[rule_index].item_path, &item);
	if (item.kind == TK_VALUE_MISSING || item.kind == TK_VALUE_ARRAY)
		return read_elements(extractor, event, rule_index);
	return item.kind == TK_VALUE_NULL || add_yield(extractor, event, rule_index, &item);
}

bool
tk_extract_rule(TkExtractor *extractor, TkEvent *event, int rule_index)
{
	const TkRule *rule = &extractor->config->rules[rule_index];
	TkRuleResult *result = &extractor->results[event->n_results];
	int before = event->n_yields;

	result->rule_index = rule_index;
	result->outcome = TK_FILTERED;
	if (rule->n_conditions == 0 || tk_filter_passes(rule->conditions, rule->n_conditions, extractor->decoder))
	{
		if (!read_items(extractor, event, rule_index))
			return false;
		result->outcome = event->n_yields > before ? TK_COUNTED : TK_NO_ITEM;
	}
	result->n_items = event->n_yields - before;
	event->n_results++;
	return true;
}

/*
 * extractor.h - what extract.c and extract_rule.c share.  Private to them; hosts include extract.h.
 */
#ifndef TK_EXTRACTOR_H
#define TK_EXTRACTOR_H

#include <string.h>

#include "extract.h"
#include "text_pool.h"

typedef struct TkRuleSlot
{
	const char *event_type; /* NULL: free */
	size_t len;             /* of the event type */
	uint64_t hash;          /* of the event type */
	int first;              /* its rules, along next_rule */
	int last;
} TkRuleSlot;

/* The arrays grow to what the largest message needed, and are used again for each message. */
struct TkExtractor
{
	const TkExtractConfig *config;
	TkDecoder *decoder;
	TkTimeCache time_cache;
	TkRuleSlot *slots;
	size_t slot_mask;
	int *next_rule;  /* for each rule, the next one of its event type; -1: none */
	TkText *missing; /* what stands for missing values: the dimensions of all rules, one after another */
	TkText **rule_missing; /* where each rule's begin */
	TkRuleResult *results; /* room for one of each rule */
	TkYield *yields;
	size_t yield_room;
	TkText *values;
	size_t n_values;
	size_t value_room;
	TkTextPool numbers; /* texts of numbers, which the decoder keeps for one element only */
	bool in_array;      /* an element is being read */
};

/* ---- extract.c: each returns false when the outcome is settled, for the caller to return likewise ---- */

bool tk_extract_settle(TkEvent *event, TkOutcome outcome);
bool tk_extract_dead(TkEvent *event, TkReason reason);

/*
 * Takes a scalar as text.  `bad` is the reason if it is none; the reasons for too long and for U+0000 follow
 * it in TkReason for tenants, items and values alike.
 */
static inline bool
tk_extract_text(TkExtractor *extractor, TkEvent *event, const TkValue *value, size_t max_bytes, TkReason bad,
				TkText *text)
{
	if (value->text == NULL) /* missing, null, an object, an array */
		return tk_extract_dead(event, bad);
	if (value->len > max_bytes)
		return tk_extract_dead(event, bad + 1);
	if (memchr(value->text, '\0', value->len) != NULL)
		return tk_extract_dead(event, bad + 2);
	*text = (TkText){value->text, value->len};
	if (!extractor->in_array || value->kind != TK_VALUE_NUMBER)
		return true;
	text->data = tk_text_pool_keep(&extractor->numbers, value->text, value->len);
	return text->data != NULL || tk_extract_settle(event, TK_RETRY);
}

/* ---- extract_rule.c ---- */

/* Adds the yields of one rule of the event's type, and its result. */
bool tk_extract_rule(TkExtractor *extractor, TkEvent *event, int rule_index);

#endif

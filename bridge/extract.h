/*
 * extract.h - from one message to what it counts: rules, filters, reasons, and the event that comes of it.
 *
 * Pure.  The order of the checks is a contract, since a message has exactly one outcome and a recount must
 * find the same one:
 *   tombstone (no payload) -> bad_json -> bad_event_type -> no_time, bad_time, future_time -> no_rule ->
 *   bad_tenant, tenant_too_long, tenant_has_nul ->
 *   for each rule of the event type, in the order of their making:
 *     its filter, which may end the rule -> too_many_items ->
 *     for each item: bad_item, item_too_long, item_has_nul -> bad_weight ->
 *       for each dimension in order bad_value, value_too_long, value_has_nul
 *   -> filtered, if every rule's filter said no -> no_item, if no rule found an item -> counted.
 * The first check that objects decides for the whole message: what one rule cannot read is a dead letter, and
 * nothing of it is counted by the others.  An outcome that is not a dead letter and comes after the time
 * checks has a time, and moves the watermark.
 *
 * What is missing: a missing or null event type is bad_event_type, time no_time, weight bad_weight (if the
 * rule has a path for it), item no item, tenant '', value the dimension's `missing`.  An event type must be a
 * string; tenants, items and values may be numbers and booleans, as their JSON text.  bad_json covers what
 * JSON forbids and what the decoder cannot hold: see decode_json.cc.
 *
 * Arrays: an item path that meets an array, at its end or on its way, yields an item for each element, equal
 * ones each time; an element where the item is missing or null yields nothing, and nothing else of it is
 * looked at.  Paths of the rule's weight and dimensions that lead through the same array are read from the
 * same element; others from the message, as ever.  An array within an element is no item but bad_item at the
 * path's end, and missing on its way.  More than TK_MAX_ITEMS elements are too_many_items.
 */
#ifndef TK_EXTRACT_H
#define TK_EXTRACT_H

#include "decode.h"
#include "rule_filter.h"
#include "watermark.h"

#define TK_MAX_ITEM_BYTES 1024
#define TK_MAX_ITEMS 1000                /* elements of an array that a rule takes items from */
#define TK_MAX_VALUE_BYTES 512           /* tenants and dimension values: they are keys of topk.list */
#define TK_MAX_WEIGHT (INT64_C(1) << 40) /* 8 million such events fit into a total: else bad_weight */

typedef enum TkOutcome
{
	TK_COUNTED,
	TK_NO_RULE,   /* no rule for this event type: counted in the statistics only */
	TK_NO_ITEM,   /* the item is missing or null: likewise */
	TK_FILTERED,  /* no rule's filter lets it through: likewise */
	TK_TOMBSTONE, /* a Kafka message without a payload: likewise */
	TK_DEAD,      /* unreadable; `reason` says why */
	TK_RETRY      /* out of memory: nothing is wrong with the message */
} TkOutcome;

/* The fixed vocabulary of topk.dead_letter.reason, in the order of the checks. */
typedef enum TkReason
{
	TK_REASON_NONE,
	TK_BAD_JSON,
	TK_BAD_EVENT_TYPE,
	TK_NO_EVENT_TIME,
	TK_BAD_TIME,
	TK_FUTURE_TIME,
	TK_BAD_TENANT,
	TK_TENANT_TOO_LONG,
	TK_TENANT_HAS_NUL,
	TK_TOO_MANY_ITEMS,
	TK_BAD_ITEM,
	TK_ITEM_TOO_LONG,
	TK_ITEM_HAS_NUL,
	TK_BAD_WEIGHT,
	TK_BAD_VALUE,
	TK_VALUE_TOO_LONG,
	TK_VALUE_HAS_NUL,
	TK_N_REASONS
} TkReason;

/* "bad_json", "bad_event_type", "no_time", "bad_time", "future_time", "bad_tenant", ... */
const char *tk_reason_name(TkReason reason);

typedef struct TkDimension
{
	const char *name;
	int path;            /* index into the extractor's paths */
	const char *missing; /* the value if there is none: "unknown" */
} TkDimension;

/* One rule, as configured.  All strings and arrays belong to the caller and outlive the extractor. */
typedef struct TkRule
{
	int64_t rule_id;
	const char *event_type;
	const char *item_type;
	int item_path;
	int weight_path; /* -1: `weight` always */
	int64_t weight;
	int n_dimensions;
	const TkDimension *dimensions;
	const char *name; /* unique within the configuration */
	int n_conditions; /* of its filter; 0: every event */
	const TkCondition *conditions;
} TkRule;

typedef struct TkExtractConfig
{
	const TkPath *paths;
	int n_paths;
	int event_type_path;
	int time_path;       /* -1: the Kafka timestamp is the event's time */
	int tenant_path;     /* -1: every event's tenant is '' */
	const TkRule *rules; /* those of one event type in the order of their making */
	int n_rules;
	TkTimeRules time;
	size_t max_message_bytes;
} TkExtractConfig;

#define TK_MAX_DIMENSIONS 32

/* One count that an event makes. */
typedef struct TkYield
{
	const TkRule *rule;
	int rule_index;
	TkText item;
	uint64_t weight;
	size_t first_value; /* in event->values, one for each dimension of the rule */
} TkYield;

/* What became of one rule of the event's type. */
typedef struct TkRuleResult
{
	int rule_index;
	TkOutcome outcome; /* TK_COUNTED, TK_NO_ITEM or TK_FILTERED */
	int n_items;
} TkRuleResult;

/*
 * What one message came to.  All that it refers to is valid until the next message.  Without TK_COUNTED there
 * are no yields; with TK_COUNTED, TK_NO_ITEM and TK_FILTERED there is a result for each rule of the type.
 */
typedef struct TkEvent
{
	TkOutcome outcome;
	TkReason reason;
	bool has_time;
	int64_t time; /* us, if has_time */
	TkText tenant;
	int n_yields;
	int n_results;
	const TkYield *yields;
	const TkText *values;
	const TkRuleResult *results;
} TkEvent;

typedef struct TkExtractor TkExtractor;

/*
 * The configuration is referred to, not copied.  No rule has more than TK_MAX_DIMENSIONS dimensions.  NULL:
 * out of memory.
 */
TkExtractor *tk_extractor_create(const TkExtractConfig *config);
void tk_extractor_free(TkExtractor *extractor);

/*
 * Reads one message.  payload NULL: a tombstone.  kafka_time (us) is used if the source says so; now is the
 * wall clock.  Never fails otherwise than by event->outcome.
 */
void tk_extract(TkExtractor *extractor, const char *payload, size_t len, int64_t kafka_time, int64_t now,
				TkEvent *event);

#endif

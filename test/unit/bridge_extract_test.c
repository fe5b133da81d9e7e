/*
 * bridge_extract_test.c - from messages to events: what is counted, what is skipped, what is a dead letter
 * and why.
 */
#include <stdlib.h>
#include <string.h>

#include "../../bridge/extract.h"
#include "bridge_paths.h"
#include "bridge_tap.h"

#define NOW INT64_C(1709210400000000) /* 2024-02-29 12:40:00 */
#define MAX_MESSAGE 100000

typedef struct Fixture
{
	PathSet paths;
	TkDimension dimensions[2];
	TkRule rules[12];
	TkExtractConfig config;
	TkExtractor *extractor;
	TkEvent event;
} Fixture;

static void
add_rule(Fixture *f, const char *event_type, const char *item_type, int item_path, int weight_path,
		 int n_dimensions)
{
	TkRule *rule = &f->rules[f->config.n_rules];

	*rule = (TkRule){.rule_id = f->config.n_rules,
					 .event_type = event_type,
					 .item_type = item_type,
					 .item_path = item_path,
					 .weight_path = weight_path,
					 .weight = 7,
					 .n_dimensions = n_dimensions,
					 .dimensions = f->dimensions};
	f->config.n_rules++;
}

static void
set_up(Fixture *f, bool with_tenant)
{
	static char names[9][24];

	memset(f, 0, sizeof(*f));
	f->config.event_type_path = add_path(&f->paths, "metadata.eventType");
	f->config.time_path = add_path(&f->paths, "metadata.timestamp");
	f->config.tenant_path = with_tenant ? add_path(&f->paths, "tenant") : -1;
	f->dimensions[0] = (TkDimension){"deviceType", add_path(&f->paths, "payload.deviceType"), "unknown"};
	f->dimensions[1] = (TkDimension){"pageCategory", add_path(&f->paths, "payload.pageCategory"), "none"};
	add_rule(f, "page_view", "url", add_path(&f->paths, "payload.url"), -1, 2);
	add_rule(f, "purchase", "product", add_path(&f->paths, "payload.id"), add_path(&f->paths, "payload.n"),
			 2);
	add_rule(f, "plain", "url", f->rules[0].item_path, -1, 0);
	for (int i = 0; i < 9; i++)
	{
		snprintf(names[i], sizeof(names[i]), "other_%d", i);
		add_rule(f, names[i], "other", f->rules[0].item_path, -1, 1);
	}
	f->config.paths = f->paths.path;
	f->config.n_paths = f->paths.n;
	f->config.rules = f->rules;
	f->config.max_message_bytes = MAX_MESSAGE;
	f->config.time = (TkTimeRules){60000000, 60000000, 3600000000, 30000000, 600000000};
	f->extractor = tk_extractor_create(&f->config);
}

static void
tear_down(Fixture *f)
{
	tk_extractor_free(f->extractor);
}

static const TkEvent *
extract(Fixture *f, const char *json)
{
	memset(&f->event, 0x55, sizeof(f->event));
	tk_extract(f->extractor, json, json != NULL ? strlen(json) : 0, -1, NOW, &f->event);
	return &f->event;
}

/* The only yield of an event. */
static const TkYield *
yield_of(const TkEvent *event)
{
	return event->n_yields == 1 ? event->yields : &(const TkYield){.rule_index = -1};
}

static bool
is_text(const TkText *text, const char *expected)
{
	return text->len == strlen(expected) && memcmp(text->data, expected, text->len) == 0;
}

#define META(type) "\"metadata\":{\"eventType\":" type ",\"timestamp\":\"2024-02-29T12:34:56Z\"}"
#define PAYLOAD(fields) "\"payload\":{" fields "}"
#define DEVICE "\"deviceType\":\"mobile\",\"pageCategory\":\"home\""
#define PURCHASE(n) "{" META("\"purchase\"") "," PAYLOAD("\"id\":\"p\"," DEVICE ",\"n\":" n) "}"
#define VIEW(fields) "{" META("\"page_view\"") "," PAYLOAD(fields) "}"

static void
check_counted(void)
{
	Fixture f;
	const TkEvent *event;

	set_up(&f, false);
	event = extract(&f, VIEW("\"url\":\"/x\"," DEVICE));
	tap_ok(event->outcome == TK_COUNTED && event->reason == TK_REASON_NONE, "a page view is counted");
	tap_ok(event->has_time && event->time == INT64_C(1709210096000000), "its time");
	tap_ok(yield_of(event)->rule == &f.rules[0] && yield_of(event)->rule_index == 0, "its rule");
	tap_ok(is_text(&yield_of(event)->item, "/x") && is_text(&event->tenant, ""), "its item, and no tenant");
	tap_ok(is_text(&event->values[0], "mobile") && is_text(&event->values[1], "home"), "its values");
	tap_ok(yield_of(event)->weight == 7, "the rule's constant weight");
	event = extract(&f, VIEW("\"url\":12.50,\"deviceType\":null"));
	tap_ok(event->outcome == TK_COUNTED && is_text(&yield_of(event)->item, "12.5"), "a number as an item");
	tap_ok(is_text(&event->values[0], "unknown") && is_text(&event->values[1], "none"),
		   "null and missing values");
	event = extract(&f, VIEW("\"url\":true,\"deviceType\":1,\"pageCategory\":false"));
	tap_ok(is_text(&yield_of(event)->item, "true") && is_text(&event->values[0], "1") &&
			   is_text(&event->values[1], "false"),
		   "booleans and numbers as values");
	event = extract(&f, VIEW("\"url\":\"\",\"deviceType\":\"\""));
	tap_ok(event->outcome == TK_COUNTED && yield_of(event)->item.len == 0 && event->values[0].len == 0,
		   "an empty string is an item, and a value");
	event = extract(&f, "{" META("\"other_8\"") "," PAYLOAD("\"url\":\"u\"") "}");
	tap_ok(event->outcome == TK_COUNTED && yield_of(event)->rule_index == 11, "the last of many rules");
	tear_down(&f);
}

static void
check_skipped(void)
{
	Fixture f;
	const TkEvent *event;

	set_up(&f, false);
	event = extract(&f, NULL);
	tap_ok(event->outcome == TK_TOMBSTONE && !event->has_time, "a tombstone, without a time");
	event = extract(&f, "{" META("\"click\"") "}");
	tap_ok(event->outcome == TK_NO_RULE && event->has_time, "no rule, with a time");
	event = extract(&f, "{" META("\"\"") "}");
	tap_ok(event->outcome == TK_NO_RULE, "an empty event type has no rule");
	event = extract(&f, "{" META("\"page_view\\u0000\"") "}");
	tap_ok(event->outcome == TK_NO_RULE, "U+0000 in an event type: no rule");
	event = extract(&f, VIEW(DEVICE));
	tap_ok(event->outcome == TK_NO_ITEM && event->has_time, "no item, with a time");
	event = extract(&f, VIEW("\"url\":null"));
	tap_ok(event->outcome == TK_NO_ITEM, "a null item");
	event = extract(&f, "{" META("\"page_view\"") ",\"payload\":[1]}");
	tap_ok(event->outcome == TK_NO_ITEM, "a payload that is no object has no item");
	tear_down(&f);
}

static void
check_weight(const char *json, int64_t expected)
{
	Fixture f;
	const TkEvent *event;

	set_up(&f, false);
	event = extract(&f, json);
	if (expected > 0)
		tap_ok(event->outcome == TK_COUNTED && yield_of(event)->weight == (uint64_t) expected, "weight %lld",
			   (long long) expected);
	else
		tap_ok(event->outcome == TK_DEAD && event->reason == TK_BAD_WEIGHT && !event->has_time, "bad: %s",
			   strstr(json, "\"n\":"));
	tear_down(&f);
}

static void
check_weights(void)
{
	check_weight(PURCHASE("1"), 1);
	check_weight(PURCHASE("1.0"), 1);
	check_weight(PURCHASE("2e3"), 2000);
	check_weight(PURCHASE("1099511627776"), INT64_C(1) << 40);
	check_weight(PURCHASE("1099511627777"), 0);
	check_weight(PURCHASE("18446744073709551615"), 0);
	check_weight(PURCHASE("1e300"), 0);
	check_weight(PURCHASE("0"), 0);
	check_weight(PURCHASE("-1"), 0);
	check_weight(PURCHASE("1.5"), 0);
	check_weight(PURCHASE("\"5\""), 0);
	check_weight(PURCHASE("null"), 0);
	check_weight(PURCHASE("true"), 0);
	check_weight(PURCHASE("[1]"), 0);
	check_weight("{" META("\"purchase\"") "," PAYLOAD("\"id\":1,\"m\":1") "}", 0);
}

/*
 * The order of the checks: a message with everything wrong is mended fault by fault, and at each step the
 * next reason of the vocabulary must come up.  Tenants, items and values are each an object, too long, and
 * with NUL.
 */
typedef struct Mended
{
	const char *type, *time, *tenant, *item, *weight, *value;
	const char *reason;
} Mended;

static const Mended steps[] = {
	{"1", "", "{}", "{}", "0", "{}", "bad_event_type"},
	{"\"purchase\"", "", "{}", "{}", "0", "{}", "no_time"},
	{"\"purchase\"", ",\"timestamp\":null", "{}", "{}", "0", "{}", "no_time"},
	{"\"purchase\"", ",\"timestamp\":\"noon\"", "{}", "{}", "0", "{}", "bad_time"},
	{"\"purchase\"", ",\"timestamp\":true", "{}", "{}", "0", "{}", "bad_time"},
	{"\"purchase\"", ",\"timestamp\":-5", "{}", "{}", "0", "{}", "bad_time"},
	{"\"purchase\"", ",\"timestamp\":\"2024-02-29T12:50:00.000001Z\"", "{}", "{}", "0", "{}", "future_time"},
	{"\"purchase\"", ",\"timestamp\":1709211000000001", "{}", "{}", "0", "{}", "future_time"},
	{"\"purchase\"", ",\"timestamp\":1709211000000000", "{}", "{}", "0", "{}", "bad_tenant"},
	{"\"purchase\"", ",\"timestamp\":1709211000", "[]", "{}", "0", "{}", "bad_tenant"},
	{"\"purchase\"", ",\"timestamp\":1709211000", "LONG", "{}", "0", "{}", "tenant_too_long"},
	{"\"purchase\"", ",\"timestamp\":1709211000", "\"\\u0000\"", "{}", "0", "{}", "tenant_has_nul"},
	{"\"purchase\"", ",\"timestamp\":1709211000", "\"t\"", "[[]]", "0", "{}", "bad_item"},
	{"\"purchase\"", ",\"timestamp\":1709211000", "\"t\"", "LONG", "0", "{}", "item_too_long"},
	{"\"purchase\"", ",\"timestamp\":1709211000", "\"t\"", "\"a\\u0000b\"", "0", "{}", "item_has_nul"},
	{"\"purchase\"", ",\"timestamp\":1709211000", "\"t\"", "\"i\"", "0", "{}", "bad_weight"},
	{"\"purchase\"", ",\"timestamp\":1709211000", "\"t\"", "\"i\"", "1", "[]", "bad_value"},
	{"\"purchase\"", ",\"timestamp\":1709211000", "\"t\"", "\"i\"", "1", "LONG", "value_too_long"},
	{"\"purchase\"", ",\"timestamp\":1709211000", "\"t\"", "\"i\"", "1", "\"\\u0000\"", "value_has_nul"},
	{"\"purchase\"", ",\"timestamp\":1709211000", "\"t\"", "\"i\"", "1", "\"v\"", ""},
};

/* A JSON string of n times x. */
static void
long_string(char *out, int n)
{
	out[0] = '"';
	memset(out + 1, 'x', (size_t) n);
	strcpy(out + 1 + n, "\"");
}

static const char *
or_long(const char *text, const char *instead)
{
	return strcmp(text, "LONG") == 0 ? instead : text;
}

static void
check_order(void)
{
	Fixture f;
	const TkEvent *event;
	char json[8192];
	char long_value[1100];
	char long_item[1100];

	set_up(&f, true);
	long_string(long_value, 513);
	long_string(long_item, 1025);
	event = extract(&f, "{\"tenant\":{}");
	tap_ok(event->outcome == TK_DEAD && event->reason == TK_BAD_JSON, "bad_json comes first");
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++)
	{
		const Mended *s = &steps[i];

		snprintf(json, sizeof(json),
				 "{\"metadata\":{\"eventType\":%s%s},\"tenant\":%s,"
				 "\"payload\":{\"id\":%s,\"n\":%s,\"deviceType\":\"d\",\"pageCategory\":%s}}",
				 s->type, s->time, or_long(s->tenant, long_value), or_long(s->item, long_item), s->weight,
				 or_long(s->value, long_value));
		event = extract(&f, json);
		tap_ok(strcmp(tk_reason_name(event->reason), s->reason) == 0 &&
				   event->outcome == (s->reason[0] != '\0' ? TK_DEAD : TK_COUNTED) &&
				   event->has_time == (s->reason[0] == '\0'),
			   "step %d: \"%s\"", (int) i + 1, tk_reason_name(event->reason));
	}
	event = extract(&f, "{\"metadata\":{\"eventType\":\"nobody\",\"timestamp\":0},\"tenant\":{}}");
	tap_ok(event->outcome == TK_NO_RULE, "no_rule comes before the tenant");
	event = extract(&f, "{\"metadata\":{\"eventType\":\"purchase\",\"timestamp\":0},\"tenant\":null}");
	tap_ok(event->outcome == TK_NO_ITEM && is_text(&event->tenant, ""), "a null tenant is the tenant ''");
	event = extract(&f, "{\"metadata\":{\"eventType\":\"purchase\",\"timestamp\":0},\"tenant\":\"t\"}");
	tap_ok(event->outcome == TK_NO_ITEM, "no_item comes before the weight");
	event = extract(&f, "{\"metadata\":{\"eventType\":\"nobody\",\"timestamp\":1e12}}");
	tap_ok(event->outcome == TK_NO_RULE && event->time == INT64_C(1000000000000000), "milliseconds as 1e12");
	event = extract(&f, "{\"metadata\":{\"eventType\":\"nobody\",\"timestamp\":1e18}}");
	tap_ok(event->reason == TK_BAD_TIME, "a time beyond the year 9999 is bad, not future");
	tear_down(&f);
}

static void
check_longest(void)
{
	Fixture f;
	const TkEvent *event;
	char json[8192];
	char tenant[1100], item[1100], value[1100];

	set_up(&f, true);
	long_string(tenant, 512);
	long_string(item, 1024);
	long_string(value, 512);
	snprintf(json, sizeof(json),
			 "{" META("\"page_view\"") ",\"tenant\":%s,\"payload\":{\"url\":%s,\"deviceType\":%s}}", tenant,
			 item, value);
	event = extract(&f, json);
	tap_ok(event->outcome == TK_COUNTED && event->tenant.len == 512 && yield_of(event)->item.len == 1024 &&
			   event->values[0].len == 512,
		   "the longest tenant, item and value");
	tear_down(&f);
}

static void
check_kafka_time(void)
{
	Fixture f;

	set_up(&f, false);
	f.config.time_path = -1;
	tk_extract(f.extractor, "{" META("\"click\"") "}", strlen("{" META("\"click\"") "}"), NOW - 5, NOW,
			   &f.event);
	tap_ok(f.event.outcome == TK_NO_RULE && f.event.time == NOW - 5, "the Kafka timestamp as event time");
	extract(&f, "{" META("\"click\"") "}");
	tap_ok(f.event.reason == TK_NO_EVENT_TIME, "a broker that gives none");
	tk_extract(f.extractor, "{" META("\"click\"") "}", strlen("{" META("\"click\"") "}"), INT64_MAX, NOW,
			   &f.event);
	tap_ok(f.event.reason == TK_BAD_TIME, "a Kafka timestamp beyond all years");
	tear_down(&f);
}

static void
check_no_rules(void)
{
	Fixture f;

	set_up(&f, false);
	tear_down(&f);
	f.config.n_rules = 0;
	f.extractor = tk_extractor_create(&f.config);
	tap_ok(extract(&f, VIEW("\"url\":1"))->outcome == TK_NO_RULE, "an extractor without rules");
	tear_down(&f);
}

static void
check_reason_names(void)
{
	int named = 0;

	for (int i = 1; i < TK_N_REASONS; i++)
		named += tk_reason_name((TkReason) i) != NULL && tk_reason_name((TkReason) i)[0] != '\0';
	tap_ok(named == TK_N_REASONS - 1, "every reason has a name");
}

int
main(void)
{
	check_counted();
	check_skipped();
	check_weights();
	check_order();
	check_longest();
	check_kafka_time();
	check_no_rules();
	check_reason_names();
	return tap_done();
}

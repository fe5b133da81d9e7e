/*
 * bridge_extract_test.c - paths, the JSON decoder, and from messages to events.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../../bridge/extract.h"
#include "bridge_tap.h"

#define NOW INT64_C(1709210400000000) /* 2024-02-29 12:40:00 */
#define MAX_MESSAGE 100000

/* ---- paths ---- */

static void
check_path(const char *text, const char *expected)
{
	char buffer[256];
	char *exact = malloc(strlen(text) + 1);
	char found[256] = "";
	TkPath path;
	const char *error = tk_path_parse(text, exact, &path);

	for (int i = 0; error == NULL && i < path.depth; i++)
	{
		snprintf(buffer, sizeof(buffer), "[%.*s]", (int) path.key[i].len, path.key[i].name);
		strcat(found, buffer);
	}
	tap_ok(strcmp(error != NULL ? error : found, expected) == 0, "path %s: %s", text, error ? error : found);
	free(exact);
}

static void
check_paths(void)
{
	check_path("a", "[a]");
	check_path("payload.url", "[payload][url]");
	check_path("a.b c.d-e", "[a][b c][d-e]");
	check_path("\"a.b\"", "[a.b]");
	check_path("x.\"a.b\".y", "[x][a.b][y]");
	check_path("\"a\"\"b\"", "[a\"b]");
	check_path("\"\"", "[]");
	check_path("\"\"\"\".\"\"", "[\"][]");
	check_path("a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p", "[a][b][c][d][e][f][g][h][i][j][k][l][m][n][o][p]");
	check_path("a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.q", "the path has more than 16 keys");
	check_path("", "the path is empty");
	check_path(".", "a key is empty");
	check_path("a.", "a key is empty");
	check_path(".a", "a key is empty");
	check_path("a..b", "a key is empty");
	check_path("\"a", "a quoted key has no closing quote");
	check_path("\"a\"\"", "a quoted key has no closing quote");
	check_path("\"a\"b", "only a dot may follow a quoted key");
	check_path("a\"b\"", "a quote may stand only around a whole key");
}

/* ---- the decoder ---- */

typedef struct PathSet
{
	TkPath path[16];
	char text[16][64];
	int n;
} PathSet;

static int
add_path(PathSet *set, const char *text)
{
	if (tk_path_parse(text, set->text[set->n], &set->path[set->n]) != NULL)
		abort();
	return set->n++;
}

/* Reads one document from a block of exactly its length, and shows what it has at "a" (and the status). */
static const char *
show(const char *json, size_t len)
{
	static const char *const kinds[] = {"missing", "null", "string", "number", "bool", "object", "array"};
	static char shown[512];
	PathSet paths = {.n = 0};
	int path = add_path(&paths, "a");
	TkDecoder *decoder = tk_decode_json_create(paths.path, paths.n, MAX_MESSAGE);
	char *exact = malloc(len + (len == 0));
	TkDecodeStatus status;
	TkValue value;

	memcpy(exact, json, len);
	status = decoder->methods->read(decoder, exact, len);
	decoder->methods->get(decoder, path, &value);
	free(exact);
	if (status == TK_DECODE_BAD)
		snprintf(shown, sizeof(shown), value.kind == TK_VALUE_MISSING ? "bad" : "bad, but has a value");
	else
		snprintf(shown, sizeof(shown), "%s%s%.*s%s", kinds[value.kind], value.len > 0 ? " " : "", (int) value.len,
				 value.text != NULL ? value.text : "", value.is_integer ? " whole" : "");
	decoder->methods->free(decoder);
	return shown;
}

static void
check_show(const char *json, const char *expected)
{
	const char *shown = show(json, strlen(json));

	tap_ok(strcmp(shown, expected) == 0, "%.60s: %s", json, shown);
}

static void
check_values(void)
{
	check_show("{\"a\": \"x\"}", "string x");
	check_show("{\"a\": \"\"}", "string");
	check_show("{\"a\": \"\\u00e9\\n\"}", "string \xC3\xA9\n");
	check_show("{\"a\": null}", "null");
	check_show("{\"a\": true}", "bool true");
	check_show("{\"a\": false}", "bool false");
	check_show("{\"a\": {\"a\": 1}}", "object");
	check_show("{\"a\": [1]}", "array");
	check_show("{\"b\": {\"a\": 1}}", "missing");
	check_show("{}", "missing");
	check_show("{\"\\u0061\": 1}", "number 1 whole");
	check_show("\xEF\xBB\xBF{\"a\": 1}", "number 1 whole");
	check_show(" \n\t{\"a\": 1}\r\n", "number 1 whole");
	check_show("{\"a\": 1, \"a\": 2}", "number 1 whole");
	check_show("{\"a\": null, \"a\": 2}", "null");
}

static void
check_numbers(void)
{
	check_show("{\"a\": 0}", "number 0 whole");
	check_show("{\"a\": -0}", "number 0 whole");
	check_show("{\"a\": -12}", "number -12 whole");
	check_show("{\"a\": 9223372036854775807}", "number 9223372036854775807 whole");
	check_show("{\"a\": -9223372036854775808}", "number -9223372036854775808 whole");
	check_show("{\"a\": 9223372036854775808}", "number 9223372036854775808");
	check_show("{\"a\": 18446744073709551615}", "number 18446744073709551615");
	check_show("{\"a\": 18446744073709551616}", "bad");
	check_show("{\"a\": -9223372036854775809}", "bad");
	check_show("{\"a\": 1.0}", "number 1 whole");
	check_show("{\"a\": 1e3}", "number 1000 whole");
	check_show("{\"a\": 1.5}", "number 1.5");
	check_show("{\"a\": 0.1}", "number 0.1");
	check_show("{\"a\": 0.30000000000000004}", "number 0.30000000000000004");
	check_show("{\"a\": 100e-3}", "number 0.1");
	check_show("{\"a\": 5e-324}", "number 5e-324");
	check_show("{\"a\": -1.7976931348623157e308}", "number -1.7976931348623157e+308");
	check_show("{\"a\": 1e19}", "number 1e+19");
	check_show("{\"a\": 9223372036854775808.0}", "number 9223372036854775808");
	check_show("{\"a\": 1e400}", "bad");
	check_show("{\"a\": 01}", "bad");
	check_show("{\"a\": +1}", "bad");
	check_show("{\"a\": NaN}", "bad");
}

static void
check_broken(void)
{
	check_show("", "bad");
	check_show(" ", "bad");
	check_show("1", "bad");
	check_show("[]", "bad");
	check_show("\"a\"", "bad");
	check_show("null", "bad");
	check_show("{\"a\": 1", "bad");
	check_show("{\"a\": 1}}", "bad");
	check_show("{\"a\": 1} {\"a\": 1}", "bad");
	check_show("{\"a\": 1,}", "bad");
	check_show("{'a': 1}", "bad");
	check_show("{\"a\": \"x}", "bad");
	check_show("{\"a\": \"\xC3\x28\"}", "bad");
	check_show("{\"a\": 1, \"b\": \"\xFF\"}", "bad");
	check_show("{\"a\": \"\xED\xA0\x80\"}", "bad");
	check_show("{\"a\": \"\\ud800\"}", "bad");
	check_show("{\"a\": \"\\x\"}", "bad");
	check_show("{\"a\": \"\n\"}", "bad");
	check_show("\xEF\xBB\xBF", "bad");
	tap_ok(strcmp(show("{\"a\": 1}\0", 9), "bad") == 0, "a NUL after the document: bad");
	tap_ok(strcmp(show("{\"a\": \"x\\u0000y\"}", 17), "string x") == 0, "U+0000 in a string is kept");
}

static void
check_cut_document(void)
{
	static const char json[] = "{\"b\": {\"c\": [1, 2.5, \"x\\u00e9\"]}, \"a\": true}";
	int read = 0;

	for (size_t len = 0; len < strlen(json); len++)
		read += strcmp(show(json, len), "bad") != 0;
	tap_ok(read == 0, "every truncation of a document is bad");
}

/* {"a":[[[...]]]} with this many brackets, or 0 bytes if it would not fit. */
static size_t
nest(char *json, int depth)
{
	char *out = json;

	memcpy(out, "{\"a\":", 5);
	memset(out + 5, '[', (size_t) depth);
	memset(out + 5 + depth, ']', (size_t) depth);
	out[5 + 2 * depth] = '}';
	return (size_t) (6 + 2 * depth);
}

static void
check_limits(void)
{
	char *json = malloc(MAX_MESSAGE + 1);

	tap_ok(strcmp(show(json, nest(json, 1000)), "array") == 0, "1,000 levels are read");
	tap_ok(strcmp(show(json, nest(json, 1100)), "bad") == 0, "1,100 levels are refused");
	tap_ok(strcmp(show(json, nest(json, 40000)), "bad") == 0, "40,000 levels are refused");
	memset(json, ' ', MAX_MESSAGE + 1);
	memcpy(json, "{\"a\":1}", 7);
	tap_ok(strcmp(show(json, MAX_MESSAGE), "number 1 whole") == 0, "a message of max_message_bytes is read");
	tap_ok(strcmp(show(json, MAX_MESSAGE + 1), "bad") == 0, "one byte more is refused");
	free(json);
}

/* One decoder over many paths and many messages of changing size. */
static void
check_tree(void)
{
	PathSet paths = {.n = 0};
	int b = add_path(&paths, "a.b");
	int a = add_path(&paths, "a");
	int c = add_path(&paths, "a.c.d");
	int again = add_path(&paths, "a.b");
	int e = add_path(&paths, "e");
	int x = add_path(&paths, "\"a.b\"");
	TkDecoder *decoder = tk_decode_json_create(paths.path, paths.n, MAX_MESSAGE);
	const TkDecoderMethods *methods = decoder->methods;
	const char *json = "{\"e\":1,\"a\":{\"z\":{\"b\":9},\"c\":{\"d\":\"two\"},\"b\":\"one\"},\"a.b\":3,\"a\":{\"b\":4}}";
	TkValue v[6];
	int wrong = 0;

	tap_ok(methods->read(decoder, json, strlen(json)) == TK_DECODE_OK, "a document with many paths");
	for (int i = 0; i < paths.n; i++)
		methods->get(decoder, i, &v[i]);
	tap_ok(v[b].len == 3 && memcmp(v[b].text, "one", 3) == 0, "a.b");
	tap_ok(v[again].len == 3 && memcmp(v[again].text, "one", 3) == 0, "a.b, asked for twice");
	tap_ok(v[a].kind == TK_VALUE_OBJECT, "a, an inner node of other paths");
	tap_ok(v[c].len == 3 && memcmp(v[c].text, "two", 3) == 0, "a.c.d");
	tap_ok(v[e].integer == 1 && v[x].integer == 3, "e and \"a.b\", numbers with a text each");
	tap_ok(v[e].len == 1 && v[x].len == 1 && v[e].text[0] == '1' && v[x].text[0] == '3', "which do not collide");
	json = "{\"a\":{},\"a\":{\"b\":4}}";
	methods->read(decoder, json, strlen(json));
	methods->get(decoder, b, &v[b]);
	tap_ok(v[b].kind == TK_VALUE_MISSING, "the first of two objects wins, even if it lacks the key");
	json = "{\"a\":[{\"b\":4}],\"e\":2}";
	methods->read(decoder, json, strlen(json));
	methods->get(decoder, b, &v[b]);
	tap_ok(v[b].kind == TK_VALUE_MISSING, "a path through an array finds nothing, nor what was there before");
	for (int i = 0; i < 300; i++)
	{
		int len = (i * 7919) % 90000;
		char *message = malloc((size_t) len + 32);

		len = sprintf(message, "{\"p\":\"%*s\",\"e\":%d}", len, "", i);
		wrong += methods->read(decoder, message, (size_t) len) != TK_DECODE_OK;
		free(message);
		methods->get(decoder, e, &v[e]);
		wrong += v[e].integer != i;
		wrong += methods->read(decoder, "{\"e\":", 5) != TK_DECODE_BAD;
	}
	tap_ok(wrong == 0, "messages of changing size, good and bad in turn");
	methods->free(decoder);
}

/* ---- extraction ---- */

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
add_rule(Fixture *f, const char *event_type, const char *item_type, int item_path, int weight_path, int n_dimensions)
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
	add_rule(f, "purchase", "product", add_path(&f->paths, "payload.id"), add_path(&f->paths, "payload.n"), 2);
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
	tap_ok(event->rule == &f.rules[0] && event->rule_index == 0, "its rule");
	tap_ok(is_text(&event->item, "/x") && is_text(&event->tenant, ""), "its item, and no tenant");
	tap_ok(is_text(&event->values[0], "mobile") && is_text(&event->values[1], "home"), "its values");
	tap_ok(event->weight == 7, "the rule's constant weight");
	event = extract(&f, VIEW("\"url\":12.50,\"deviceType\":null"));
	tap_ok(event->outcome == TK_COUNTED && is_text(&event->item, "12.5"), "a number as an item");
	tap_ok(is_text(&event->values[0], "unknown") && is_text(&event->values[1], "none"), "null and missing values");
	event = extract(&f, VIEW("\"url\":true,\"deviceType\":1,\"pageCategory\":false"));
	tap_ok(is_text(&event->item, "true") && is_text(&event->values[0], "1") && is_text(&event->values[1], "false"),
		   "booleans and numbers as values");
	event = extract(&f, VIEW("\"url\":\"\",\"deviceType\":\"\""));
	tap_ok(event->outcome == TK_COUNTED && event->item.len == 0 && event->values[0].len == 0,
		   "an empty string is an item, and a value");
	event = extract(&f, "{" META("\"other_8\"") "," PAYLOAD("\"url\":\"u\"") "}");
	tap_ok(event->outcome == TK_COUNTED && event->rule_index == 11, "the last of many rules");
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
		tap_ok(event->outcome == TK_COUNTED && event->weight == (uint64_t) expected, "weight %lld",
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
 * The order of the checks: a message with everything wrong is mended fault by fault, and at each step the next
 * reason of the vocabulary must come up.  Tenants, items and values are each an object, too long, and with NUL.
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
	{"\"purchase\"", ",\"timestamp\":1709211000", "null", "{}", "0", "{}", "bad_tenant"},
	{"\"purchase\"", ",\"timestamp\":1709211000", "LONG", "{}", "0", "{}", "tenant_too_long"},
	{"\"purchase\"", ",\"timestamp\":1709211000", "\"\\u0000\"", "{}", "0", "{}", "tenant_has_nul"},
	{"\"purchase\"", ",\"timestamp\":1709211000", "\"t\"", "[]", "0", "{}", "bad_item"},
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
	snprintf(json, sizeof(json), "{" META("\"page_view\"") ",\"tenant\":%s,\"payload\":{\"url\":%s,\"deviceType\":%s}}",
			 tenant, item, value);
	event = extract(&f, json);
	tap_ok(event->outcome == TK_COUNTED && event->tenant.len == 512 && event->item.len == 1024 &&
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
	tk_extract(f.extractor, "{" META("\"click\"") "}", strlen("{" META("\"click\"") "}"), NOW - 5, NOW, &f.event);
	tap_ok(f.event.outcome == TK_NO_RULE && f.event.time == NOW - 5, "the Kafka timestamp as event time");
	extract(&f, "{" META("\"click\"") "}");
	tap_ok(f.event.reason == TK_NO_EVENT_TIME, "a broker that gives none");
	tk_extract(f.extractor, "{" META("\"click\"") "}", strlen("{" META("\"click\"") "}"), INT64_MAX, NOW, &f.event);
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
	check_paths();
	check_values();
	check_numbers();
	check_broken();
	check_cut_document();
	check_limits();
	check_tree();
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

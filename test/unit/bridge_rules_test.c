/*
 * bridge_rules_test.c - several rules for one event type, items in arrays, filters: what a message yields, in
 * which order, and which outcome it comes to.
 */
#include <stdlib.h>
#include <string.h>

#include "../../bridge/extract.h"
#include "bridge_paths.h"
#include "bridge_tap.h"

#define NOW INT64_C(1709210400000000) /* 2024-02-29 12:40:00 */

typedef struct Fixture
{
	PathSet paths;
	TkDimension dimensions[4];
	TkRule rules[4];
	TkExtractConfig config;
	TkExtractor *extractor;
	TkEvent event;
	char yields[8192];
} Fixture;

static void
set_up(Fixture *f)
{
	memset(f, 0, sizeof(*f));
	f->config.event_type_path = add_path(&f->paths, "t");
	f->config.time_path = add_path(&f->paths, "at");
	f->config.tenant_path = -1;
	f->config.max_message_bytes = 1 << 20;
	f->config.time = (TkTimeRules){60000000, 60000000, 3600000000, 30000000, 600000000};
}

/* A rule for events of type "order"; texts of paths, NULL: none. */
static TkRule *
add_rule(Fixture *f, const char *name, const char *item, const char *weight, const char *dimension)
{
	int n = f->config.n_rules++;
	TkRule *rule = &f->rules[n];

	rule->name = name;
	rule->event_type = "order";
	rule->item_type = "thing";
	rule->item_path = add_path(&f->paths, item);
	rule->weight_path = weight != NULL ? add_path(&f->paths, weight) : -1;
	rule->weight = 1;
	if (dimension != NULL)
	{
		f->dimensions[n] = (TkDimension){"d", add_path(&f->paths, dimension), "none"};
		rule->n_dimensions = 1;
		rule->dimensions = &f->dimensions[n];
	}
	return rule;
}

static void
finish(Fixture *f)
{
	f->config.paths = f->paths.path;
	f->config.n_paths = f->paths.n;
	f->config.rules = f->rules;
	f->extractor = tk_extractor_create(&f->config);
}

/* What comes of an order: "rule:item*weight/value ..." or why nothing. */
static const char *
yields_of(Fixture *f, const char *fields)
{
	static const char *const outcomes[] = {"", "no_rule", "no_item", "filtered", "tombstone", "", "retry"};
	char json[16384];
	char *out = f->yields;
	const TkEvent *event = &f->event;

	snprintf(json, sizeof(json), "{\"t\":\"order\",\"at\":1709210096,%s}", fields);
	memset(&f->event, 0x55, sizeof(f->event));
	tk_extract(f->extractor, json, strlen(json), -1, NOW, &f->event);
	*out = '\0';
	for (int i = 0; i < event->n_yields && out - f->yields < 8000; i++)
	{
		const TkYield *yield = &event->yields[i];

		out += sprintf(out, "%s%s:%.*s*%llu", i > 0 ? " " : "", yield->rule->name, (int) yield->item.len,
					   yield->item.data, (unsigned long long) yield->weight);
		if (yield->rule->n_dimensions > 0)
			out += sprintf(out, "/%.*s", (int) event->values[yield->first_value].len,
						   event->values[yield->first_value].data);
	}
	if (event->outcome == TK_COUNTED)
		return f->yields;
	return event->outcome == TK_DEAD ? tk_reason_name(event->reason) : outcomes[event->outcome];
}

static void
check(Fixture *f, const char *fields, const char *expected)
{
	const char *got = yields_of(f, fields);

	tap_ok(strcmp(got, expected) == 0, "%s -> %s%s%s", fields, expected,
		   strcmp(got, expected) != 0 ? ", but got " : "", strcmp(got, expected) != 0 ? got : "");
}

static void
check_several_rules(void)
{
	Fixture f;

	set_up(&f);
	add_rule(&f, "a", "x", NULL, NULL);
	add_rule(&f, "b", "y", "w", "d");
	add_rule(&f, "c", "x", NULL, "d");
	finish(&f);
	check(&f, "\"x\":1,\"y\":\"p\",\"w\":3,\"d\":\"v\"", "a:1*1 b:p*3/v c:1*1/v");
	check(&f, "\"x\":1,\"d\":\"v\"", "a:1*1 c:1*1/v");
	tap_ok(f.event.n_results == 3 && f.event.results[1].outcome == TK_NO_ITEM &&
			   f.event.results[2].outcome == TK_COUNTED && f.event.results[2].n_items == 1,
		   "each rule's own result");
	check(&f, "\"d\":\"v\"", "no_item");
	check(&f, "\"x\":1,\"y\":\"p\",\"w\":0", "bad_weight");
	tap_ok(f.event.n_yields == 0 && f.event.n_results == 0 && !f.event.has_time,
		   "one rule's fault takes all yields away");
	check(&f, "\"x\":{},\"y\":{}", "bad_item");
	check(&f, "\"y\":\"p\",\"w\":1,\"d\":[]", "bad_value");
	tk_extractor_free(f.extractor);
}

static void
check_arrays(void)
{
	Fixture f;

	set_up(&f);
	add_rule(&f, "r", "p.tags", "w", "p.d");
	finish(&f);
	check(&f, "\"w\":2,\"p\":{\"tags\":[\"a\",\"b\",\"a\"],\"d\":\"v\"}", "r:a*2/v r:b*2/v r:a*2/v");
	check(&f, "\"w\":2,\"p\":{\"tags\":[1,2.50,-3,true,null,18446744073709551615],\"d\":7}",
		  "r:1*2/7 r:2.5*2/7 r:-3*2/7 r:true*2/7 r:18446744073709551615*2/7");
	check(&f, "\"w\":2,\"p\":{\"tags\":\"a\"}", "r:a*2/none");
	check(&f, "\"p\":{\"tags\":[]}", "no_item");
	check(&f, "\"p\":{\"tags\":[null,null]}", "no_item");
	check(&f, "\"p\":{\"tags\":[null,\"a\"]}", "bad_weight");
	check(&f, "\"w\":2,\"p\":{\"tags\":[\"a\",{}]}", "bad_item");
	check(&f, "\"w\":2,\"p\":{\"tags\":[\"a\",[\"b\"]]}", "bad_item");
	check(&f, "\"w\":2,\"p\":{\"tags\":[\"a\\u0000\"]}", "item_has_nul");
	check(&f, "\"w\":2,\"p\":[\"a\"]", "no_item");
	tk_extractor_free(f.extractor);
}

static void
check_arrays_of_objects(void)
{
	Fixture f;

	set_up(&f);
	add_rule(&f, "r", "p.items.sku.id", "p.items.n", "p.items.kind");
	add_rule(&f, "s", "p.items.kind", NULL, "p.country");
	finish(&f);
	check(&f,
		  "\"p\":{\"country\":\"nl\",\"items\":[{\"sku\":{\"id\":1},\"n\":2,\"kind\":\"k\"},{},"
		  "{\"sku\":{\"id\":\"b\"},\"n\":3},{\"sku\":{\"id\":null},\"n\":0,\"kind\":{}}]}",
		  "bad_item");
	check(&f,
		  "\"p\":{\"country\":\"nl\",\"items\":[{\"sku\":{\"id\":1},\"n\":2,\"kind\":\"k\"},{},"
		  "{\"sku\":{\"id\":\"b\"},\"n\":3},{\"sku\":{\"id\":null},\"n\":0,\"kind\":9}]}",
		  "r:1*2/k r:b*3/none s:k*1/nl s:9*1/nl");
	check(&f, "\"p\":{\"items\":[{\"sku\":{\"id\":1}}]}", "bad_weight");
	check(&f, "\"p\":{\"items\":[{\"sku\":{\"id\":1},\"n\":1},{\"sku\":{\"id\":2}}]}", "bad_weight");
	check(&f, "\"p\":{\"items\":[{\"sku\":{\"id\":[1]},\"n\":1}]}", "bad_item");
	check(&f, "\"p\":{\"items\":[{\"sku\":[{\"id\":1}],\"n\":1}]}", "no_item");
	check(&f, "\"p\":{\"items\":[1,\"x\",[],null]}", "no_item");
	check(&f, "\"p\":{\"items\":{\"sku\":{\"id\":1},\"n\":1,\"kind\":\"k\"}}", "r:1*1/k s:k*1/none");
	check(&f, "\"p\":[{\"items\":{\"sku\":{\"id\":1},\"n\":4}}],\"q\":0", "r:1*4/none");
	check(&f, "\"p\":{\"items\":[{\"kind\":\"first\",\"kind\":\"second\"}]}", "s:first*1/none");
	tk_extractor_free(f.extractor);
}

/* A document with n elements in "x", each the same text. */
static char *
long_array(int n, const char *element)
{
	char *text = malloc((size_t) n * (strlen(element) + 1) + 16);
	char *out = text + sprintf(text, "\"x\":[");

	for (int i = 0; i < n; i++)
		out += sprintf(out, "%s%s", i > 0 ? "," : "", element);
	strcpy(out, "]");
	return text;
}

static void
check_array_length(void)
{
	Fixture f;
	char *longest = long_array(TK_MAX_ITEMS, "12");
	char *too_long = long_array(TK_MAX_ITEMS + 1, "null");
	bool same = true;

	set_up(&f);
	add_rule(&f, "r", "x", NULL, NULL);
	add_rule(&f, "s", "x", NULL, NULL);
	finish(&f);
	yields_of(&f, longest);
	for (int i = 0; i < f.event.n_yields; i++)
		same = same && f.event.yields[i].item.len == 2 && memcmp(f.event.yields[i].item.data, "12", 2) == 0;
	tap_ok(f.event.outcome == TK_COUNTED && f.event.n_yields == 2 * TK_MAX_ITEMS && same,
		   "the longest array, twice");
	tap_ok(strcmp(yields_of(&f, too_long), "too_many_items") == 0, "one element more");
	check(&f, "\"x\":3", "r:3*1 s:3*1");
	free(longest);
	free(too_long);
	tk_extractor_free(f.extractor);
}

static void
check_condition(TkCondition condition, const char *fields, bool passes)
{
	Fixture f;
	TkRule *rule;

	set_up(&f);
	rule = add_rule(&f, "r", "x", NULL, NULL);
	condition.path = add_path(&f.paths, "c.v");
	rule->n_conditions = 1;
	rule->conditions = &condition;
	finish(&f);
	check(&f, fields, passes ? "r:1*1" : "filtered");
	tk_extractor_free(f.extractor);
}

#define DOC(value) "\"x\":1,\"c\":{\"v\":" value "}"

static void
check_conditions(void)
{
	static const TkText texts[] = {{"de", 2}, {"204", 3}, {"", 0}};
	const TkCondition in = {.test = TK_TEST_IN, .n_texts = 3, .texts = texts};
	const TkCondition not_in = {.test = TK_TEST_NOT_IN, .n_texts = 3, .texts = texts};
	const TkCondition exists = {.test = TK_TEST_EXISTS};
	const TkCondition missing = {.test = TK_TEST_MISSING};
	static const char *const equal[] = {DOC("\"de\""), DOC("\"204\""), DOC("204"), DOC("204.0"), DOC("\"\"")};
	static const char *const other[] = {DOC("\"d\""), DOC("\"DE\""),   DOC("20"),
										DOC("true"),  DOC("[\"de\"]"), DOC("{}")};
	static const char *const absent[] = {DOC("null"), "\"x\":1", "\"x\":1,\"c\":[{\"v\":\"de\"}]"};

	for (int i = 0; i < 5; i++)
	{
		check_condition(in, equal[i], true);
		check_condition(not_in, equal[i], false);
	}
	for (int i = 0; i < 6; i++)
	{
		check_condition(in, other[i], false);
		check_condition(not_in, other[i], true);
		check_condition(exists, other[i], true);
		check_condition(missing, other[i], false);
	}
	for (int i = 0; i < 3; i++)
	{
		check_condition(in, absent[i], false);
		check_condition(not_in, absent[i], true);
		check_condition(exists, absent[i], false);
		check_condition(missing, absent[i], true);
	}
}

static void
check_order_of_numbers(void)
{
	static const TkTest tests[] = {TK_TEST_LESS, TK_TEST_AT_MOST, TK_TEST_GREATER, TK_TEST_AT_LEAST};
	static const char *const documents[] = {DOC("9"), DOC("10"), DOC("10.5")};
	static const bool passes[4][3] = {
		{true, false, false}, {true, true, false}, {false, false, true}, {false, true, true}};

	for (int i = 0; i < 4; i++)
	{
		const TkCondition condition = {.test = tests[i], .number = 10};

		for (int j = 0; j < 3; j++)
			check_condition(condition, documents[j], passes[i][j]);
		check_condition(condition, DOC("\"10\""), false);
		check_condition(condition, DOC("true"), false);
		check_condition(condition, "\"x\":1", false);
	}
}

/* Filters among the other checks: a filtered rule is not read, and decides nothing but for itself. */
static void
check_filtered_rules(void)
{
	static const TkText no = {"no", 2};
	Fixture f;
	TkCondition condition = {.test = TK_TEST_NOT_IN, .n_texts = 1, .texts = &no};

	set_up(&f);
	add_rule(&f, "a", "x", NULL, NULL);
	add_rule(&f, "b", "y", NULL, NULL);
	condition.path = add_path(&f.paths, "take");
	f.rules[0].n_conditions = f.rules[1].n_conditions = 1;
	f.rules[0].conditions = f.rules[1].conditions = &condition;
	finish(&f);
	check(&f, "\"x\":1,\"y\":2", "a:1*1 b:2*1");
	check(&f, "\"x\":{},\"y\":2,\"take\":\"no\"", "filtered");
	tap_ok(f.event.has_time && f.event.n_results == 2, "a filtered event has a time");
	f.rules[1].n_conditions = 0;
	check(&f, "\"x\":{},\"y\":2,\"take\":\"no\"", "b:2*1");
	tap_ok(f.event.results[0].outcome == TK_FILTERED && f.event.results[1].outcome == TK_COUNTED,
		   "each rule's own result");
	check(&f, "\"x\":{},\"take\":\"no\"", "no_item");
	check(&f, "\"x\":{},\"y\":{},\"take\":\"no\"", "bad_item");
	tk_extractor_free(f.extractor);
}

/* Of the sanitizer's run-time; gcc does not come with its header. */
int __sanitizer_install_malloc_and_free_hooks(void (*malloc_hook)(const volatile void *, size_t),
											  void (*free_hook)(const volatile void *));

static int n_allocations;

static void
count_allocation(const volatile void *block, size_t size)
{
	(void) block;
	(void) size;
	n_allocations++;
}

static void
ignore_free(const volatile void *block)
{
	(void) block;
}

/* Once a message of each shape has been read, no other allocates. */
static void
check_allocations(void)
{
	static const char *const fields[] = {
		"\"a\":[1,2,3.5,4],\"l\":[{\"i\":1,\"w\":2,\"d\":3},{\"i\":\"x\",\"w\":1}]", "\"a\":\"one\"",
		"\"a\":[],\"l\":{}", "\"a\":{}"};
	Fixture f;
	int before;

	set_up(&f);
	add_rule(&f, "a", "a", NULL, "d");
	add_rule(&f, "l", "l.i", "l.w", "l.d");
	finish(&f);
	__sanitizer_install_malloc_and_free_hooks(count_allocation, ignore_free);
	for (int i = 0; i < 4; i++)
		yields_of(&f, fields[i]);
	before = n_allocations;
	for (int i = 0; i < 400; i++)
		yields_of(&f, fields[i % 4]);
	tap_ok(before > 0 && n_allocations == before, "in the steady state nothing is allocated");
	tk_extractor_free(f.extractor);
}

static void
check_names(void)
{
	bool right = tk_test_named("not_in") == TK_TEST_NOT_IN && tk_test_named(">=") == TK_TEST_AT_LEAST;

	tap_ok(right && tk_test_named("=") == TK_N_TESTS, "the names of tests");
}

int
main(void)
{
	check_several_rules();
	check_arrays();
	check_arrays_of_objects();
	check_array_length();
	check_conditions();
	check_order_of_numbers();
	check_filtered_rules();
	check_allocations();
	check_names();
	return tap_done();
}

/*
 * bridge_pane_test.c - panes, lists and families: what an event touches, how panes live and die, memory.
 * Random streams against a model are in bridge_stream_test.c.
 */
#include <stdlib.h>
#include <string.h>

#include "../../bridge/pane.h"
#include "bridge_alloc.h"
#include "bridge_tap.h"

#define M TK_US_PER_MINUTE

/* ---- a configuration: urls by device and category, or by device only; products by shop ---- */

static const TkDimension view_dimensions[] = {{"category", 0, "unknown"}, {"device", 0, "unknown"}};
static const TkDimension scroll_dimensions[] = {{"device", 0, "unknown"}};
static const TkDimension sale_dimensions[] = {{"shop", 0, "unknown"}};

enum
{
	VIEW,
	SCROLL,
	SALE
};

static const TkRule rules[] = {
	[VIEW] = {.item_type = "url", .n_dimensions = 2, .dimensions = view_dimensions},
	[SCROLL] = {.item_type = "url", .n_dimensions = 1, .dimensions = scroll_dimensions},
	[SALE] = {.item_type = "product", .n_dimensions = 1, .dimensions = sale_dimensions},
};

static const TkExtractConfig config = {
	.rules = rules,
	.n_rules = 3,
	.time = {.pane_size = M},
};

static TkText
text_of(const char *text)
{
	return (TkText){text, strlen(text)};
}

static TkStatus
add(TkPaneSet *set, int rule, const char *tenant, int64_t time, const char *item, const char *v0,
	const char *v1)
{
	const TkText values[] = {text_of(v0), text_of(v1 != NULL ? v1 : "")};
	const TkYield yield = {&rules[rule], rule, text_of(item), 3, 0};
	const TkEvent event = {.outcome = TK_COUNTED,
						   .has_time = true,
						   .time = time,
						   .tenant = text_of(tenant),
						   .n_yields = 1,
						   .yields = &yield,
						   .values = values};

	return tk_pane_add(set, &event);
}

static TkPaneSet *
new_set(void)
{
	return tk_pane_set_create(&allocator, &config, 10, 300, 7);
}

/* The weight of an item in a list's pane; -1 if there is no such pane. */
static int64_t
weight_in(const TkList *list, int64_t start, const char *item)
{
	uint64_t lower;
	uint64_t upper;

	for (const TkPane *pane = list->panes; pane != NULL; pane = pane->next)
	{
		if (pane->start != start)
			continue;
		tk_sketch_estimate(pane->sketch, item, strlen(item), &lower, &upper);
		return lower == upper ? (int64_t) upper : -2;
	}
	return -1;
}

static int
dimension_index(const TkFamily *family, const char *name)
{
	for (int i = 0; i < family->n_dimensions; i++)
	{
		if (strcmp(family->dimensions[i], name) == 0)
			return i;
	}
	return -2;
}

/* Finds a list of a value among the new ones. */
static TkList *
new_list(TkPaneSet *set, const TkFamily *family, int dimension, const char *value)
{
	for (TkList *list = tk_pane_next_new_list(set); list != NULL; list = list->next_new)
	{
		if (list->family == family && list->dimension == dimension && strcmp(list->value, value) == 0)
			return list;
	}
	return NULL;
}

static int
count_dirty(TkPaneSet *set)
{
	size_t cursor = 0;
	int n = 0;

	while (tk_pane_next_dirty(set, &cursor) != NULL)
		n++;
	return n;
}

/* ---- the tests ---- */

static void
check_lists(void)
{
	TkPaneSet *set = new_set();
	TkFamily *family;
	TkList *home;
	int category;
	int device;

	add(set, VIEW, "", 5, "/a", "home", "mobile");
	add(set, SCROLL, "", 6, "/a", "mobile", NULL);
	family = tk_pane_next_new_family(set);
	category = dimension_index(family, "category");
	device = dimension_index(family, "device");
	home = new_list(set, family, category, "home");
	tap_ok(strcmp(family->item_type, "url") == 0 && family->tenant_len == 0 && family->n_dimensions == 2,
		   "a family has the dimensions of all its rules");
	tap_ok(family->next_new == NULL, "two rules of one item type make one family");
	tap_ok(family->shareable[device] && !family->shareable[category], "shareable: what every rule names");
	tap_ok(family->across[device]->shared && !family->across[category]->shared, "and shared at first");
	tap_ok(weight_in(family->all, 0, "/a") == 6, "both events are in the list of all");
	tap_ok(weight_in(family->across[category], 0, "/a") == 3, "one is in the list across categories");
	tap_ok(family->across[device]->panes == NULL, "a shared list has no panes");
	tap_ok(weight_in(home, 0, "/a") == 3, "one is in the list of home");
	tap_ok(weight_in(new_list(set, family, device, "mobile"), 0, "/a") == 6,
		   "both are in the list of mobile");
	tap_ok(tk_pane_count(set) == 4 && count_dirty(set) == 4, "four panes, all to be flushed");
	add(set, VIEW, "", 7, "/b", "home", "mobile");
	tap_ok(tk_pane_count(set) == 4 && weight_in(home, 0, "/b") == 3, "the next event finds them");
	tk_pane_set_free(set);
}

static void
check_families(void)
{
	TkPaneSet *set = new_set();
	TkFamily *first;

	add(set, VIEW, "x", 5, "/a", "home", "mobile");
	add(set, VIEW, "y", 5, "/a", "home", "mobile");
	add(set, SALE, "x", 5, "/a", "home", NULL);
	add(set, SCROLL, "y", 5, "/a", "mobile", NULL);
	first = tk_pane_next_new_family(set);
	tap_ok(strcmp(first->tenant, "x") == 0 && strcmp(first->item_type, "url") == 0,
		   "new families come in order");
	tap_ok(tk_pane_next_new_family(set) == first, "and again, until they are interned");
	tap_ok(strcmp(first->next_new->tenant, "y") == 0, "a family for each tenant");
	tap_ok(strcmp(first->next_new->next_new->item_type, "product") == 0, "and for each item type");
	tap_ok(first->next_new->next_new->next_new == NULL, "and no more");
	tap_ok(weight_in(first->all, 0, "/a") == 3 && weight_in(first->next_new->all, 0, "/a") == 6,
		   "tenants are counted apart");
	tk_pane_set_free(set);
}

/* Small tables, many tenants: families of one tenant meet in the hash table. */
static int
count_wrong_families(int first_tenant)
{
	TkPaneSet *set = new_set();
	char tenant[16];
	int n = 0;
	int wrong = 0;

	for (int i = 0; i < 600; i++)
	{
		snprintf(tenant, sizeof(tenant), "%d", first_tenant + i % 200);
		add(set, i % 3 == 0 ? SALE : SCROLL, tenant, 5, "/a", "x", NULL);
	}
	for (TkFamily *family = tk_pane_next_new_family(set); family != NULL; family = family->next_new, n++)
		wrong += weight_in(family->all, 0, "/a") != (strcmp(family->item_type, "url") == 0 ? 6 : 3);
	tk_pane_set_free(set);
	return wrong + (n != 400);
}

static void
check_many_families(void)
{
	int wrong = 0;

	for (int i = 0; i < 20; i++)
		wrong += count_wrong_families(1000 * i);
	tap_ok(wrong == 0, "200 tenants with two families each, 20 times");
}

static void
check_seal_all(void)
{
	TkPaneSet *set = new_set();
	const TkList *all;
	uint64_t first;

	add(set, SALE, "", 5, "p", "berlin", NULL);
	add(set, SALE, "", M, "p", "berlin", NULL);
	all = tk_pane_next_new_family(set)->all;
	first = all->panes->incarnation;
	tap_ok(tk_pane_seal_all(set) == 4 && tk_pane_seal_all(set) == 0, "all panes can be sealed early");
	tk_pane_flushed(set);
	tap_ok(tk_pane_count(set) == 0, "and leave with the flush");
	add(set, SALE, "", M, "p", "berlin", NULL);
	tap_ok(all->panes->incarnation != first && !all->panes->sealed,
		   "their minutes go on in new incarnations");
	tap_ok(tk_pane_seal(set, 2 * M - 1) == 0 && tk_pane_seal(set, 2 * M) == 2, "which live until their end");
	tk_pane_set_free(set);
}

static void
check_interning(void)
{
	TkPaneSet *set = new_set();
	TkFamily *family;
	TkList *list;
	int n = 0;

	add(set, VIEW, "", 5, "/a", "home", "mobile");
	add(set, SALE, "", 5, "p", "berlin", NULL);
	while ((family = tk_pane_next_new_family(set)) != NULL)
	{
		family->interned = true;
		n++;
	}
	tap_ok(n == 2, "each family comes once");
	for (n = 0; (list = tk_pane_next_new_list(set)) != NULL; n++)
		list->list_id = n + 1;
	tap_ok(n == 3, "each list of a value comes once");
	add(set, SALE, "t", 5, "p", "berlin", NULL);
	add(set, SALE, "t", 5, "p", "tokyo", NULL);
	family = tk_pane_next_new_family(set);
	tap_ok(family != NULL && strcmp(family->tenant, "t") == 0 && family->next_new == NULL,
		   "later ones follow");
	list = tk_pane_next_new_list(set);
	tap_ok(strcmp(list->value, "berlin") == 0 && strcmp(list->next_new->value, "tokyo") == 0, "lists, too");
	list->next_new->list_id = 9;
	tap_ok(tk_pane_next_new_list(set) == list, "one that has an id behind one that has none waits");
	list->list_id = 8;
	tap_ok(tk_pane_next_new_list(set) == NULL, "and leaves with it");
	tk_pane_set_free(set);
}

static void
check_unshare(void)
{
	TkPaneSet *set = new_set();
	TkFamily *family;
	TkList *across;
	int device;

	add(set, VIEW, "", 5, "/a", "home", "mobile");
	add(set, VIEW, "", 5 + 2 * M, "/b", "home", "mobile");
	add(set, VIEW, "", 5 + M, "/c", "home", "desktop");
	tk_pane_seal(set, M);
	family = tk_pane_next_new_family(set);
	device = dimension_index(family, "device");
	across = family->across[device];
	tap_ok(tk_family_unshare(set, family, device) == TK_OK && !across->shared, "unshared");
	tap_ok(weight_in(across, 0, "/a") == 3 && weight_in(across, M, "/c") == 3 &&
			   weight_in(across, 2 * M, "/b") == 3,
		   "the list across devices has copies of the panes of all");
	tap_ok(across->panes->start == 2 * M && across->panes->next->start == M, "newest first");
	tap_ok(across->panes->next->next->sealed && !across->panes->sealed, "sealed like the originals");
	tap_ok(across->panes->incarnation != family->all->panes->incarnation, "under incarnations of their own");
	add(set, VIEW, "", 6 + M, "/c", "home", "tablet");
	tap_ok(weight_in(across, M, "/c") == 6 && weight_in(family->all, M, "/c") == 6,
		   "and is counted from then on");
	tap_ok(tk_family_unshare(set, family, device) == TK_OK && weight_in(across, M, "/c") == 6, "once only");
	tap_ok(count_dirty(set) == tk_pane_count(set), "all of it is to be flushed");
	tk_pane_set_free(set);
}

static void
check_life(void)
{
	TkPaneSet *set = new_set();
	const TkList *all;
	uint64_t first;
	size_t cursor = 0;

	add(set, SALE, "", 5, "p", "berlin", NULL);
	all = tk_pane_next_new_family(set)->all;
	first = all->panes->incarnation;
	tap_ok(first >> 32 == 7, "an incarnation carries the run");
	tap_ok(all->panes->changed && !all->panes->rows->written && !all->panes->sealed, "a new pane is changed");
	tap_ok(tk_pane_next_dirty(set, &cursor) != NULL && count_dirty(set) == 2,
		   "an aborted flush changes nothing");
	tk_pane_flushed(set);
	tap_ok(!all->panes->changed && all->panes->rows->written && count_dirty(set) == 0,
		   "flushed: written, unchanged");
	add(set, SALE, "", 6, "p", "tokyo", NULL);
	tap_ok(all->panes->changed && all->panes->rows->changed && all->panes->rows->incarnation == first,
		   "changed again");
	tap_ok(count_dirty(set) == 2 && tk_pane_count(set) == 3, "the changed panes only");
	tap_ok(tk_pane_seal(set, M - 1) == 0, "one microsecond before its end a pane is not sealed");
	tk_pane_flushed(set);
	tap_ok(tk_pane_seal(set, M) == 3 && all->panes->sealed && count_dirty(set) == 3,
		   "at its end it is, and must be written, though unchanged");
	tap_ok(tk_pane_seal(set, M) == 0 && tk_pane_seal(set, 0) == 0, "but once only");
	add(set, SALE, "", 7, "p", "berlin", NULL);
	tap_ok(all->panes->incarnation == first && weight_in(all, 0, "p") == 9,
		   "sealed but unflushed it still counts");
	tap_ok(count_dirty(set) == 3, "and is written once");
	tk_pane_flushed(set);
	tap_ok(tk_pane_count(set) == 0 && all->panes == NULL, "the flush forgets what it sealed");
	add(set, SALE, "", 8, "p", "berlin", NULL);
	tap_ok(all->panes->incarnation != first && all->panes->sealed && weight_in(all, 0, "p") == 3,
		   "a later event makes a new incarnation, sealed at once");
	add(set, SALE, "", M, "p", "berlin", NULL);
	tap_ok(!all->panes->sealed && all->panes->start == M, "an event at the watermark does not");
	tk_pane_flushed(set);
	tap_ok(tk_pane_count(set) == 2 && tk_pane_seal(set, 2 * M) == 2, "and lives on until its own end");
	tk_pane_set_free(set);
}

static void
check_order(void)
{
	TkPaneSet *set = new_set();
	static const int minutes[] = {5, 3, 9, 4, 9, 0, 7, 3};
	const TkList *all;
	int n = 0;

	for (size_t i = 0; i < sizeof(minutes) / sizeof(minutes[0]); i++)
		add(set, SALE, "", minutes[i] * M, "p", "berlin", NULL);
	all = tk_pane_next_new_family(set)->all;
	for (const TkPane *pane = all->panes; pane != NULL; pane = pane->next)
		n += pane->next == NULL || pane->next->start < pane->start;
	tap_ok(n == 6, "panes stand in order, newest first, each once");
	tap_ok(weight_in(all, 9 * M, "p") == 6 && weight_in(all, 3 * M, "p") == 6, "however the events came");
	tap_ok(tk_pane_seal(set, 5 * M) == 6, "the watermark seals those behind it");
	tk_pane_flushed(set);
	tap_ok(tk_pane_count(set) == 6 && all->panes->next->next->next == NULL, "and the flush takes them out");
	tap_ok(tk_pane_seal(set, 6 * M) == 2 && tk_pane_seal(set, 9 * M) == 2 &&
			   tk_pane_seal(set, INT64_MAX) == 2,
		   "and so on to the end");
	tk_pane_set_free(set);
}

static void
check_memory(void)
{
	TkPaneSet *set = new_set();
	unsigned long long seed = 3;
	size_t empty = tk_pane_set_bytes(set);
	size_t full;
	int blocks;
	int failed = 0;
	char item[16];
	char value[16];

	for (int i = 0; i < 20000; i++)
	{
		snprintf(item, sizeof(item), "i%d", tap_below(&seed, 2000));
		snprintf(value, sizeof(value), "v%d", tap_below(&seed, 500));
		add(set, SALE, "", tap_below(&seed, 2 * (int) M), item, value, NULL);
	}
	full = tk_pane_set_bytes(set);
	tap_ok(tk_pane_count(set) == 1002 && full > empty + 100000, "1,002 panes take memory");
	blocks = live_blocks;
	allocations_until_failure = 0;
	for (int i = 0; i < 1000; i++)
		failed += add(set, SALE, "", i, "i1", "v1", NULL) != TK_OK;
	allocations_until_failure = -1;
	tap_ok(failed == 0 && live_blocks == blocks, "known items in known lists allocate nothing");
	tk_pane_seal(set, 2 * M);
	tk_pane_flushed(set);
	tap_ok(tk_pane_count(set) == 0 && tk_pane_set_bytes(set) < empty + 200000,
		   "what is forgotten is given back");
	tk_pane_set_free(set);
	tap_ok(live_blocks == 0, "nothing is left behind");
}

/* Every allocation fails once: each failure is reported, and the set can be thrown away. */
static TkStatus
run_until_failure(void)
{
	TkPaneSet *set = new_set();
	TkStatus status = set == NULL ? TK_NO_MEMORY : TK_OK;
	char item[16];

	for (int i = 0; i < 200 && status == TK_OK; i++)
	{
		snprintf(item, sizeof(item), "i%d", i % 50);
		status = add(set, i % 3, item, i * M / 7, item, item, "x");
		if (status == TK_OK && i == 20)
			status = tk_family_unshare(set, tk_pane_next_new_family(set),
									   dimension_index(tk_pane_next_new_family(set), "device"));
		tk_pane_seal(set, (i - 20) * M / 7);
		if (status == TK_OK && i % 32 == 31)
			tk_pane_flushed(set);
	}
	tk_pane_set_free(set);
	return status;
}

static void
check_out_of_memory(void)
{
	TkStatus status = TK_NO_MEMORY;
	int other = 0;
	int n;

	for (n = 0; status != TK_OK; n++)
	{
		allocations_until_failure = n;
		status = run_until_failure();
		other += status != TK_OK && status != TK_NO_MEMORY;
		other += live_blocks != 0;
	}
	allocations_until_failure = -1;
	tap_ok(n > 100 && other == 0, "each of %d allocations may fail: an error, and nothing left behind",
		   n - 1);
}

/* An event that yields several items, of two rules: each is counted with values of its own. */
static void
check_yields(void)
{
	TkPaneSet *set = new_set();
	const TkText values[] = {text_of("news"), text_of("tv"), text_of("berlin"), text_of("bonn")};
	const TkYield yields[] = {{&rules[SALE], SALE, text_of("p"), 2, 2},
							  {&rules[VIEW], VIEW, text_of("u"), 5, 0},
							  {&rules[SALE], SALE, text_of("p"), 3, 3}};
	const TkEvent event = {
		.outcome = TK_COUNTED, .tenant = text_of(""), .n_yields = 3, .yields = yields, .values = values};
	TkFamily *sales;
	TkFamily *views;

	tap_ok(tk_pane_add(set, &event) == TK_OK, "an event with three yields");
	sales = tk_pane_next_new_family(set);
	views = sales->next_new;
	tap_ok(weight_in(sales->all, 0, "p") == 5 && weight_in(views->all, 0, "u") == 5, "each in its family");
	tap_ok(tk_pane_count(set) == 7 && tk_pane_next_new_list(set)->value_len == strlen("berlin"),
		   "and in the lists of its own values");
	tk_pane_set_free(set);
}

static void
check_overflow(void)
{
	TkPaneSet *set = new_set();
	const TkText value = text_of("berlin");
	TkYield yield = {&rules[SALE], SALE, text_of("p"), TK_MAX_TOTAL, 0};
	const TkEvent event = {
		.outcome = TK_COUNTED, .tenant = text_of(""), .n_yields = 1, .yields = &yield, .values = &value};

	tap_ok(tk_pane_add(set, &event) == TK_OK, "the largest total");
	yield.weight = 1;
	tap_ok(tk_pane_add(set, &event) == TK_OVERFLOW, "one more is an overflow");
	tk_pane_set_free(set);
}

int
main(void)
{
	check_lists();
	check_families();
	check_many_families();
	check_interning();
	check_unshare();
	check_life();
	check_order();
	check_seal_all();
	check_memory();
	check_out_of_memory();
	check_yields();
	check_overflow();
	return tap_done();
}

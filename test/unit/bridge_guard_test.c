/*
 * bridge_guard_test.c - tenants' settings and quotas, and the guard against too many tenants and values.
 *
 * Two workers share a pretended store that lets in the first values of each day and the first tenants, as
 * sql/bridge_tenants.sql does.  On random streams, with workers that start anew at random,
 *   - the values of a dimension, TK_OTHER among them, add up to the list across its values and to `all`;
 *   - all tenants, TK_OTHER among them, add up to what was taken;
 *   - no day has more values than its limit, and a value that was let in is never in TK_OTHER afterwards.
 */
#include <stdlib.h>
#include <string.h>

#include "../../bridge/tenant.h"
#include "bridge_alloc.h"
#include "bridge_tap.h"

#define D TK_US_PER_DAY
#define S TK_US_PER_SECOND
#define MAX_ADMITTED 4096

/* `user` is in every rule of the item type, so its list across values is shared; `page` is not. */
static const TkDimension view_dimensions[] = {{"page", 0, ""}, {"user", 0, ""}};
static const TkDimension scroll_dimensions[] = {{"user", 0, ""}};
static const TkRule rules[] = {{.item_type = "url", .n_dimensions = 2, .dimensions = view_dimensions},
							   {.item_type = "url", .n_dimensions = 1, .dimensions = scroll_dimensions}};
static const TkExtractConfig config = {.rules = rules, .n_rules = 2, .time = {.pane_size = 60 * S}};

static const char *const user_only[] = {"user"};
static const TkTenantRules listed[] = {
	{"closed", false, 10, 300, 5, 0, -1, NULL},
	{"quota", true, 10, 300, 5, 7, -1, NULL},
	{"small", true, 3, 30, 2, 0, 1, user_only},
};
static const TkTenantRules unlisted = {NULL, true, 10, 300, 5, 0, -1, NULL};

static TkLimits
new_limits(void)
{
	return (TkLimits){listed, 3, unlisted, 4, 2, 4};
}

/* An event with what it refers to. */
typedef struct Sample
{
	TkEvent event;
	TkYield yield;
	TkText values[2];
} Sample;

static TkText
text_of(const char *text)
{
	return (TkText){text, strlen(text)};
}

static const TkEvent *
event_of(Sample *sample, int rule, const char *tenant, int64_t time, const char *item, const char *first,
		 const char *second)
{
	sample->values[0] = text_of(first);
	sample->values[1] = text_of(second);
	sample->yield = (TkYield){&rules[rule], rule, text_of(item), 1, 0};
	sample->event = (TkEvent){.outcome = TK_COUNTED,
							  .has_time = true,
							  .time = time,
							  .tenant = text_of(tenant),
							  .n_yields = 1,
							  .yields = &sample->yield,
							  .values = sample->values};
	return &sample->event;
}

/* ---- the store ---- */

typedef struct Admitted
{
	char tenant[16];
	char dimension[16];
	char value[16];
	int32_t day;
	int64_t total; /* what has been written of it */
} Admitted;

static struct
{
	Admitted values[MAX_ADMITTED];
	int n_values;
	char tenants[16][16];
	int n_tenants;
	int64_t all;
	int64_t written[2][2]; /* dimension: of its values, of the list across them where it is not shared */
	int64_t other;         /* of the tenant TK_OTHER */
	int64_t other_values;
} store;

static int wrong;

static void
check(bool passed, const char *what)
{
	if (!passed && wrong++ < 10)
		printf("# wrong: %s\n", what);
}

static Admitted *
store_find(const TkFamily *family, int dimension, const char *value, int32_t day)
{
	for (int i = 0; i < store.n_values; i++)
	{
		Admitted *a = &store.values[i];

		if (a->day == day && strcmp(a->tenant, family->tenant) == 0 &&
			strcmp(a->dimension, family->dimensions[dimension]) == 0 && strcmp(a->value, value) == 0)
			return a;
	}
	return NULL;
}

static uint32_t
store_count(const TkFamily *family, int dimension, int32_t day)
{
	uint32_t n = 0;

	for (int i = 0; i < store.n_values; i++)
		n += store.values[i].day == day && strcmp(store.values[i].tenant, family->tenant) == 0 &&
			 strcmp(store.values[i].dimension, family->dimensions[dimension]) == 0;
	return n;
}

static int64_t
store_admit(const TkListDay *entry)
{
	const TkList *list = entry->list;
	const TkFamily *family = list->family;
	Admitted *a = store_find(family, list->dimension, list->value, entry->day);

	if (a == NULL && store_count(family, list->dimension, entry->day) < family->owner->rules->max_values &&
		store.n_values < MAX_ADMITTED)
	{
		a = &store.values[store.n_values++];
		memset(a, 0, sizeof(*a));
		strcpy(a->tenant, family->tenant);
		strcpy(a->dimension, family->dimensions[list->dimension]);
		strcpy(a->value, list->value);
		a->day = entry->day;
	}
	return a == NULL ? 0 : a - store.values + 1;
}

static bool
store_admit_tenant(const char *name, uint32_t most)
{
	for (int i = 0; i < store.n_tenants; i++)
	{
		if (strcmp(store.tenants[i], name) == 0)
			return true;
	}
	if ((uint32_t) store.n_tenants >= most)
		return false;
	strcpy(store.tenants[store.n_tenants++], name);
	return true;
}

static TkStatus
know_tenants(TkPaneSet *set)
{
	TkStatus status = TK_OK;

	for (int i = 0; i < store.n_tenants && status == TK_OK; i++)
		status = tk_tenant_know(set, &(TkText){store.tenants[i], strlen(store.tenants[i])});
	tk_tenant_close(set);
	return status;
}

static TkStatus
close_day(TkPaneSet *set, TkDimensionDay *day)
{
	TkStatus status = TK_OK;

	for (int i = 0; i < store.n_values && status == TK_OK; i++)
	{
		const Admitted *a = &store.values[i];

		if (store_find(day->family, day->dimension, a->value, day->day) == a)
			status = tk_guard_know(set, day->family, day->dimension, day->day,
								   &(TkText){a->value, strlen(a->value)}, i + 1);
	}
	tk_guard_close(day);
	return status;
}

/* ---- the worker ---- */

static TkStatus
settle_tenants(TkPaneSet *set, uint32_t most)
{
	TkTenant *tenant;
	TkStatus status = TK_OK;

	while (status == TK_OK && (tenant = tk_tenant_next_new(set)) != NULL)
		status = tk_tenant_settle(set, tenant, store_admit_tenant(tenant->name, most));
	return status == TK_OK && tk_tenant_overflowed(set) ? know_tenants(set) : status;
}

static TkStatus
settle_values(TkPaneSet *set)
{
	TkListDay *entry;
	TkDimensionDay *day;
	TkStatus status = TK_OK;

	/* several at a time, as workers do */
	while (status == TK_OK && (entry = tk_guard_next_new(set)) != NULL)
	{
		for (int n = tk_guard_run(entry, 5); n > 0 && status == TK_OK; n--)
		{
			TkListDay *next = entry->next_new;

			check(entry->list->family->redirect == NULL,
				  "only values of tenants that were let in are asked for");
			status = tk_guard_settle(set, entry, store_admit(entry));
			entry = next;
		}
	}
	tk_guard_sweep(set);
	while (status == TK_OK && (day = tk_guard_next_overflowed(set)) != NULL)
		status = close_day(set, day);
	return status;
}

static int64_t
total_of(const TkPane *pane)
{
	uint64_t total = 0;

	for (const TkRow *row = pane->rows; row != NULL; row = row->next)
		total += tk_sketch_total(row->sketch);
	check(total == tk_sketch_total(pane->sketch), "a pane's rows come to the pane");
	return (int64_t) total;
}

/* Panes are flushed once and sealed, so that each is written whole. */
static void
write_pane(const TkPane *pane)
{
	const TkList *list = pane->list;
	const TkFamily *family = list->family;
	int64_t total = total_of(pane);

	check(family->redirect == NULL && family->owner->settled, "only families that were let in are written");
	if (list->dimension == TK_ALL)
	{
		store.all += total;
		store.other += strcmp(family->tenant, TK_OTHER) == 0 ? total : 0;
		return;
	}
	check(!family->across[list->dimension]->left_out, "no list of a dimension that the tenant does not have");
	store.written[list->dimension][list->value == NULL] += total;
	if (list->value == NULL)
		return;
	if (strcmp(list->value, TK_OTHER) == 0)
		store.other_values += total;
	else
	{
		Admitted *a = store_find(family, list->dimension, list->value, (int32_t) (pane->start / D));

		check(a != NULL && list->list_id != 0, "a value that is written was let in");
		if (a != NULL)
			a->total += total;
	}
}

static TkStatus
flush(TkPaneSet *set, uint32_t max_tenants)
{
	TkStatus status = settle_tenants(set, max_tenants);
	TkFamily *family;
	TkList *list;
	TkPane *pane;
	size_t cursor = 0;

	if (status != TK_OK)
		return status;
	while ((family = tk_pane_next_new_family(set)) != NULL)
		family->interned = true;
	status = settle_values(set);
	if (status != TK_OK)
		return status;
	while ((list = tk_pane_next_new_list(set)) != NULL)
	{
		check(strcmp(list->value, TK_OTHER) == 0, "other lists get their ids with their places");
		list->list_id = 99999;
	}
	tk_pane_seal_all(set);
	while ((pane = tk_pane_next_dirty(set, &cursor)) != NULL)
		write_pane(pane);
	tk_pane_flushed(set);
	tk_tenant_flushed(set);
	return TK_OK;
}

static TkPaneSet *
new_worker(const TkLimits *limits)
{
	TkPaneSet *set = tk_pane_set_create(&allocator, &config, 10, 300, 7);

	if (set != NULL && tk_pane_set_limit(set, limits) != TK_OK)
	{
		tk_pane_set_free(set);
		set = NULL;
	}
	if (set != NULL && (uint32_t) store.n_tenants >= limits->max_tenants)
		know_tenants(set);
	for (int i = 0; set != NULL && i < store.n_values; i++)
	{
		const Admitted *a = &store.values[i];
		TkStatus status;
		TkDimensionDay *day = tk_guard_find_day(set, &(TkText){a->tenant, strlen(a->tenant)}, "url",
												a->dimension, a->day, &status);

		if (day != NULL && !day->full &&
			store_count(day->family, day->dimension, day->day) >= day->family->owner->rules->max_values)
			close_day(set, day);
	}
	return set;
}

/* ---- random streams ---- */

typedef struct Stream
{
	TkLimits limits;
	TkPaneSet *worker[2];
	unsigned long long seed;
	int64_t taken;     /* events */
	int64_t with_page; /* of them */
	int64_t with_user;
} Stream;

static void
take_event(Stream *stream)
{
	static const char *const names[] = {"quota", "small", "closed", "a", "b", "c", "d", "e", "f", "g"};
	int rule = tap_below(&stream->seed, 2);
	const char *tenant = names[tap_below(&stream->seed, 10)];
	TkPaneSet *set = stream->worker[tap_below(&stream->seed, 2)];
	char user[16];
	char page[16];
	int64_t time = tap_below(&stream->seed, 3) * D + tap_below(&stream->seed, 3) * 60 * S;
	const TkEvent *event;
	Sample sample;

	snprintf(user, sizeof(user), "u%d", tap_below(&stream->seed, 12));
	snprintf(page, sizeof(page), "p%d", tap_below(&stream->seed, 4));
	event = rule == 0 ? event_of(&sample, 0, tenant, time, "i", page, user)
					  : event_of(&sample, 1, tenant, time, "i", user, "");
	if (tk_tenant_enabled(set, event, 0) != TK_ADMITTED ||
		tk_tenant_spend(set, event, 0, time, 1) != TK_ADMITTED)
		return;
	check(tk_pane_add(set, event) == TK_OK, "an event is counted");
	stream->taken++;
	stream->with_user++;
	stream->with_page += rule == 0 && strcmp(tenant, "small") != 0;
}

static void
check_stream(const Stream *stream)
{
	int page = 0;

	check(store.all == stream->taken, "tenants add up to what was taken");
	check(store.written[page][0] == stream->with_page, "values add up to the events that have the dimension");
	check(store.written[page][1] == stream->with_page, "and so does the list across them");
	check(store.written[1][0] == stream->with_user, "values of a shared dimension add up to all");
	check(store.n_tenants <= (int) stream->limits.max_tenants, "no more tenants than may be");
}

static void
check_streams(void)
{
	int64_t others = 0;
	int64_t other_tenants = 0;

	for (int n = 0; n < 2000; n++)
	{
		Stream stream = {.limits = new_limits(), .seed = (unsigned long long) n};

		memset(&store, 0, sizeof(store));
		stream.worker[0] = new_worker(&stream.limits);
		stream.worker[1] = new_worker(&stream.limits);
		for (int i = 0; i < 200; i++)
		{
			take_event(&stream);
			if (tap_below(&stream.seed, 30) == 0)
			{
				int w = tap_below(&stream.seed, 2);

				check(flush(stream.worker[w], 4) == TK_OK, "a flush");
				if (tap_below(&stream.seed, 3) == 0)
				{
					tk_pane_set_free(stream.worker[w]);
					stream.worker[w] = new_worker(&stream.limits);
				}
			}
		}
		for (int w = 0; w < 2; w++)
		{
			check(flush(stream.worker[w], 4) == TK_OK, "the last flush");
			tk_pane_set_free(stream.worker[w]);
		}
		check_stream(&stream);
		others += store.other_values;
		other_tenants += store.other;
	}
	tap_ok(wrong == 0, "2000 random streams");
	tap_ok(others > 0 && other_tenants > 0, "with values and tenants beyond the limits");
	tap_ok(live_blocks == 0, "nothing is leaked");
}

/* ---- single cases ---- */

static int64_t
value_total(const char *value)
{
	for (int i = 0; i < store.n_values; i++)
	{
		if (strcmp(store.values[i].value, value) == 0)
			return store.values[i].total;
	}
	return -1;
}

static void
add_user(TkPaneSet *set, const char *tenant, int64_t time, const char *user)
{
	Sample event_sample;
	const TkEvent *event = event_of(&event_sample, 1, tenant, time, "i", user, "");

	check(tk_pane_add(set, event) == TK_OK, "an event is counted");
}

/* A value that was let in stays in, also after a restart in which a flood comes before it. */
static void
check_restart(void)
{
	TkLimits limits = new_limits();
	TkPaneSet *set;

	memset(&store, 0, sizeof(store));
	set = new_worker(&limits);
	for (int i = 0; i < 8; i++)
		add_user(set, "a", i, (const char *[]){"u0", "u1", "u2", "u3", "u4", "u5", "u6", "u7"}[i]);
	flush(set, 4);
	tap_ok(store.n_values == 5 && value_total("u4") == 1 && value_total("u5") == -1 &&
			   store.other_values == 3,
		   "the first five values of a day are kept apart, the rest together");
	add_user(set, "a", D, "u7");
	flush(set, 4);
	tap_ok(store.n_values == 6 && value_total("u7") == 1, "the next day begins anew");
	tk_pane_set_free(set);
	set = new_worker(&limits);
	for (int i = 0; i < 50; i++)
	{
		char user[16];

		snprintf(user, sizeof(user), "x%d", i);
		add_user(set, "a", 5, user);
	}
	add_user(set, "a", 6, "u4");
	flush(set, 4);
	tap_ok(value_total("u4") == 2 && store.other_values == 53, "what was let in before a restart stays in");
	tk_pane_set_free(set);
}

static void
check_memory(void)
{
	TkLimits limits = new_limits();
	TkPaneSet *set;
	size_t before = 0;

	memset(&store, 0, sizeof(store));
	set = new_worker(&limits);
	for (int i = 0; i < 20000; i++)
	{
		char text[16];

		snprintf(text, sizeof(text), "%d", i);
		add_user(set, text, 5, text);
		if (i == 10)
			before = tk_pane_set_bytes(set);
	}
	tap_ok(tk_pane_set_bytes(set) <= 2 * before, "a flood of tenants and values takes no memory");
	flush(set, 4);
	tap_ok(store.all == 20000 && store.n_tenants == 4 && store.other == 19996, "and is counted");
	tk_pane_set_free(set);
}

static void
check_tenants(void)
{
	TkLimits limits = new_limits();
	TkPaneSet *set = new_worker(&limits);
	Sample quota_sample;
	const TkEvent *quota = event_of(&quota_sample, 1, "quota", 0, "i", "u", "");
	Sample closed_sample;
	const TkEvent *closed = event_of(&closed_sample, 1, "closed", 0, "i", "u", "");
	TkTenant *tenant;
	int admitted = 0;

	memset(&store, 0, sizeof(store));
	for (int i = 0; i < 5; i++) /* 7 a second over 4 partitions: 2 */
		admitted += tk_tenant_spend(set, quota, 0, 10 * S + i, 1) == TK_ADMITTED;
	tap_ok(admitted == 2, "a quota's share of a partition, rounded up");
	tap_ok(tk_tenant_spend(set, quota, 1, 10 * S, 2) == TK_ADMITTED, "each partition has its own");
	tap_ok(tk_tenant_spend(set, quota, 0, 11 * S, 3) == TK_OVER_QUOTA &&
			   tk_tenant_spend(set, quota, 0, 11 * S, 2) == TK_ADMITTED,
		   "all of an event's items or none; and anew each second");
	tap_ok(tk_tenant_enabled(set, closed, 1) == TK_TENANT_DISABLED &&
			   tk_pane_next_new_family(set)->owner != NULL &&
			   strcmp(tk_pane_next_new_family(set)->tenant, "quota") == 0,
		   "a tenant that is disabled needs no lists");
	for (tenant = NULL; (tenant = tk_tenant_next_changed(set, tenant)) != NULL;)
	{
		if (strcmp(tenant->name, "quota") == 0)
			tap_ok(tenant->meters[0].counted == 4 && tenant->meters[0].over_quota == 4 &&
					   tenant->meters[1].counted == 2,
				   "meters");
		else
			tap_ok(tenant->meters[1].disabled == 1 && !tenant->meters[0].changed,
				   "of the partition that it was on");
	}
	tk_tenant_flushed(set);
	tap_ok(tk_tenant_next_changed(set, NULL) == NULL, "are written once");
	tap_ok(tk_tenant_spend(set, quota, 0, 11 * S, 1) == TK_OVER_QUOTA,
		   "and the second goes on after a flush");
	tk_pane_set_free(set);
	set = new_worker(&limits);
	tk_tenant_restore(set, &(TkText){"quota", 5}, 0, 11, 1);
	tap_ok(tk_tenant_spend(set, quota, 0, 11 * S, 2) == TK_OVER_QUOTA &&
			   tk_tenant_spend(set, quota, 0, 11 * S, 1) == TK_ADMITTED,
		   "and after a restart");
	tk_pane_set_free(set);
}

static void
check_refused_unlisted(void)
{
	TkLimits limits = new_limits();
	TkPaneSet *set;
	Sample event_sample;
	const TkEvent *event = event_of(&event_sample, 1, "nobody", 0, "i", "u", "");
	Sample known_sample;
	const TkEvent *known = event_of(&known_sample, 1, "small", 0, "i", "u", "");

	limits.unlisted.enabled = false;
	set = new_worker(&limits);
	tap_ok(tk_tenant_enabled(set, event, 0) == TK_TENANT_DISABLED, "unlisted tenants can be refused");
	tap_ok(strcmp(tk_tenant_next_changed(set, NULL)->name, TK_OTHER) == 0, "and are counted together");
	tap_ok(tk_tenant_enabled(set, known, 0) == TK_ADMITTED, "a listed one is not");
	tap_ok(tk_pane_add(set, known) == TK_OK && tk_pane_next_new_family(set)->capacity == 30 &&
			   tk_pane_next_new_family(set)->k == 3,
		   "and has the sketches that its settings say");
	tk_pane_set_free(set);
}

/* Every allocation fails once: the set is thrown away, and nothing is left. */
static void
check_no_memory(void)
{
	TkLimits limits = new_limits();
	int before = live_blocks;
	int failures = 0;
	bool done = false;

	for (int n = 0; !done && n < 100000; n++)
	{
		TkPaneSet *set;
		TkStatus status = TK_OK;

		memset(&store, 0, sizeof(store));
		allocations_until_failure = n;
		set = new_worker(&limits);
		for (int i = 0; set != NULL && i < 40 && status == TK_OK; i++)
		{
			char text[2] = {(char) ('a' + i % 9), 0};
			char user[2] = {(char) ('a' + i % 13), 0};
			Sample event_sample;
			const TkEvent *event = event_of(&event_sample, 0, text, i % 2 * D, "i", "p", user);

			status = tk_tenant_spend(set, event, 0, 0, 1) == TK_NOT_ADMITTED ? TK_NO_MEMORY
																			 : tk_pane_add(set, event);
			if (i == 20 && status == TK_OK)
				status = flush(set, 4);
		}
		if (set != NULL && status == TK_OK)
			status = flush(set, 4);
		done = set != NULL && status == TK_OK;
		failures += !done;
		allocations_until_failure = -1;
		tk_pane_set_free(set);
	}
	tap_ok(done && failures > 50 && live_blocks == before, "out of memory at each of %d allocations",
		   failures);
}

int
main(void)
{
	check_tenants();
	check_refused_unlisted();
	check_restart();
	check_memory();
	check_streams();
	check_no_memory();
	tap_ok(wrong == 0, "nothing else was wrong");
	return tap_done();
}

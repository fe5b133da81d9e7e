/*
 * bridge_stream_test.c - ten thousand small random streams through clocks and panes, against a model that
 * recounts everything.
 *
 * A stream has a log of events on a few partitions.  A worker as the bridge has it reads the log, judges, counts,
 * seals, and flushes into a pretended store; flushes are aborted and workers crash at random, and go on from what
 * was committed.  The model knows nothing of clocks, panes and lists: it looks at the whole log again for every
 * question.  After every committed flush
 *   - the store's rows add up to the model's count of every (tenant, item type, dimension, value, minute, item);
 *   - a row of this run is sealed exactly if its minute's end is at or before the worker's watermark;
 *   - no row was written again after it had been sealed.
 */
#include <stdlib.h>
#include <string.h>

#include "../../bridge/pane.h"
#include "bridge_tap.h"

#define M TK_US_PER_MINUTE
#define S TK_US_PER_SECOND

#define N_STREAMS 10000
#define MAX_EVENTS 120
#define MAX_PARTITIONS 3
#define N_ITEMS 6
#define N_VALUES 3
#define N_MINUTES 80
#define N_LISTS (2 * 2 * 9)
#define MAX_ROWS 4000
#define MAX_SEEN 200

enum
{
	VIEW,
	SCROLL,
	SALE
};

static const TkDimension view_dimensions[] = {{"category", 0, ""}, {"device", 0, ""}};
static const TkDimension scroll_dimensions[] = {{"device", 0, ""}};
static const TkDimension sale_dimensions[] = {{"shop", 0, ""}};

static const TkRule rules[] = {
	[VIEW] = {.item_type = "url", .n_dimensions = 2, .dimensions = view_dimensions},
	[SCROLL] = {.item_type = "url", .n_dimensions = 1, .dimensions = scroll_dimensions},
	[SALE] = {.item_type = "product", .n_dimensions = 1, .dimensions = sale_dimensions},
};

static const char *const tenants[] = {"", "t"};
static const char *const items[N_ITEMS] = {"a", "b", "c", "d", "e", "f"};
static const char *const values[N_VALUES] = {"x", "y", "z"};

typedef struct LogEntry
{
	int partition;
	int rule;
	int tenant;
	int item;
	int value[2];
	int weight;
	int64_t time;
	bool was_read;
	int64_t now;		 /* when first read */
	TkLateness lateness; /* as judged then */
} LogEntry;

typedef struct Row
{
	int list;
	int minute;
	uint64_t incarnation;
	bool sealed;
	int32_t count[N_ITEMS];
} Row;

typedef int32_t Counts[N_LISTS][N_MINUTES][N_ITEMS];

/* What a worker holds, and would lose in a crash. */
typedef struct Worker
{
	TkPaneSet *set;
	TkPartitionClock clock[MAX_PARTITIONS];
	int64_t watermark;
	int position; /* in the log */
	uint32_t run;
} Worker;

static struct
{
	TkExtractConfig config;
	int n_partitions;
	bool own_list[2][2]; /* by item type and dimension: the store keeps the list across values apart */
	LogEntry log[MAX_EVENTS];
	int n_log;
	int64_t now;

	Worker worker;
	Worker committed; /* clocks and position of the last commit */
	int64_t seen_at_end[MAX_PARTITIONS][MAX_SEEN]; /* when it was, since the last message or restart */
	int n_seen[MAX_PARTITIONS];
	Row rows[MAX_ROWS];
	int n_rows;
	unsigned long long seed;
} t;

static Counts counts_of_model;
static Counts counts_of_store;
static int wrong;
static int n_late, n_too_late, n_aborted, n_crashed, n_all_idle, n_unshared, n_flushed;

static void *
test_alloc(void *arg, size_t size)
{
	(void) arg;
	return malloc(size);
}

static void
test_release(void *arg, void *block)
{
	(void) arg;
	free(block);
}

static void
check(bool passed, const char *what)
{
	if (!passed && wrong++ < 10)
		printf("# wrong: %s\n", what);
}

static int
below(int n)
{
	return tap_below(&t.seed, n);
}

/* ---- the model ---- */

static int
type_of_rule(int rule)
{
	return rule == SALE;
}

/* `all` has dimension -1; across values has value -1.  Dimensions: category and shop 0, device 1. */
static int
list_number(int tenant, int type, int dimension, int value)
{
	int within = dimension < 0 ? 0 : value < 0 ? 1 + dimension : 3 + dimension * N_VALUES + value;

	return (tenant * 2 + type) * 9 + within;
}

static bool
model_keeps_across(int type, int dimension)
{
	bool every_rule_names_it = type == 1 || dimension == 1;

	return !every_rule_names_it || t.own_list[type][dimension];
}

static void
model_count(const LogEntry *e)
{
	int type = type_of_rule(e->rule);
	int64_t minute = e->time / M;
	int n = rules[e->rule].n_dimensions;

	counts_of_model[list_number(e->tenant, type, -1, -1)][minute][e->item] += e->weight;
	for (int i = 0; i < n; i++)
	{
		int dimension = e->rule == SCROLL ? 1 : i;

		counts_of_model[list_number(e->tenant, type, dimension, e->value[i])][minute][e->item] += e->weight;
		if (model_keeps_across(type, dimension))
			counts_of_model[list_number(e->tenant, type, dimension, -1)][minute][e->item] += e->weight;
	}
}

/* The highest event time of a partition before a place in the log, no event counting as later than it was read. */
static int64_t
model_highest(int partition, int before)
{
	int64_t highest = -1;

	for (int i = 0; i < before; i++)
	{
		int64_t time = t.log[i].time < t.log[i].now ? t.log[i].time : t.log[i].now;

		if (t.log[i].partition == partition && time > highest)
			highest = time;
	}
	return highest;
}

static TkLateness
model_judge(int at)
{
	int64_t highest = model_highest(t.log[at].partition, at);
	int64_t watermark = highest - t.config.time.out_of_orderness;
	int64_t pane_end = (t.log[at].time / M + 1) * M;

	if (highest < 0 || pane_end > watermark)
		return TK_IN_TIME;
	return pane_end + t.config.time.allowed_lateness > watermark ? TK_LATE : TK_TOO_LATE;
}

static bool
model_idle(int partition)
{
	int n = t.n_seen[partition];

	return n > 0 && t.seen_at_end[partition][n - 1] - t.seen_at_end[partition][0] >= t.config.time.idle_timeout;
}

static int64_t
model_watermark(void)
{
	int64_t lowest = INT64_MAX;
	int64_t highest = -1;
	int64_t last_end = 0;

	for (int p = 0; p < t.n_partitions; p++)
	{
		int64_t time = model_highest(p, t.worker.position);

		highest = time > highest ? time : highest;
		if (model_idle(p))
			last_end = t.seen_at_end[p][0] > last_end ? t.seen_at_end[p][0] : last_end;
		else if (time < 0)
			lowest = TK_NO_TIME;
		else if (time - t.config.time.out_of_orderness < lowest)
			lowest = time - t.config.time.out_of_orderness;
	}
	if (lowest != INT64_MAX)
		return lowest;
	n_all_idle++;
	return highest < 0 ? TK_NO_TIME : highest + (t.now - last_end) - t.config.time.out_of_orderness;
}

/* ---- the store ---- */

static int
index_of(const char *text, const char *const *texts, int n)
{
	for (int i = 0; i < n; i++)
	{
		if (strcmp(texts[i], text) == 0)
			return i;
	}
	abort();
}

static int
number_of(const TkList *list)
{
	const TkFamily *family = list->family;
	int tenant = index_of(family->tenant, tenants, 2);
	int type = strcmp(family->item_type, "product") == 0;
	int dimension = -1;

	if (list->dimension != TK_ALL)
		dimension = strcmp(family->dimensions[list->dimension], "device") == 0;
	return list_number(tenant, type, dimension, list->value == NULL ? -1 : index_of(list->value, values, N_VALUES));
}

static Row *
store_find(uint64_t incarnation)
{
	for (int i = t.n_rows - 1; i >= 0; i--)
	{
		if (t.rows[i].incarnation == incarnation)
			return &t.rows[i];
	}
	return NULL;
}

static void
store_write(const TkPane *pane)
{
	Row *row = store_find(pane->incarnation);
	int64_t total = 0;

	check((row != NULL) == pane->written, "written tells whether the store has the row");
	if (row == NULL)
	{
		if (t.n_rows == MAX_ROWS)
			abort();
		row = &t.rows[t.n_rows++];
	}
	else
	{
		check(!row->sealed, "a sealed row is never written again");
		check(row->list == number_of(pane->list) && row->minute == pane->start / M, "an incarnation is one pane");
	}
	row->list = number_of(pane->list);
	row->minute = (int) (pane->start / M);
	row->incarnation = pane->incarnation;
	row->sealed = pane->sealed;
	for (int i = 0; i < N_ITEMS; i++)
	{
		uint64_t lower;
		uint64_t upper;

		tk_sketch_estimate(pane->sketch, items[i], 1, &lower, &upper);
		check(lower == upper, "a small sketch is exact");
		row->count[i] = (int32_t) upper;
		total += row->count[i];
	}
	check(tk_sketch_total(pane->sketch) == (uint64_t) total, "a pane's total");
}

/* Every other time settles families one by one, else all at once. */
static void
store_intern(void)
{
	bool one_by_one = below(2) == 0;
	TkFamily *family = tk_pane_next_new_family(t.worker.set);
	TkList *list;
	int64_t id = 1;

	while (family != NULL)
	{
		for (int i = 0; i < family->n_dimensions; i++)
		{
			int type = strcmp(family->item_type, "product") == 0;
			int dimension = strcmp(family->dimensions[i], "device") == 0;

			if (!family->across[i]->shared || !t.own_list[type][dimension])
				continue;
			check(tk_family_unshare(t.worker.set, family, i) == TK_OK, "unshare");
			n_unshared++;
		}
		family->interned = true;
		family = one_by_one ? tk_pane_next_new_family(t.worker.set) : family->next_new;
	}
	check(tk_pane_next_new_family(t.worker.set) == NULL, "no family is left over");
	for (list = tk_pane_next_new_list(t.worker.set); list != NULL; list = list->next_new)
		list->list_id = id++;
	check(tk_pane_next_new_list(t.worker.set) == NULL, "no list is left over");
}

static void
compare_with_model(void)
{
	memset(counts_of_store, 0, sizeof(counts_of_store));
	for (int i = 0; i < t.n_rows; i++)
	{
		const Row *row = &t.rows[i];
		bool past = (row->minute + 1) * M <= t.worker.watermark;

		if (row->incarnation >> 32 == t.worker.run)
			check(row->sealed == past, "a row is sealed exactly if its end is behind the watermark");
		for (int j = 0; j < N_ITEMS; j++)
			counts_of_store[row->list][row->minute][j] += row->count[j];
	}
	memset(counts_of_model, 0, sizeof(counts_of_model));
	for (int i = 0; i < t.worker.position; i++)
	{
		if (t.log[i].lateness != TK_TOO_LATE)
			model_count(&t.log[i]);
	}
	check(memcmp(counts_of_model, counts_of_store, sizeof(Counts)) == 0, "the store's rows add up to the model");
}

/* ---- the worker ---- */

static void
worker_start(uint32_t run)
{
	static const TkAllocator allocator = {test_alloc, test_release, NULL};

	t.worker.set = tk_pane_set_create(&allocator, &t.config, 10, 300, run);
	t.worker.run = run;
	t.worker.watermark = TK_NO_TIME;
	memset(t.n_seen, 0, sizeof(t.n_seen));
}

static void
worker_crash(void)
{
	tk_pane_set_free(t.worker.set);
	t.worker.position = t.committed.position;
	for (int p = 0; p < t.n_partitions; p++)
		tk_clock_restore(&t.worker.clock[p], t.committed.clock[p].max_event_time, t.committed.clock[p].watermark);
	worker_start(t.worker.run + 1);
	n_crashed++;
}

static void
worker_read(void)
{
	LogEntry *e = &t.log[t.worker.position];
	TkPartitionClock *clock = &t.worker.clock[e->partition];
	TkEvent event = {.outcome = TK_COUNTED, .has_time = true, .time = e->time, .weight = (uint64_t) e->weight};
	TkLateness lateness = tk_clock_judge(clock, &t.config.time, e->time);

	check(lateness == model_judge(t.worker.position), "late, too late or in time");
	check(!e->was_read || lateness == e->lateness, "the same when read again after a crash");
	if (!e->was_read)
		e->now = t.now;
	e->was_read = true;
	e->lateness = lateness;
	n_late += lateness == TK_LATE;
	n_too_late += lateness == TK_TOO_LATE;
	tk_clock_observe(clock, &t.config.time, e->time, t.now);
	t.n_seen[e->partition] = 0;
	t.worker.position++;
	if (lateness == TK_TOO_LATE)
		return;
	event.rule_index = e->rule;
	event.rule = &rules[e->rule];
	event.tenant = (TkText){tenants[e->tenant], strlen(tenants[e->tenant])};
	event.item = (TkText){items[e->item], 1};
	for (int i = 0; i < event.rule->n_dimensions; i++)
		event.values[i] = (TkText){values[e->value[i]], 1};
	check(tk_pane_add(t.worker.set, &event) == TK_OK, "counting");
}

static void
worker_seal(void)
{
	int64_t watermark = tk_watermark_of(t.worker.clock, t.n_partitions, &t.config.time, t.now);

	check(watermark == model_watermark(), "the watermark of all partitions");
	if (watermark > t.worker.watermark)
		t.worker.watermark = watermark;
	tk_pane_seal(t.worker.set, t.worker.watermark);
}

static void
worker_flush(bool abort_it)
{
	size_t cursor = 0;
	TkPane *pane;

	store_intern();
	if (abort_it)
	{
		n_aborted++;
		return;
	}
	while ((pane = tk_pane_next_dirty(t.worker.set, &cursor)) != NULL)
		store_write(pane);
	tk_pane_flushed(t.worker.set);
	t.committed = t.worker;
	compare_with_model();
	n_flushed++;
}

/* ---- streams ---- */

/* Mostly a little behind the clock, sometimes far, sometimes ahead (not where a crash makes `now` matter). */
static int64_t
random_time(bool may_be_ahead)
{
	int64_t back = below(10) == 0 ? below(15 * 60) * S : below(90) * S;

	if (may_be_ahead && below(20) == 0)
		return t.now + below(120) * S;
	return t.now > back ? t.now - back : 0;
}

static void
append_event(bool may_be_ahead)
{
	LogEntry *e = &t.log[t.n_log++];

	e->partition = below(t.n_partitions);
	e->rule = below(3);
	e->tenant = below(4) == 0;
	e->item = below(N_ITEMS);
	e->value[0] = below(N_VALUES);
	e->value[1] = below(N_VALUES);
	e->weight = 1 + below(3);
	e->time = random_time(may_be_ahead);
}

static void
watch_end(int p, bool at_end)
{
	tk_clock_set_at_end(&t.worker.clock[p], &t.config.time, at_end, t.now);
	if (at_end && t.n_seen[p] < MAX_SEEN)
		t.seen_at_end[p][t.n_seen[p]++] = t.now;
	else
		t.n_seen[p] = 0;
}

/* A while in which nothing comes on any partition. */
static void
be_quiet(void)
{
	while (t.worker.position < t.n_log)
		worker_read();
	for (int i = 0; i < 3; i++)
	{
		for (int p = 0; p < t.n_partitions; p++)
			watch_end(p, true);
		worker_seal();
		t.now += below(60) * S;
	}
}

static void
begin_stream(unsigned long long seed)
{
	memset(&t, 0, sizeof(t));
	t.seed = seed;
	t.config.rules = rules;
	t.config.n_rules = 3;
	t.config.time.pane_size = M;
	t.config.time.out_of_orderness = below(4) * 40 * S;
	t.config.time.allowed_lateness = below(4) * 2 * M;
	t.config.time.idle_timeout = (1 + below(3)) * 30 * S;
	t.n_partitions = 1 + below(MAX_PARTITIONS);
	t.own_list[0][1] = below(2) == 0;
	t.own_list[1][0] = below(2) == 0;
	t.now = 15 * M + below(120) * S;
	for (int p = 0; p < t.n_partitions; p++)
		tk_clock_init(&t.worker.clock[p]);
	worker_start(1);
	t.committed = t.worker;
}

static void
end_stream(void)
{
	while (t.worker.position < t.n_log)
		worker_read();
	t.worker.watermark = INT64_MAX;
	tk_pane_seal(t.worker.set, INT64_MAX);
	worker_flush(false);
	check(tk_pane_count(t.worker.set) == 0, "at the end of time all panes are gone");
	tk_pane_set_free(t.worker.set);
}

static void
run_stream(unsigned long long seed)
{
	bool may_crash;
	int n_events;

	begin_stream(seed);
	may_crash = below(2) == 0;
	n_events = 10 + below(MAX_EVENTS - 10);
	while (t.n_log < n_events && t.now < (N_MINUTES - 4) * M)
	{
		int what = below(100);

		t.now += below(30) * S;
		if (what < 70)
			append_event(!may_crash);
		else if (what < 84)
			watch_end(below(t.n_partitions), below(5) != 0);
		else if (what < 85)
			be_quiet();
		else if (what < 90)
			worker_seal();
		else if (what < 97)
		{
			worker_seal();
			worker_flush(below(5) == 0);
		}
		else if (may_crash)
			worker_crash();
		if (below(8) != 0 && t.worker.position < t.n_log)
			worker_read();
	}
	end_stream();
}

int
main(void)
{
	for (int i = 0; i < N_STREAMS && wrong == 0; i++)
	{
		run_stream((unsigned long long) i);
		if (wrong > 0)
			printf("# in stream %d\n", i);
	}
	tap_ok(wrong == 0, "%d streams agree with the model", N_STREAMS);
	printf("# %d flushes, %d aborted, %d crashes, %d late, %d too late, %d times all idle, %d lists unshared\n",
		   n_flushed, n_aborted, n_crashed, n_late, n_too_late, n_all_idle, n_unshared);
	tap_ok(n_flushed > N_STREAMS && n_aborted > 1000 && n_crashed > 1000, "flushes, aborts and crashes happened");
	tap_ok(n_late > 1000 && n_too_late > 1000 && n_all_idle > 1000 && n_unshared > 1000, "and all the rest");
	return tap_done();
}

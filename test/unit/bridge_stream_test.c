/*
 * bridge_stream_test.c - ten thousand small random streams through clocks and panes, against a model that
 * recounts everything.
 *
 * A stream has a log of events on a few partitions.  A worker as the bridge has it reads the log, judges,
 * counts, seals, and flushes into a pretended store; flushes are aborted and workers crash at random, and go
 * on from what was committed.  The model knows nothing of clocks, panes and lists: it looks at the whole log
 * again for every question.  After every committed flush
 *   - the rows add up to the model's count of every (tenant, item type, dimension, value, minute, item);
 *   - a row of this run is sealed exactly if its minute's end is at or before the worker's watermark
 *     (at least then, in streams where all panes are once sealed early);
 *   - no row was written again after it had been sealed.
 */
#include <stdlib.h>
#include <string.h>

#include "bridge_stream_model.h"

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
	return list_number(tenant, type, dimension,
					   list->value == NULL ? -1 : index_of(list->value, values, N_VALUES));
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
store_write(const TkPane *pane, const TkRow *written)
{
	Row *row = store_find(written->incarnation);
	int64_t total = 0;

	tap_check((row != NULL) == written->written, "written tells whether the store has the row");
	if (row == NULL)
	{
		if (t.n_rows == MAX_ROWS)
			abort();
		row = &t.rows[t.n_rows++];
	}
	else
	{
		tap_check(!row->sealed, "a sealed row is never written again");
		tap_check(row->list == number_of(pane->list) && row->minute == pane->start / M,
				  "an incarnation is one pane");
	}
	row->list = number_of(pane->list);
	row->minute = (int) (pane->start / M);
	row->incarnation = written->incarnation;
	row->sealed = tk_row_is_sealed(pane, written);
	for (int i = 0; i < N_ITEMS; i++)
	{
		uint64_t lower;
		uint64_t upper;

		tk_sketch_estimate(written->sketch, items[i], 1, &lower, &upper);
		tap_check(lower == upper, "a small sketch is exact");
		row->count[i] = (int32_t) upper;
		total += row->count[i];
	}
	tap_check(tk_sketch_total(written->sketch) == (uint64_t) total, "a row's total");
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
			tap_check(tk_family_unshare(t.worker.set, family, i) == TK_OK, "unshare");
			n_unshared++;
		}
		family->interned = true;
		family = one_by_one ? tk_pane_next_new_family(t.worker.set) : family->next_new;
	}
	tap_check(tk_pane_next_new_family(t.worker.set) == NULL, "no family is left over");
	for (list = tk_pane_next_new_list(t.worker.set); list != NULL; list = list->next_new)
		list->list_id = id++;
	tap_check(tk_pane_next_new_list(t.worker.set) == NULL, "no list is left over");
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
			tap_check(row->sealed == past || (row->sealed && t.sealed_early), "sealed: behind the watermark");
		for (int j = 0; j < N_ITEMS; j++)
			counts_of_store[row->list][row->minute][j] += row->count[j];
	}
	memset(counts_of_model, 0, sizeof(counts_of_model));
	for (int i = 0; i < t.worker.position; i++)
	{
		if (t.log[i].lateness != TK_TOO_LATE)
			model_count(&t.log[i]);
	}
	tap_check(memcmp(counts_of_model, counts_of_store, sizeof(Counts)) == 0,
			  "the store's rows add up to the model");
}

/* ---- the worker ---- */

static void
worker_start(uint32_t run)
{

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
		tk_clock_restore(&t.worker.clock[p], t.committed.clock[p].max_event_time,
						 t.committed.clock[p].watermark);
	worker_start(t.worker.run + 1);
	n_crashed++;
}

static void
worker_read(void)
{
	LogEntry *e = &t.log[t.worker.position];
	TkPartitionClock *clock = &t.worker.clock[e->partition];
	const TkText event_values[] = {{values[e->value[0]], 1}, {values[e->value[1]], 1}};
	const TkYield yield = {&rules[e->rule], e->rule, {items[e->item], 1}, (uint64_t) e->weight, 0};
	const TkEvent event = {.outcome = TK_COUNTED,
						   .has_time = true,
						   .time = e->time,
						   .tenant = {tenants[e->tenant], strlen(tenants[e->tenant])},
						   .n_yields = 1,
						   .yields = &yield,
						   .values = event_values};
	TkLateness lateness = tk_clock_judge(clock, &t.config.time, e->time);

	tap_check(lateness == model_judge(t.worker.position), "late, too late or in time");
	tap_check(!e->was_read || lateness == e->lateness, "the same when read again after a crash");
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
	tap_check(tk_pane_add(t.worker.set, &event) == TK_OK, "counting");
}

static void
worker_seal(void)
{
	int64_t watermark = tk_watermark_of(t.worker.clock, t.n_partitions, &t.config.time, t.now);

	tap_check(watermark == model_watermark(), "the watermark of all partitions");
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
		for (const TkRow *row = pane->rows; row != NULL; row = row->next)
			store_write(pane, row);
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
	tap_check(tk_pane_count(t.worker.set) == 0, "at the end of time all panes are gone");
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
		else if (what < 89)
			worker_seal();
		else if (what < 90)
		{
			t.sealed_early = true;
			tk_pane_seal_all(t.worker.set);
		}
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
	for (int i = 0; i < N_STREAMS && tap_wrong == 0; i++)
	{
		run_stream((unsigned long long) i);
		if (tap_wrong > 0)
			printf("# in stream %d\n", i);
	}
	tap_ok(tap_wrong == 0, "%d streams agree with the model", N_STREAMS);
	printf(
		"# %d flushes, %d aborted, %d crashes, %d late, %d too late, %d times all idle, %d lists unshared\n",
		n_flushed, n_aborted, n_crashed, n_late, n_too_late, n_all_idle, n_unshared);
	tap_ok(n_flushed > N_STREAMS && n_aborted > 1000 && n_crashed > 1000,
		   "flushes, aborts and crashes happened");
	tap_ok(n_late > 1000 && n_too_late > 1000 && n_all_idle > 1000 && n_unshared > 1000, "and all the rest");
	return tap_done();
}

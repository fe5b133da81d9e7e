/*
 * bridge_guard_test.c - tenants' settings and quotas, and the guard against too many tenants and values.
 *
 * Two workers share a pretended store that lets in the first values of each day and the first tenants, as
 * sql/bridge_tenants.sql does.  On random streams, with workers that start anew at random,
 *   - the values of a dimension, TK_OTHER among them, add up to the list across its values and to `all`;
 *   - all tenants, TK_OTHER among them, add up to what was taken;
 *   - no day has more values than its limit, and a value that was let in is never in TK_OTHER afterwards.
 */
#include "bridge_guard_model.h"

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
	tap_check(tk_pane_add(set, event) == TK_OK, "an event is counted");
	stream->taken++;
	stream->with_user++;
	stream->with_page += rule == 0 && strcmp(tenant, "small") != 0;
}

static void
check_stream(const Stream *stream)
{
	int page = 0;

	tap_check(store.all == stream->taken, "tenants add up to what was taken");
	tap_check(store.written[page][0] == stream->with_page,
			  "values add up to the events that have the dimension");
	tap_check(store.written[page][1] == stream->with_page, "and so does the list across them");
	tap_check(store.written[1][0] == stream->with_user, "values of a shared dimension add up to all");
	tap_check(store.n_tenants <= (int) stream->limits.max_tenants, "no more tenants than may be");
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

				tap_check(flush(stream.worker[w], 4) == TK_OK, "a flush");
				if (tap_below(&stream.seed, 3) == 0)
				{
					tk_pane_set_free(stream.worker[w]);
					stream.worker[w] = new_worker(&stream.limits);
				}
			}
		}
		for (int w = 0; w < 2; w++)
		{
			tap_check(flush(stream.worker[w], 4) == TK_OK, "the last flush");
			tk_pane_set_free(stream.worker[w]);
		}
		check_stream(&stream);
		others += store.other_values;
		other_tenants += store.other;
	}
	tap_ok(tap_wrong == 0, "2000 random streams");
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

	tap_check(tk_pane_add(set, event) == TK_OK, "an event is counted");
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
	tap_ok(tap_wrong == 0, "nothing else was wrong");
	return tap_done();
}

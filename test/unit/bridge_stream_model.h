/*
 * bridge_stream_model.h - for bridge_stream_test.c: a random stream's log, the worker's state, and the model.
 *
 * The model knows nothing of clocks, panes and lists: it answers every question by looking at the whole log
 * again.
 */
#ifndef BRIDGE_STREAM_MODEL_H
#define BRIDGE_STREAM_MODEL_H

#include <stdlib.h>
#include <string.h>

#include "../../bridge/pane.h"
#include "bridge_alloc.h"
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
	int64_t now;         /* when first read */
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
	bool sealed_early; /* all panes were sealed once, whatever their minute */

	Worker worker;
	Worker committed;                              /* clocks and position of the last commit */
	int64_t seen_at_end[MAX_PARTITIONS][MAX_SEEN]; /* when it was, since the last message or restart */
	int n_seen[MAX_PARTITIONS];
	Row rows[MAX_ROWS];
	int n_rows;
	unsigned long long seed;
} t;

static Counts counts_of_model;
static Counts counts_of_store;
static int n_late, n_too_late, n_aborted, n_crashed, n_all_idle, n_unshared, n_flushed;

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

/* The highest event time of a partition before a place in the log, no event counting as later than it was
 * read. */
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

	return n > 0 &&
		   t.seen_at_end[partition][n - 1] - t.seen_at_end[partition][0] >= t.config.time.idle_timeout;
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

#endif

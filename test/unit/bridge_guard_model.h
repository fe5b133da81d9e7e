/*
 * bridge_guard_model.h - for bridge_guard_test.c: the configuration, a pretended store that workers share,
 * and what a worker does with it.
 */
#ifndef BRIDGE_GUARD_MODEL_H
#define BRIDGE_GUARD_MODEL_H

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

			tap_check(entry->list->family->redirect == NULL,
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
	tap_check(total == tk_sketch_total(pane->sketch), "a pane's rows come to the pane");
	return (int64_t) total;
}

/* Panes are flushed once and sealed, so that each is written whole. */
static void
write_pane(const TkPane *pane)
{
	const TkList *list = pane->list;
	const TkFamily *family = list->family;
	int64_t total = total_of(pane);

	tap_check(family->redirect == NULL && family->owner->settled,
			  "only families that were let in are written");
	if (list->dimension == TK_ALL)
	{
		store.all += total;
		store.other += strcmp(family->tenant, TK_OTHER) == 0 ? total : 0;
		return;
	}
	tap_check(!family->across[list->dimension]->left_out,
			  "no list of a dimension that the tenant does not have");
	store.written[list->dimension][list->value == NULL] += total;
	if (list->value == NULL)
		return;
	if (strcmp(list->value, TK_OTHER) == 0)
		store.other_values += total;
	else
	{
		Admitted *a = store_find(family, list->dimension, list->value, (int32_t) (pane->start / D));

		tap_check(a != NULL && list->list_id != 0, "a value that is written was let in");
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
		tap_check(strcmp(list->value, TK_OTHER) == 0, "other lists get their ids with their places");
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

#endif

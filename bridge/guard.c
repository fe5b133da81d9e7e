/*
 * guard.c - the first max_values values of a dimension and day are kept apart, the rest counted as TK_OTHER.
 *
 * A list of a value claims a place when it gets its first pane of a day; the claim hangs on the list, the
 * count of claims on the family's dimension.  Events of the same minute find the list's pane and do not come
 * here.
 *
 * What is three days behind the worker's watermark is forgotten when a new day begins.  Should an event come
 * after all (allowed_lateness is at most a day, but a partition that was idle does not hold the watermark),
 * the store answers the new claim as it did the old one.
 */
#include <string.h>

#include "pane_set.h"

#define KEPT_DAYS 3

static inline int32_t
day_of(int64_t start)
{
	return (int32_t) (start / TK_US_PER_DAY);
}

static inline bool
is_old(const TkPaneSet *set, int32_t day)
{
	return set->watermark >= (int64_t) (day + KEPT_DAYS) * TK_US_PER_DAY;
}

/* ---- days ---- */

static TkDimensionDay *
known_day(const TkFamily *family, int dimension, int32_t day)
{
	TkDimensionDay *found = family->days[dimension];

	while (found != NULL && found->day != day)
		found = found->next;
	return found;
}

static void
drop_old_days(TkPaneSet *set, TkDimensionDay **link)
{
	while (*link != NULL)
	{
		TkDimensionDay *day = *link;

		if (is_old(set, day->day) && day->overflowed == day->full)
		{
			*link = day->next;
			tk_counted_free(&set->memory, day);
		}
		else
			link = &day->next;
	}
}

static TkDimensionDay *
find_day(TkPaneSet *set, TkFamily *family, int dimension, int32_t number)
{
	TkDimensionDay *day = known_day(family, dimension, number);

	if (day != NULL)
		return day;
	drop_old_days(set, &family->days[dimension]);
	day = tk_counted_zalloc(&set->memory, sizeof(TkDimensionDay));
	if (day == NULL)
		return NULL;
	day->family = family;
	day->dimension = dimension;
	day->day = number;
	day->next = family->days[dimension];
	family->days[dimension] = day;
	return day;
}

static bool
has_no_room(const TkDimensionDay *day)
{
	return day->full || day->n_values >= day->family->owner->rules->max_values;
}

bool
tk_guard_is_full(const TkFamily *family, int dimension, int64_t start)
{
	const TkDimensionDay *day = known_day(family, dimension, day_of(start));

	return day != NULL && has_no_room(day);
}

/* ---- claims ---- */

static TkListDay *
known_claim(const TkList *list, int32_t day)
{
	TkListDay *entry = list->days;

	while (entry != NULL && entry->day != day)
		entry = entry->next;
	return entry;
}

static void
drop_old_claims(TkPaneSet *set, TkListDay **link)
{
	while (*link != NULL)
	{
		TkListDay *entry = *link;

		if (is_old(set, entry->day) && entry->claim != TK_CLAIM_NEW)
		{
			*link = entry->next;
			tk_counted_free(&set->memory, entry);
		}
		else
			link = &entry->next;
	}
}

static TkListDay *
add_claim(TkPaneSet *set, TkList *list, TkDimensionDay *day, TkClaim claim)
{
	TkListDay *entry;

	drop_old_claims(set, &list->days);
	entry = tk_counted_zalloc(&set->memory, sizeof(TkListDay));
	if (entry == NULL)
		return NULL;
	entry->list = list;
	entry->day = day->day;
	entry->claim = claim;
	entry->next = list->days;
	list->days = entry;
	day->n_values++;
	return entry;
}

TkList *
tk_guard_list(TkPaneSet *set, TkList *list, int64_t start)
{
	TkListDay *entry = known_claim(list, day_of(start));
	TkDimensionDay *day;

	if (entry != NULL)
		return entry->claim == TK_CLAIM_REFUSED ? tk_guard_other(set, list->family, list->dimension, start)
												: list;
	day = find_day(set, list->family, list->dimension, day_of(start));
	if (day == NULL)
		return NULL;
	if (has_no_room(day))
		return tk_guard_other(set, list->family, list->dimension, start);
	entry = add_claim(set, list, day, TK_CLAIM_NEW);
	if (entry == NULL)
		return NULL;
	*set->last_new_claim = entry;
	set->last_new_claim = &entry->next_new;
	return list;
}

TkList *
tk_guard_other(TkPaneSet *set, TkFamily *family, int dimension, int64_t start)
{
	TkDimensionDay *day = find_day(set, family, dimension, day_of(start));

	if (day == NULL)
		return NULL;
	if (!day->overflowed)
	{
		day->overflowed = true;
		day->next_overflowed = set->first_overflowed;
		set->first_overflowed = day;
	}
	if (family->others[dimension] == NULL)
		family->others[dimension] =
			tk_family_own_list(set, family, dimension, &(TkText){TK_OTHER, strlen(TK_OTHER)});
	return family->others[dimension];
}

/* ---- what the store says ---- */

/* Claims of a family that was moved to the tenant TK_OTHER are void. */
static bool
is_settled(const TkListDay *entry)
{
	return entry->claim != TK_CLAIM_NEW || entry->list->family->redirect != NULL;
}

TkListDay *
tk_guard_next_new(TkPaneSet *set)
{
	TkListDay *entry;

	while ((entry = set->first_new_claim) != NULL && is_settled(entry))
	{
		set->first_new_claim = entry->next_new;
		entry->next_new = NULL;
		if (entry->claim == TK_CLAIM_NEW)
			entry->claim = TK_CLAIM_REFUSED;
	}
	if (entry == NULL)
		set->last_new_claim = &set->first_new_claim;
	return entry;
}

int
tk_guard_run(const TkListDay *first, int most)
{
	int n = 0;

	for (const TkListDay *entry = first; entry != NULL && n < most && !is_settled(entry);
		 entry = entry->next_new)
		n++;
	return n;
}

TkStatus
tk_guard_settle(TkPaneSet *set, TkListDay *entry, int64_t list_id)
{
	TkList *list = entry->list;
	int64_t from = (int64_t) entry->day * TK_US_PER_DAY;
	TkDimensionDay *day;
	TkList *other;
	TkStatus status;

	if (is_settled(entry))
		return TK_OK;
	entry->claim = list_id != 0 ? TK_CLAIM_GRANTED : TK_CLAIM_REFUSED;
	if (list_id != 0)
	{
		list->list_id = list_id;
		return TK_OK;
	}
	day = find_day(set, list->family, list->dimension, entry->day);
	other = tk_guard_other(set, list->family, list->dimension, from);
	if (day == NULL || other == NULL)
		return TK_NO_MEMORY;
	day->n_values -= day->n_values > 0; /* a day that is old may have been forgotten meanwhile */
	status = tk_pane_copy(set, list, other, from, from + TK_US_PER_DAY);
	tk_pane_discard(list, from, from + TK_US_PER_DAY);
	return status;
}

void
tk_guard_sweep(TkPaneSet *set)
{
	tk_pane_sweep(set);
}

TkDimensionDay *
tk_guard_next_overflowed(TkPaneSet *set)
{
	while (set->first_overflowed != NULL &&
		   (set->first_overflowed->full || set->first_overflowed->family->redirect != NULL))
		set->first_overflowed = set->first_overflowed->next_overflowed;
	return set->first_overflowed;
}

TkStatus
tk_guard_know(TkPaneSet *set, TkFamily *family, int dimension, int32_t number, const TkText *value,
			  int64_t list_id)
{
	TkDimensionDay *day = find_day(set, family, dimension, number);
	TkList *list = tk_family_own_list(set, family, dimension, value);
	TkListDay *entry;

	if (day == NULL || list == NULL)
		return TK_NO_MEMORY;
	list->list_id = list_id;
	entry = known_claim(list, number);
	if (entry == NULL)
		return add_claim(set, list, day, TK_CLAIM_GRANTED) == NULL ? TK_NO_MEMORY : TK_OK;
	entry->claim = TK_CLAIM_GRANTED;
	return TK_OK;
}

void
tk_guard_close(TkDimensionDay *day)
{
	day->full = true;
	day->overflowed = true;
}

TkDimensionDay *
tk_guard_find_day(TkPaneSet *set, const TkText *tenant, const char *item_type, const char *dimension,
				  int32_t day, TkStatus *status)
{
	TkDimensionDay *found;
	TkFamily *family;
	int shape = 0;
	int i = 0;

	*status = TK_OK;
	while (shape < set->n_shapes && strcmp(set->shapes[shape].item_type, item_type) != 0)
		shape++;
	if (shape == set->n_shapes)
		return NULL;
	family = tk_family_look_up(set, shape, tenant);
	if (family == NULL)
	{
		*status = TK_NO_MEMORY;
		return NULL;
	}
	while (i < family->n_dimensions && strcmp(family->dimensions[i], dimension) != 0)
		i++;
	if (i == family->n_dimensions || !tk_text_equals(family->tenant, family->tenant_len, tenant))
		return NULL;
	found = find_day(set, family, i, day);
	if (found == NULL)
		*status = TK_NO_MEMORY;
	return found;
}

/* ---- the end ---- */

void
tk_guard_free_days(TkPaneSet *set, TkListDay *days)
{
	while (days != NULL)
	{
		TkListDay *next = days->next;

		tk_counted_free(&set->memory, days);
		days = next;
	}
}

void
tk_guard_free_family(TkPaneSet *set, TkFamily *family)
{
	for (int i = 0; i < family->n_dimensions; i++)
	{
		while (family->days[i] != NULL)
		{
			TkDimensionDay *next = family->days[i]->next;

			tk_counted_free(&set->memory, family->days[i]);
			family->days[i] = next;
		}
	}
}

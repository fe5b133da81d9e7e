/*
 * pane.c - the life of panes: made and changed by events, sealed by the watermark, forgotten when flushed.
 *
 * A list's panes are few (the open minute, its neighbours while events are out of order) and are found by
 * walking from the newest.  The set keeps all panes in one array, for sealing, and those that a flush has to
 * write in a second one.  A pane is in the second array exactly if it is changed or sealed; the array has
 * room for all panes, so that neither counting an event nor sealing can fail for it.  Its rows are in
 * pane_row.c.
 *
 * In the steady state an event allocates nothing: memory is asked for by new panes, lists and families, and
 * by sketches that grow.
 */
#include <string.h>

#include "pane_set.h"

#define MIN_PANE_ROOM 64

/* ---- marking ---- */

void
tk_pane_touch(TkPaneSet *set, TkPane *pane)
{
	if (pane->changed)
		return;
	if (!pane->sealed)
		set->dirty[set->n_dirty++] = pane;
	pane->changed = true;
	if (pane->whole)
		pane->rows->changed = true;
}

static void
seal(TkPaneSet *set, TkPane *pane)
{
	if (!pane->changed)
		set->dirty[set->n_dirty++] = pane;
	pane->sealed = true;
}

static inline bool
is_past(const TkPaneSet *set, int64_t start, int64_t watermark)
{
	return start + set->config->time.pane_size <= watermark;
}

static int
seal_until(TkPaneSet *set, int64_t watermark)
{
	int n_sealed = 0;

	set->oldest_unsealed = INT64_MAX;
	for (size_t i = 0; i < set->n_panes; i++)
	{
		TkPane *pane = set->panes[i];

		if (pane->sealed)
			continue;
		if (is_past(set, pane->start, watermark))
		{
			seal(set, pane);
			n_sealed++;
		}
		else if (pane->start < set->oldest_unsealed)
			set->oldest_unsealed = pane->start;
	}
	return n_sealed;
}

int
tk_pane_seal(TkPaneSet *set, int64_t watermark)
{
	if (watermark > set->watermark)
		set->watermark = watermark;
	if (set->oldest_unsealed == INT64_MAX || !is_past(set, set->oldest_unsealed, set->watermark))
		return 0;
	return seal_until(set, set->watermark);
}

int
tk_pane_seal_all(TkPaneSet *set)
{
	return seal_until(set, INT64_MAX);
}

/* ---- making and forgetting ---- */

static bool
grow_array(TkPaneSet *set, TkPane ***array, size_t used, size_t room)
{
	TkPane **grown = tk_counted_zalloc(&set->memory, room * sizeof(TkPane *));

	if (grown == NULL)
		return false;
	if (used > 0)
		memcpy(grown, *array, used * sizeof(TkPane *));
	tk_counted_free(&set->memory, *array);
	*array = grown;
	return true;
}

/* Makes sure that one more pane can be held and marked. */
static bool
reserve_pane(TkPaneSet *set)
{
	size_t room = set->pane_room > 0 ? set->pane_room * 2 : MIN_PANE_ROOM;

	if (set->n_panes < set->pane_room)
		return true;
	if (!grow_array(set, &set->panes, set->n_panes, room) ||
		!grow_array(set, &set->dirty, set->n_dirty, room))
		return false;
	set->pane_room = room;
	return true;
}

TkStatus
tk_pane_draw_incarnation(TkPaneSet *set, uint64_t *incarnation)
{
	if (set->next_incarnation > set->last_incarnation)
		return TK_OVERFLOW;
	*incarnation = set->next_incarnation++;
	return TK_OK;
}

/* Frees the sketch if it fails, so that the caller is rid of it either way. */
TkStatus
tk_pane_create(TkPaneSet *set, TkList *list, int64_t start, TkSketch *sketch, TkPane **link)
{
	uint64_t incarnation;
	TkStatus status = tk_pane_draw_incarnation(set, &incarnation);
	TkPane *pane = NULL;

	if (status == TK_OK && reserve_pane(set))
		pane = tk_counted_zalloc(&set->memory, sizeof(TkPane));
	if (pane == NULL)
	{
		tk_sketch_free(sketch);
		return status == TK_OK ? TK_NO_MEMORY : status;
	}
	pane->list = list;
	pane->start = start;
	pane->incarnation = incarnation;
	pane->sketch = sketch;
	pane->next = *link;
	*link = pane;
	pane->slot = set->n_panes;
	set->panes[set->n_panes++] = pane;
	if (is_past(set, start, set->watermark))
		seal(set, pane);
	else if (start < set->oldest_unsealed)
		set->oldest_unsealed = start;
	return TK_OK;
}

/* Forgets a pane that is not, or no longer, marked. */
static void
forget(TkPaneSet *set, TkPane *pane)
{
	TkPane **link = &pane->list->panes;
	TkPane *last = set->panes[--set->n_panes];

	while (*link != pane)
		link = &(*link)->next;
	*link = pane->next;
	set->panes[pane->slot] = last;
	last->slot = pane->slot;
	tk_rows_free(set, pane);
	tk_sketch_free(pane->sketch);
	tk_counted_free(&set->memory, pane);
}

/* ---- counting ---- */

/* Where the list's pane at `start` is linked, or would be. */
static inline TkPane **
place_of(TkList *list, int64_t start)
{
	TkPane **link = &list->panes;

	while (*link != NULL && (*link)->start > start)
		link = &(*link)->next;
	return link;
}

static TkStatus
find_pane(TkPaneSet *set, TkList *list, int64_t start, TkPane **pane)
{
	TkPane **link = place_of(list, start);
	TkSketch *sketch;
	TkStatus status;

	if (*link != NULL && (*link)->start == start)
	{
		*pane = *link;
		return TK_OK;
	}
	if (list->guarded)
	{
		TkList *counting = tk_guard_list(set, list, start);

		if (counting == NULL)
			return TK_NO_MEMORY;
		if (counting != list)
			return find_pane(set, counting, start, pane); /* which is not guarded */
	}
	status = tk_sketch_create(&set->memory.allocator, TK_KIND_TEXT, list->family->k, list->family->capacity,
							  &sketch);
	if (status == TK_OK)
		status = tk_pane_create(set, list, start, sketch, link);
	if (status == TK_OK)
		*pane = *link;
	return status;
}

/* The panes of one event, found before any is counted in. */
typedef struct Targets
{
	TkPane *pane[1 + 2 * TK_MAX_DIMENSIONS];
	int n;
} Targets;

/* Finds the list's pane, and begins to load what the item will touch there. */
static TkStatus
aim(TkPaneSet *set, TkList *list, int64_t start, uint64_t hash, Targets *targets)
{
	TkPane *pane;
	TkStatus status;

	if (list == NULL)
		return TK_NO_MEMORY;
	status = find_pane(set, list, start, &pane);
	if (status != TK_OK)
		return status;
	tk_sketch_prefetch(pane->sketch, hash);
	targets->pane[targets->n++] = pane;
	return TK_OK;
}

/* Start of the event's pane, without a division while neighbours share it. */
static inline int64_t
start_of(TkPaneSet *set, int64_t time)
{
	int64_t size = set->config->time.pane_size;

	if (time < set->last_start || time - set->last_start >= size)
		set->last_start = tk_pane_start(time, size);
	return set->last_start;
}

static TkStatus
aim_all(TkPaneSet *set, const TkEvent *event, const TkYield *yield, uint64_t hash, Targets *targets)
{
	TkRuleShape *rule = &set->rules[yield->rule_index];
	const TkText *values = event->values + yield->first_value;
	TkFamily *family = tk_family_find(set, rule, &event->tenant);
	int64_t start = start_of(set, event->time);
	TkStatus status;

	if (family == NULL)
		return TK_NO_MEMORY;
	status = aim(set, family->all, start, hash, targets);
	for (int i = 0; i < rule->n_dimensions && status == TK_OK; i++)
	{
		int dimension = rule->dimension[i];
		TkList *across = family->across[dimension];

		if (across->left_out)
			continue;
		status = aim(set, tk_family_list(set, family, dimension, &values[i], start), start, hash, targets);
		if (status == TK_OK && !across->shared)
			status = aim(set, across, start, hash, targets);
	}
	return status;
}

static inline TkStatus
count_item(TkPaneSet *set, TkPane *pane, const TkYield *yield, uint64_t hash)
{
	tk_pane_touch(set, pane);
	if (!pane->whole)
	{
		TkStatus status = tk_rows_count(set, pane, &yield->item, hash, yield->weight);

		if (status != TK_OK)
			return status;
	}
	return tk_sketch_update_hashed(pane->sketch, yield->item.data, yield->item.len, hash, yield->weight);
}

static TkStatus
add_yield(TkPaneSet *set, const TkEvent *event, const TkYield *yield)
{
	uint64_t hash = tk_hash(yield->item.data, yield->item.len);
	Targets targets;
	TkStatus status;

	targets.n = 0;
	status = aim_all(set, event, yield, hash, &targets);
	for (int i = 0; i < targets.n && status == TK_OK; i++)
		status = count_item(set, targets.pane[i], yield, hash);
	return status;
}

TkStatus
tk_pane_add(TkPaneSet *set, const TkEvent *event)
{
	TkStatus status = TK_OK;

	for (int i = 0; i < event->n_yields && status == TK_OK; i++)
		status = add_yield(set, event, &event->yields[i]);
	return status;
}

/* ---- moving to another list ---- */

TkStatus
tk_pane_copy(TkPaneSet *set, const TkList *list, TkList *target, int64_t from, int64_t until)
{
	for (const TkPane *pane = list->panes; pane != NULL; pane = pane->next)
	{
		TkPane *into;
		TkStatus status;

		if (pane->start < from || pane->start >= until)
			continue;
		status = find_pane(set, target, pane->start, &into);
		if (status == TK_OK)
		{
			tk_pane_touch(set, into);
			status = tk_rows_part(into);
		}
		if (status == TK_OK)
			status = tk_sketch_merge(into->sketch, pane->sketch);
		if (status == TK_OK)
			status = tk_rows_copy(set, into, pane);
		if (status != TK_OK)
			return status;
	}
	return TK_OK;
}

void
tk_pane_discard(TkList *list, int64_t from, int64_t until)
{
	for (TkPane *pane = list->panes; pane != NULL; pane = pane->next)
	{
		if (pane->start >= from && pane->start < until)
			pane->discarded = true;
	}
}

/* Forgets marked panes that are discarded, or those that are sealed. */
static void
sweep(TkPaneSet *set, bool sealed)
{
	size_t kept = 0;

	for (size_t i = 0; i < set->n_dirty; i++)
	{
		TkPane *pane = set->dirty[i];

		if (sealed ? pane->sealed : pane->discarded)
			forget(set, pane);
		else
			set->dirty[kept++] = pane;
	}
	set->n_dirty = kept;
}

void
tk_pane_sweep(TkPaneSet *set)
{
	sweep(set, false);
}

/* ---- flushing ---- */

TkPane *
tk_pane_next_dirty(TkPaneSet *set, size_t *cursor)
{
	return *cursor < set->n_dirty ? set->dirty[(*cursor)++] : NULL;
}

void
tk_pane_flushed(TkPaneSet *set)
{
	for (size_t i = 0; i < set->n_dirty; i++)
	{
		TkPane *pane = set->dirty[i];

		if (pane->sealed)
			forget(set, pane);
		else
		{
			pane->changed = false;
			tk_rows_flushed(set, pane);
		}
	}
	set->n_dirty = 0;
}

void
tk_pane_forget_sealed(TkPaneSet *set)
{
	sweep(set, true);
}

/* ---- the set ---- */

static void
init_set(TkPaneSet *set, const TkAllocator *allocator, const TkExtractConfig *config)
{
	memset(set, 0, sizeof(TkPaneSet));
	tk_counted_init(&set->memory, allocator);
	set->memory.bytes = sizeof(TkPaneSet);
	set->config = config;
	set->last_new_family = &set->first_new_family;
	set->last_new_list = &set->first_new_list;
	set->last_new_tenant = &set->first_new_tenant;
	set->last_new_claim = &set->first_new_claim;
	set->watermark = TK_NO_TIME;
	set->oldest_unsealed = INT64_MAX;
}

TkPaneSet *
tk_pane_set_create(const TkAllocator *allocator, const TkExtractConfig *config, uint32_t k, uint32_t capacity,
				   uint32_t run)
{
	TkPaneSet *set = allocator->alloc(allocator->arg, sizeof(TkPaneSet));

	if (set == NULL)
		return NULL;
	init_set(set, allocator, config);
	set->k = k;
	set->capacity = capacity;
	set->next_incarnation = (uint64_t) run << 32;
	set->last_incarnation = set->next_incarnation | UINT32_MAX;
	if (!tk_shapes_create(set))
	{
		tk_pane_set_free(set);
		return NULL;
	}
	return set;
}

void
tk_pane_set_free(TkPaneSet *set)
{
	TkAllocator base;

	if (set == NULL)
		return;
	while (set->n_panes > 0)
		forget(set, set->panes[set->n_panes - 1]);
	tk_families_free(set);
	tk_shapes_free(set);
	tk_counted_free(&set->memory, set->panes);
	tk_counted_free(&set->memory, set->dirty);
	base = set->memory.base;
	base.release(base.arg, set);
}

size_t
tk_pane_set_bytes(const TkPaneSet *set)
{
	return set->memory.bytes;
}

int
tk_pane_count(const TkPaneSet *set)
{
	return (int) set->n_panes;
}

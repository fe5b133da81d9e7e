/*
 * family.c - families and their lists: found by hash for every event, made when first seen.
 *
 * Both live in tables that only grow.  A family's own lists (`all` and those across values) hang on the
 * family; lists of values are in a table of the set, keyed by (family, dimension, value).  Everything new is
 * queued in order of appearance until the host has interned it.
 *
 * A family is one block: TkFamily, its lists, the pointers to those across values, to those of TK_OTHER and
 * to the days of each dimension, the tenant's name.
 */
#include <assert.h>
#include <string.h>

#include "pane_set.h"

#define TABLE_MIN_SLOTS 64

/* ---- tables ---- */

/* Entries are unique, so one that is moved needs no comparison. */
static void
table_place(TkTable *table, uint64_t hash, void *entry)
{
	size_t at = hash & table->mask;

	while (table->slots[at].entry != NULL)
		at = (at + 1) & table->mask;
	table->slots[at] = (TkTableSlot){hash, entry};
}

static bool
table_resize(TkPaneSet *set, TkTable *table, size_t n_slots)
{
	TkTable old = *table;
	TkTableSlot *slots = tk_counted_zalloc(&set->memory, n_slots * sizeof(TkTableSlot));

	if (slots == NULL)
		return false;
	table->slots = slots;
	table->mask = n_slots - 1;
	for (size_t i = 0; old.slots != NULL && i <= old.mask; i++)
	{
		if (old.slots[i].entry != NULL)
			table_place(table, old.slots[i].hash, old.slots[i].entry);
	}
	tk_counted_free(&set->memory, old.slots);
	return true;
}

/* Makes sure that one more entry can be placed. */
bool
tk_index_reserve(TkPaneSet *set, TkTable *table)
{
	if (table->slots == NULL)
		return table_resize(set, table, TABLE_MIN_SLOTS);
	if ((table->count + 1) * 2 <= table->mask + 1)
		return true;
	return table_resize(set, table, (table->mask + 1) * 2);
}

void
tk_index_add(TkTable *table, uint64_t hash, void *entry)
{
	table_place(table, hash, entry);
	table->count++;
}

/* ---- families ---- */

static size_t
family_bytes(int n_dimensions, size_t tenant_len)
{
	size_t n = (size_t) n_dimensions;

	return sizeof(TkFamily) + (n + 1) * sizeof(TkList) + 2 * n * sizeof(TkList *) +
		   n * sizeof(TkDimensionDay *) + tenant_len + 1;
}

static void
init_list(TkList *list, TkFamily *family, int dimension, bool shared)
{
	list->family = family;
	list->dimension = dimension;
	list->shared = shared;
}

/* Lays a family out in its (zeroed) block. */
static void
init_family(TkFamily *family, const TkShape *shape, const TkText *tenant)
{
	TkList *lists = (TkList *) (family + 1);
	char *name;

	family->item_type = shape->item_type;
	family->n_dimensions = shape->n_dimensions;
	family->dimensions = shape->dimensions;
	family->shareable = shape->shareable;
	family->all = lists;
	init_list(family->all, family, TK_ALL, false);
	family->across = (TkList **) (lists + 1 + shape->n_dimensions);
	for (int i = 0; i < shape->n_dimensions; i++)
	{
		family->across[i] = lists + 1 + i;
		init_list(family->across[i], family, i, shape->shareable[i]);
	}
	family->others = family->across + shape->n_dimensions;
	family->days = (TkDimensionDay **) (family->others + shape->n_dimensions);
	name = (char *) (family->days + shape->n_dimensions);
	memcpy(name, tenant->data, tenant->len);
	family->tenant = name;
	family->tenant_len = tenant->len;
}

static bool
has_dimension(const TkTenantRules *rules, const char *dimension)
{
	for (int i = 0; i < rules->n_dimensions; i++)
	{
		if (strcmp(rules->dimensions[i], dimension) == 0)
			return true;
	}
	return rules->n_dimensions < 0;
}

/* What the tenant's settings make of its family.  One that is disabled counts nothing, so it needs no ids. */
static void
apply_rules(TkFamily *family, TkTenant *owner)
{
	family->owner = owner;
	family->next_of_tenant = owner->families;
	owner->families = family;
	family->k = owner->rules->k;
	family->capacity = owner->rules->capacity;
	family->interned = !owner->rules->enabled;
	for (int i = 0; i < family->n_dimensions; i++)
		family->across[i]->left_out = !has_dimension(owner->rules, family->dimensions[i]);
}

/* A pane of the topic is exact up to tk_most_exact updates, and this worker's part of it up to its share of
 * them. */
static uint64_t
share_of_exact(const TkPaneSet *set, uint32_t capacity)
{
	const TkLimits *limits = set->limits;

	if (limits == NULL || limits->n_partitions >= limits->topic_partitions)
		return tk_most_exact(capacity);
	return tk_most_exact(capacity) * (uint64_t) limits->n_partitions / (uint64_t) limits->topic_partitions;
}

static TkFamily *
create_family(TkPaneSet *set, int shape, const TkText *tenant, TkTenant *owner, uint64_t hash)
{
	TkFamily *family;

	if (!tk_index_reserve(set, &set->families))
		return NULL;
	family = tk_counted_zalloc(&set->memory, family_bytes(set->shapes[shape].n_dimensions, tenant->len));
	if (family == NULL)
		return NULL;
	init_family(family, &set->shapes[shape], tenant);
	family->shape = shape;
	family->hash = hash;
	family->k = set->k;
	family->capacity = set->capacity;
	if (owner != NULL)
		apply_rules(family, owner);
	family->most_exact = share_of_exact(set, family->capacity);
	tk_index_add(&set->families, hash, family);
	*set->last_new_family = family;
	set->last_new_family = &family->next_new;
	return family;
}

/* Spreads a small number over all bits, to be xor-ed onto a hash. */
static inline uint64_t
spread(int number)
{
	return (uint64_t) (number + 1) * UINT64_C(0x9E3779B97F4A7C15);
}

/* Makes a tenant's family; that of TK_OTHER, if the tenant is not kept apart. */
static TkFamily *
new_family(TkPaneSet *set, int shape, const TkText *tenant, uint64_t hash)
{
	TkTenant *owner = NULL;

	if (set->limits != NULL)
	{
		owner = tk_tenant_find(set, tenant);
		if (owner == NULL)
			return NULL;
		if (!tk_text_equals(owner->name, owner->name_len, tenant))
			return tk_family_look_up(set, shape, &(TkText){owner->name, owner->name_len});
	}
	return create_family(set, shape, tenant, owner, hash);
}

TkFamily *
tk_family_look_up(TkPaneSet *set, int shape, const TkText *tenant)
{
	uint64_t hash = tk_hash(tenant->data, tenant->len) ^ spread(shape);
	const TkTable *table = &set->families;

	for (size_t at = hash & table->mask; table->slots != NULL; at = (at + 1) & table->mask)
	{
		TkFamily *family = table->slots[at].entry;

		if (family == NULL)
			break;
		if (family->shape == shape && tk_text_equals(family->tenant, family->tenant_len, tenant))
			return family->redirect != NULL ? family->redirect : family;
	}
	return new_family(set, shape, tenant, hash);
}

TkFamily *
tk_family_find(TkPaneSet *set, TkRuleShape *rule, const TkText *tenant)
{
	TkFamily *family = rule->last;

	if (family == NULL || !tk_text_equals(family->tenant, family->tenant_len, tenant))
	{
		family = tk_family_look_up(set, rule->shape, tenant);
		rule->last = family;
	}
	return family;
}

/* ---- lists of values ---- */

static TkList *
create_list(TkPaneSet *set, TkFamily *family, int dimension, const TkText *value, uint64_t hash)
{
	TkList *list;
	char *text;

	if (!tk_index_reserve(set, &set->lists))
		return NULL;
	list = tk_counted_zalloc(&set->memory, sizeof(TkList) + value->len + 1);
	if (list == NULL)
		return NULL;
	text = (char *) (list + 1);
	memcpy(text, value->data, value->len);
	init_list(list, family, dimension, false);
	list->value = text;
	list->value_len = value->len;
	list->next_of_family = family->values;
	family->values = list;
	list->guarded = set->limits != NULL && !tk_text_equals(TK_OTHER, strlen(TK_OTHER), value);
	tk_index_add(&set->lists, hash, list);
	if (!list->guarded) /* a guarded one gets its id with its first place */
	{
		*set->last_new_list = list;
		set->last_new_list = &list->next_new;
	}
	return list;
}

static TkList *
look_up_list(const TkPaneSet *set, const TkFamily *family, int dimension, const TkText *value, uint64_t hash)
{
	const TkTable *table = &set->lists;

	for (size_t at = hash & table->mask; table->slots != NULL; at = (at + 1) & table->mask)
	{
		TkList *list = table->slots[at].entry;

		if (list == NULL)
			break;
		if (table->slots[at].hash == hash && list->family == family && list->dimension == dimension &&
			tk_text_equals(list->value, list->value_len, value))
			return list;
	}
	return NULL;
}

static inline uint64_t
hash_of_value(const TkFamily *family, int dimension, const TkText *value)
{
	return tk_hash(value->data, value->len) ^ family->hash ^ spread(dimension);
}

TkList *
tk_family_list(TkPaneSet *set, TkFamily *family, int dimension, const TkText *value, int64_t start)
{
	uint64_t hash = hash_of_value(family, dimension, value);
	TkList *list = look_up_list(set, family, dimension, value, hash);

	if (list != NULL)
		return list;
	if (set->limits != NULL && tk_guard_is_full(family, dimension, start))
		return tk_guard_other(set, family, dimension, start);
	return create_list(set, family, dimension, value, hash);
}

TkList *
tk_family_own_list(TkPaneSet *set, TkFamily *family, int dimension, const TkText *value)
{
	uint64_t hash = hash_of_value(family, dimension, value);
	TkList *list = look_up_list(set, family, dimension, value, hash);

	return list != NULL ? list : create_list(set, family, dimension, value, hash);
}

static void
free_table(TkPaneSet *set, TkTable *table)
{
	for (size_t i = 0; table->slots != NULL && i <= table->mask; i++)
		tk_counted_free(&set->memory, table->slots[i].entry);
	tk_counted_free(&set->memory, table->slots);
	*table = (TkTable){NULL, 0, 0};
}

void
tk_families_free(TkPaneSet *set)
{
	for (size_t i = 0; set->lists.slots != NULL && i <= set->lists.mask; i++)
	{
		if (set->lists.slots[i].entry != NULL)
			tk_guard_free_days(set, ((TkList *) set->lists.slots[i].entry)->days);
	}
	for (size_t i = 0; set->families.slots != NULL && i <= set->families.mask; i++)
	{
		if (set->families.slots[i].entry != NULL)
			tk_guard_free_family(set, set->families.slots[i].entry);
	}
	tk_tenants_free(set);
	free_table(set, &set->tenants);
	free_table(set, &set->lists);
	free_table(set, &set->families);
}

/* ---- interning ---- */

TkFamily *
tk_pane_next_new_family(TkPaneSet *set)
{
	TkFamily *family;

	while ((family = set->first_new_family) != NULL && family->interned)
	{
		set->first_new_family = family->next_new;
		family->next_new = NULL;
	}
	if (family == NULL)
		set->last_new_family = &set->first_new_family;
	return family;
}

TkList *
tk_pane_next_new_list(TkPaneSet *set)
{
	TkList *list;

	while ((list = set->first_new_list) != NULL && list->list_id != 0)
	{
		set->first_new_list = list->next_new;
		list->next_new = NULL;
	}
	if (list == NULL)
		set->last_new_list = &set->first_new_list;
	return list;
}

TkStatus
tk_family_unshare(TkPaneSet *set, TkFamily *family, int dimension)
{
	TkList *across = family->across[dimension];
	TkPane **link = &across->panes;

	if (!across->shared)
		return TK_OK;
	across->shared = false;
	for (const TkPane *pane = family->all->panes; pane != NULL; pane = pane->next)
	{
		TkSketch *copy;
		TkStatus status = tk_sketch_clone(pane->sketch, NULL, &copy);

		assert(pane->pieces == 0); /* else the store would lack what the copy does not bring */
		if (status == TK_OK)
			status = tk_pane_create(set, across, pane->start, copy, link);
		if (status == TK_OK)
			status = tk_rows_copy(set, *link, pane);
		if (status != TK_OK)
			return status;
		tk_pane_touch(set, *link);
		link = &(*link)->next;
	}
	return TK_OK;
}

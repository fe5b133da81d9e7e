/*
 * pane_set.h - what pane.c and family.c share.  Private to them; hosts include pane.h.
 */
#ifndef TK_PANE_SET_H
#define TK_PANE_SET_H

#include "counted_memory.h"
#include "pane.h"
#include "tenant.h"

/*
 * An open-addressing hash table of pointers, never more than half full; entries are only added.  The caller
 * probes from tk_table_probe on, and knows a free slot by its NULL entry.
 */
typedef struct TkTableSlot
{
	uint64_t hash;
	void *entry;
} TkTableSlot;

typedef struct TkTable
{
	TkTableSlot *slots;
	size_t mask;
	size_t count;
} TkTable;

/* What is the same for every family of one item type: the union of its rules' dimensions. */
typedef struct TkShape
{
	const char *item_type;
	int n_dimensions;
	const char **dimensions;
	bool *shareable;
} TkShape;

/* What tk_pane_add needs to know of a rule. */
typedef struct TkRuleShape
{
	int shape;
	int n_dimensions;
	int *dimension; /* of the family, for each dimension of the rule */
	TkFamily *last; /* the family of this rule's last event: most sources have one tenant */
} TkRuleShape;

struct TkPaneSet
{
	TkCountedMemory memory;
	const TkExtractConfig *config;
	uint32_t k;
	uint32_t capacity;
	uint64_t next_incarnation;
	uint64_t last_incarnation; /* of this run */

	TkShape *shapes;
	int n_shapes;
	TkRuleShape *rules;

	TkTable families; /* by (item type, tenant) */
	TkTable lists;    /* of values, by (family, dimension, value) */
	TkTable tenants;  /* with limits only */
	TkFamily *first_new_family;
	TkFamily **last_new_family; /* the link to append to */
	TkList *first_new_list;
	TkList **last_new_list;

	TkPane **panes; /* all, in no order */
	TkPane **dirty; /* those changed or sealed; has room for all, so that marking one cannot fail */
	size_t n_panes;
	size_t n_dirty;
	size_t pane_room;

	int64_t watermark;       /* the highest given to tk_pane_seal */
	int64_t oldest_unsealed; /* no unsealed pane starts before this */
	int64_t last_start;      /* the pane of the last event: neighbours mostly share it */

	/* tenants and guards (tenant.h); limits NULL: there are none */
	const TkLimits *limits;
	TkTenant *other; /* the tenant TK_OTHER */
	uint32_t n_unlisted;
	bool tenants_overflowed;
	bool tenants_closed;
	TkTenant *first_new_tenant;
	TkTenant **last_new_tenant;
	TkTenant *first_meter;
	TkListDay *first_new_claim;
	TkListDay **last_new_claim;
	TkDimensionDay *first_overflowed;
};

static inline bool
tk_text_equals(const char *a, size_t a_len, const TkText *b)
{
	return a_len == b->len && __builtin_memcmp(a, b->data, a_len) == 0;
}

/* ---- shape.c ---- */

/* Makes the shapes and rules of a set from its configuration. */
bool tk_shapes_create(TkPaneSet *set);
void tk_shapes_free(TkPaneSet *set);

/* ---- family.c ---- */

/* Finds or makes the family of a rule's event.  NULL: out of memory. */
TkFamily *tk_family_find(TkPaneSet *set, TkRuleShape *rule, const TkText *tenant);

/* Finds or makes the family of a shape and tenant.  NULL: out of memory. */
TkFamily *tk_family_look_up(TkPaneSet *set, int shape, const TkText *tenant);

/*
 * Finds or makes the list that counts a value in the pane at `start`: its own, or where a day is full and the
 * value has none that of TK_OTHER.  NULL: out of memory.
 */
TkList *tk_family_list(TkPaneSet *set, TkFamily *family, int dimension, const TkText *value, int64_t start);

/* The same, but its own always. */
TkList *tk_family_own_list(TkPaneSet *set, TkFamily *family, int dimension, const TkText *value);

/* Makes sure that one more entry can be placed; places one that is not there yet. */
bool tk_index_reserve(TkPaneSet *set, TkTable *table);
void tk_index_add(TkTable *table, uint64_t hash, void *entry);

/* Frees all families and lists, and the tables.  Their panes must be gone. */
void tk_families_free(TkPaneSet *set);

/* ---- pane.c ---- */

/* Adds a pane with this sketch, which it then owns, before *link in its list. */
TkStatus tk_pane_create(TkPaneSet *set, TkList *list, int64_t start, TkSketch *sketch, TkPane **link);

/* Marks a pane as changed since it was last written. */
void tk_pane_touch(TkPaneSet *set, TkPane *pane);

/* Adds what the list's panes of [from, until) hold to the same panes of another list of the same kind. */
TkStatus tk_pane_copy(TkPaneSet *set, const TkList *list, TkList *target, int64_t from, int64_t until);

/* Marks these panes, which no flush has written, to be forgotten by the next tk_pane_sweep. */
void tk_pane_discard(TkList *list, int64_t from, int64_t until);
void tk_pane_sweep(TkPaneSet *set);

/* Draws an incarnation number. */
TkStatus tk_pane_draw_incarnation(TkPaneSet *set, uint64_t *incarnation);

/* ---- pane_row.c ---- */

/* Counts an item in the pieces of a pane that is not whole, or makes it whole; the caller adds it to its
 * sketch. */
TkStatus tk_rows_count(TkPaneSet *set, TkPane *pane, const TkText *item, uint64_t hash, uint64_t weight);

/* Gives a piece that is the pane's sketch one of its own: something else is to be added to the pane's. */
TkStatus tk_rows_part(TkPane *pane);

/* Adds the updates and pieces of another pane, none of them written; the pane's sketch has them already. */
TkStatus tk_rows_copy(TkPaneSet *set, TkPane *pane, const TkPane *from);

/* A flush that wrote the pane's rows has committed. */
void tk_rows_flushed(TkPaneSet *set, TkPane *pane);
void tk_rows_free(TkPaneSet *set, TkPane *pane);

/* ---- tenant.c ---- */

/* Finds or makes a tenant; that of TK_OTHER where it is not kept apart.  NULL: out of memory. */
TkTenant *tk_tenant_find(TkPaneSet *set, const TkText *name);
void tk_tenants_free(TkPaneSet *set);

/* ---- guard.c ---- */

/* The list that counts what `list` would in a new pane at `start`: itself, or TK_OTHER.  NULL: out of memory.
 */
TkList *tk_guard_list(TkPaneSet *set, TkList *list, int64_t start);

/* True if no value that the worker does not know may come in on the day of `start`. */
bool tk_guard_is_full(const TkFamily *family, int dimension, int64_t start);

/* The list of TK_OTHER, noting that the day needs it.  NULL: out of memory. */
TkList *tk_guard_other(TkPaneSet *set, TkFamily *family, int dimension, int64_t start);
void tk_guard_free_days(TkPaneSet *set, TkListDay *days);
void tk_guard_free_family(TkPaneSet *set, TkFamily *family);

#endif

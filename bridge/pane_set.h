/*
 * pane_set.h - what pane.c and family.c share.  Private to them; hosts include pane.h.
 */
#ifndef TK_PANE_SET_H
#define TK_PANE_SET_H

#include "counted_memory.h"
#include "pane.h"

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

/* Finds or makes the list of a value.  NULL: out of memory. */
TkList *tk_family_list(TkPaneSet *set, TkFamily *family, int dimension, const TkText *value);

/* Frees all families and lists, and the tables.  Their panes must be gone. */
void tk_families_free(TkPaneSet *set);

/* ---- pane.c ---- */

/* Adds a pane with this sketch, which it then owns, before *link in its list. */
TkStatus tk_pane_create(TkPaneSet *set, TkList *list, int64_t start, TkSketch *sketch, TkPane **link);

/* Marks a pane as changed since it was last written. */
void tk_pane_touch(TkPaneSet *set, TkPane *pane);

#endif

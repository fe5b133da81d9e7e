/*
 * pane.h - the panes that one worker keeps in memory, and the lists they belong to.
 *
 * Pure: the host writes panes to the store and tells what was committed; nothing here knows a database.
 *
 * A family is all lists of one (tenant, item type).  It has the list of `all`, for each dimension the list
 * across its values, and a list for each value seen.  Where every event of the item type has exactly one
 * value of a dimension (every rule of the item type names it), the list across its values would equal the
 * list of `all`: such a list is *shared* and has no panes of its own.  Whether it may be is decided when the
 * family is first stored; until the store has answered, the worker presumes so, and tk_family_unshare copies
 * the panes of `all` if the answer is no (every pane of a family that is not yet interned is unflushed, so
 * the copy is the whole truth).
 *
 * A pane's life: made by the first event of its minute -> changed (to be flushed) -> written -> changed ...
 * -> sealed when the worker's watermark passes its end; the flush that writes it sealed forgets it.  An event
 * that comes later makes a new pane, with rows of its own, sealed at once.
 *
 * A pane's rows.  What a flush writes are rows, each with an incarnation number that is never used twice: the
 * run number of the worker (from a sequence) in its upper 32 bits, a count in the lower.  Which rows a pane
 * ends with is a function of its updates alone, and does not depend on when it was flushed:
 *   - while its updates are no more than tk_most_exact (the worker's share of that), in pieces, which are
 * exact.  However they are divided, together they are the pane, of which nothing is lost.  A pane that stays
 * open is written anew with each flush; one that fills slowly is cheaper to keep in pieces;
 *   - from then on whole: one row takes the place of all pieces, and stops growing at the capacity.
 *
 * Memory: everything is allocated through the allocator passed in; tk_pane_set_bytes tells how much is held.
 * When tk_pane_add fails (TK_NO_MEMORY, or TK_OVERFLOW of a sketch's total or of the run's 2^32 incarnations)
 * the event may stand in some of its lists and not in others: the set must be thrown away, and the worker
 * reads again from the stored offsets, under a new run number.
 *
 * Lists and families stay until the set is freed, so its memory grows with the values ever seen; only panes
 * are forgotten.  All pointers to lists and families are good for the life of the set; a pane's until the
 * tk_pane_flushed that forgets it.
 *
 * Exports: family.c has tk_pane_next_new_* and tk_family_unshare, pane_row.c has tk_row_is_sealed and
 * tk_most_exact, pane.c the rest.
 */
#ifndef TK_PANE_H
#define TK_PANE_H

#include "../src/sketch/sketch.h"
#include "extract.h"

typedef struct TkPaneSet TkPaneSet;
typedef struct TkFamily TkFamily;
typedef struct TkList TkList;
typedef struct TkPane TkPane;
typedef struct TkRow TkRow;
typedef struct TkTenant TkTenant;
typedef struct TkListDay TkListDay;
typedef struct TkDimensionDay TkDimensionDay;
typedef struct TkLimits TkLimits;

#define TK_ALL (-1) /* index of the built-in dimension `all` */

struct TkList
{
	int64_t list_id; /* 0: not yet interned by the store */
	TkFamily *family;
	int dimension;     /* TK_ALL, or the index into family->dimensions */
	const char *value; /* NUL-terminated; NULL: the list across values */
	size_t value_len;
	bool shared;      /* the list across values has no panes: it is the list of `all` */
	bool left_out;    /* the tenant does not have this dimension; said of the list across values */
	bool guarded;     /* needs a place among the dimension's values of a day (tenant.h) */
	TkPane *panes;    /* in memory, newest first */
	TkList *next_new; /* of the lists that tk_pane_next_new_list begins with; valid while it has no id */
	TkListDay *days;  /* the days on which it has asked for a place, newest first */
	TkList *next_of_family; /* of the lists of values */
};

struct TkFamily
{
	const char *tenant;
	size_t tenant_len;
	const char *item_type;
	int n_dimensions;
	const char **dimensions; /* the union over the rules of this item type */
	bool *shareable;         /* every rule of this item type names it */
	bool interned;
	TkList *all;
	TkList **across;    /* one for each dimension */
	TkFamily *next_new; /* of the families that tk_pane_next_new_family begins with; valid until interned */
	uint64_t hash;      /* private: of tenant and item type */
	int shape;          /* private: the item type's index */
	uint32_t k;         /* of all its sketches */
	uint32_t capacity;
	uint64_t most_exact; /* tk_most_exact, or this worker's share of it */
	TkList *values;      /* its lists of values, along next_of_family */
	/* With limits only (tenant.h): */
	TkTenant *owner;
	TkFamily *next_of_tenant;
	TkFamily *redirect;    /* the tenant was refused: the family of TK_OTHER */
	TkDimensionDay **days; /* for each dimension, newest first */
	TkList **others;       /* for each dimension its list of TK_OTHER; NULL: none yet */
};

/* A row of the store. */
struct TkRow
{
	uint64_t incarnation;
	TkSketch *sketch; /* a piece's own, or the pane's */
	bool changed;     /* since it was last written */
	bool written;     /* a flush that wrote it has committed */
	TkRow *next;      /* of the same pane, older */
};

struct TkPane
{
	TkList *list;
	int64_t start;        /* us */
	uint64_t incarnation; /* of its first row; the later ones' are higher */
	TkSketch *sketch;     /* of all updates */
	uint64_t updates;     /* how many, while it is not whole */
	TkRow *rows;          /* to be written now or later, newest first: one if whole */
	uint32_t pieces;      /* that the store holds, here or no longer here */
	bool whole;
	bool changed;   /* since it was last written */
	bool sealed;    /* its rows must be, or are, marked sealed */
	bool discarded; /* private: moved to another list, and to be forgotten */
	TkPane *next;   /* of the same list */
	size_t slot;    /* private: its place among all panes of the set */
};

/*
 * The configuration is referred to.  k and capacity are those of every sketch, unless tk_pane_set_limit
 * (tenant.h) gives a tenant others.  A run number is used once,
 * and is below 2^31, so that incarnations fit a signed 64-bit integer.  The dimensions of a rule have
 * different names.  NULL: out of memory.
 */
TkPaneSet *tk_pane_set_create(const TkAllocator *allocator, const TkExtractConfig *config, uint32_t k,
							  uint32_t capacity, uint32_t run);
void tk_pane_set_free(TkPaneSet *set);

/*
 * Counts every yield of an event with outcome TK_COUNTED in its lists: `all`, and for each dimension of its
 * rule the list of the value and the list across values.  Too late events are not for here: the caller has
 * judged.  On any status but TK_OK throw the set away (see above).
 */
TkStatus tk_pane_add(TkPaneSet *set, const TkEvent *event);

/*
 * Marks as sealed every pane whose end is at or before the watermark; those that later events begin there are
 * sealed at once.  A watermark lower than an earlier one changes nothing.  Returns how many panes became
 * sealed.
 */
int tk_pane_seal(TkPaneSet *set, int64_t watermark);

/*
 * Marks all panes as sealed, so that the next flush gives their memory back: for a worker over its budget.
 * Other than a watermark of "everything", it does not touch the future: events that come later begin panes
 * that live until their own end.  Returns how many panes became sealed.
 */
int tk_pane_seal_all(TkPaneSet *set);

/* Bytes held, and panes held. */
size_t tk_pane_set_bytes(const TkPaneSet *set);
int tk_pane_count(const TkPaneSet *set);

/*
 * What a flush must do, in this order (with limits also what tenant.h says).  First intern: every family with
 * interned = false, then every list with list_id = 0 (tk_pane_next_new_* return NULL at the end; the host
 * fills in list_id, calls tk_family_unshare where the store keeps a list of its own, and sets interned). Then
 * write: of every pane that is changed, or sealed, the rows.  Of a whole one remove the pieces first; insert
 * rows that are not written, update those that are changed, mark the others that are sealed.  After the
 * commit tk_pane_flushed; after an abort nothing, the next flush repeats it. No event may be added between
 * the first tk_pane_next_dirty and tk_pane_flushed.
 *
 * tk_pane_next_new_* return the oldest family or list that is still new, so a host either settles each before
 * it asks again, or walks on from the first along next_new and settles them all when its transaction has
 * committed: ids of an aborted one must never stay.
 */
TkFamily *tk_pane_next_new_family(TkPaneSet *set);
TkList *tk_pane_next_new_list(TkPaneSet *set); /* lists of values only; drops those that have an id by now */

/* Gives the list across a dimension's values panes of its own, copied from `all`; nothing if it has them. */
TkStatus tk_family_unshare(TkPaneSet *set, TkFamily *family, int dimension);

/* Iterates over panes to write.  Start with *cursor = 0; NULL at the end. */
TkPane *tk_pane_next_dirty(TkPaneSet *set, size_t *cursor);

/* True if nothing will be added to the row any more. */
bool tk_row_is_sealed(const TkPane *pane, const TkRow *row);

/* Up to so many updates a pane is in pieces; the workers of a topic share them out by their partitions. */
uint64_t tk_most_exact(uint32_t capacity);

/* The flush committed: changed panes become written and unchanged, sealed ones are forgotten. */
void tk_pane_flushed(TkPaneSet *set);

/* The sealed panes are in the store, and are forgotten; of the others nothing was written. */
void tk_pane_forget_sealed(TkPaneSet *set);

#endif

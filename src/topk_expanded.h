/*
 * topk_expanded.h
 *		The state of an aggregate over sketches: a working sketch as an expanded object of type topk.
 */
#ifndef TOPK_EXPANDED_H
#define TOPK_EXPANDED_H

#include "compat.h"

#include "datatype/timestamp.h"
#include "utils/expandeddatum.h"

#include "topk_item.h"
#include "topk_value.h"

/* Private to topk_expanded.c: what the states of an aggregation share, and updates kept back. */
typedef struct TopkShared TopkShared;
typedef struct TopkRing TopkRing;

/*
 * One state. Lives in the memory of its aggregation and is never freed alone. Nobody reads the sketch but
 * through TopkStateSketch, which brings it up to date first.
 */
typedef struct TopkState
{
	ExpandedObjectHeader header; /* must be first */
	TkSketch *sketch;
	TopkRing *ring; /* NULL: updates are made at once */
	TopkShared *shared;
	int32 k; /* as the first row said, to be compared with the others' */
	int32 capacity;
	TimestampTz pane; /* of a fold: that of the last value */
} TopkState;

/* topk_expanded.c: making and finding states */
extern TopkState *TopkStateCreate(FunctionCallInfo fcinfo, TkKind kind, int32 k, int32 capacity);
extern TopkState *TopkStateDecode(FunctionCallInfo fcinfo, Datum value);

/* topk_expanded.c: using them */
extern TkSketch *TopkStateSketch(TopkState *state);
extern void TopkStateDefer(TopkState *state, TopkKey key, uint64 weight);

/*
 * The state that a Datum points to, or NULL if it is a flat value; for_update: also if its owner has given it
 * away for reading only. No other expanded objects of this type exist.
 */
static inline TopkState *
TopkStateFromDatum(Datum value, bool for_update)
{
	const char *pointer = DatumGetPointer(value);
	varatt_expanded expanded;

	if (for_update ? !VARATT_IS_EXTERNAL_EXPANDED_RW(pointer) : !VARATT_IS_EXTERNAL_EXPANDED(pointer))
		return NULL;
	memcpy(&expanded, VARDATA_EXTERNAL(pointer), sizeof(expanded));
	return (TopkState *) expanded.eohptr;
}

static inline Datum
TopkStateDatum(TopkState *state)
{
	return EOHPGetRWDatum(&state->header);
}

/* Count an item, now or before anybody reads the state. */
static inline void
TopkStateUpdate(TopkState *state, TopkKey key, uint64 weight)
{
	if (likely(state->ring == NULL))
		TopkCheck(tk_sketch_update(state->sketch, key.data, key.len, weight));
	else
		TopkStateDefer(state, key, weight);
}

#endif /* TOPK_EXPANDED_H */

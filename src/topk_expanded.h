/*
 * topk_expanded.h
 *		The state of an aggregate over sketches: a working sketch as an expanded object of type topk.
 */
#ifndef TOPK_EXPANDED_H
#define TOPK_EXPANDED_H

#include "compat.h"

#include "utils/expandeddatum.h"

#include "topk_item.h"
#include "topk_value.h"

/* All states of one aggregation, their memory and what they share; private to topk_expanded.c. */
typedef struct TopkShared TopkShared;

/*
 * One state. Lives in the memory of its aggregation and is never freed alone. Nobody reads the sketch but
 * through TopkStateSketch, which brings it up to date first.
 */
typedef struct TopkState
{
	ExpandedObjectHeader header; /* must be first */
	TkSketch   *sketch;
	TopkShared *shared;
	int32		k;		  /* as the first row said, to be compared with the others' */
	int32		capacity;
} TopkState;

/* topk_expanded.c: making and finding states */
extern TopkState *TopkStateCreate(FunctionCallInfo fcinfo, TkKind kind, int32 k, int32 capacity);
extern TopkState *TopkStateDecode(FunctionCallInfo fcinfo, Datum value);
extern TopkState *TopkStateFromDatum(Datum value);

/* topk_expanded.c: using them */
extern TkSketch *TopkStateSketch(TopkState *state);
extern void TopkStateUpdate(TopkState *state, const TopkKey *key, uint64 weight);

static inline Datum
TopkStateDatum(TopkState *state)
{
	return EOHPGetRWDatum(&state->header);
}

#endif /* TOPK_EXPANDED_H */

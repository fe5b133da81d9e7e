/*
 * topk_value.h
 *		Flat values of type topk, and what every file needs to work with sketches inside PostgreSQL.
 *
 * A flat value is a varlena whose payload is the stored form of the sketch library, nothing else.
 */
#ifndef TOPK_VALUE_H
#define TOPK_VALUE_H

#include "compat.h"

#include "sketch/sketch.h"

/* Where bytes came from decides what error it is if they are no sketch. */
typedef enum TopkOrigin
{
	TOPK_STORED, /* a value of type topk: it was checked when it came in */
	TOPK_BINARY, /* from a client or a bytea */
	TOPK_TEXT    /* from the text form */
} TopkOrigin;

/* A flat value opened for reading. The view points into `flat`, which may be the caller's own argument. */
typedef struct TopkReader
{
	struct varlena *flat;
	TkView view;
} TopkReader;

/* topk_value.c: memory and errors */
extern TkAllocator TopkAllocator(MemoryContext context);
TOPK_NORETURN extern void TopkRaise(TkStatus status) pg_attribute_cold;
extern void TopkCheckKinds(TkKind left, TkKind right);
extern int TopkSqlState(TkStatus status, TopkOrigin origin);

/* topk_value.c: parameters */
extern uint32 TopkDefaultCapacity(uint32 k);
extern void TopkCheckParameters(int32 k, int32 capacity);
TOPK_NORETURN extern void TopkRaiseNegativeWeight(int64 weight) pg_attribute_cold;

/* topk_value.c: flat values */
extern void TopkOpen(TopkReader *reader, Datum value);
extern TkSummary TopkSummary(Datum value);
extern TkSketch *TopkDecode(Datum value, MemoryContext context);
extern void TopkMergeValue(TkSketch *sketch, Datum value);
extern void TopkGatherValue(TkSketch *sketch, Datum value);
extern Datum TopkEncode(const TkSketch *sketch, TkEncodeMode mode);

/* Linear callers: TopkCheck(tk_...()) */
static inline void
TopkCheck(TkStatus status)
{
	if (unlikely(status != TK_OK))
		TopkRaise(status);
}

static inline void
TopkCheckWeight(int64 weight)
{
	if (unlikely(weight < 0))
		TopkRaiseNegativeWeight(weight);
}

#endif /* TOPK_VALUE_H */

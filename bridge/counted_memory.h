/*
 * counted_memory.h - an allocator that knows how much it has given out.
 *
 * Pure.  It stands before another allocator and keeps each block's size in front of the block, so that asking
 * for the sum costs nothing.
 */
#ifndef TK_COUNTED_MEMORY_H
#define TK_COUNTED_MEMORY_H

#include "../src/sketch/sketch.h"

typedef struct TkCountedMemory
{
	TkAllocator base;      /* where memory comes from */
	TkAllocator allocator; /* what users get: allocates from base and counts */
	size_t bytes;          /* held now, the sizes in front included */
} TkCountedMemory;

/* `memory` must not move afterwards: its allocator points to it. */
void tk_counted_init(TkCountedMemory *memory, const TkAllocator *base);

/* A zeroed block, or NULL. */
void *tk_counted_zalloc(TkCountedMemory *memory, size_t size);

/* NULL is allowed. */
void tk_counted_free(TkCountedMemory *memory, void *block);

#endif

/*
 * sketch_memory.h - memory contexts as the allocator of sketches.
 *
 * Returns NULL instead of raising an error when memory runs out, as the pure parts expect.
 */
#ifndef TK_SKETCH_MEMORY_H
#define TK_SKETCH_MEMORY_H

#include "postgres.h"

#include "utils/memutils.h"
#include "utils/palloc.h"

#include "../src/sketch/sketch.h"

static inline void *
sketch_memory_alloc(void *arg, size_t size)
{
	return MemoryContextAllocExtended((MemoryContext) arg, size, MCXT_ALLOC_HUGE | MCXT_ALLOC_NO_OOM);
}

static inline void
sketch_memory_release(void *arg, void *block)
{
	pfree(block);
}

static inline TkAllocator
sketch_memory(MemoryContext context)
{
	TkAllocator allocator = {sketch_memory_alloc, sketch_memory_release, context};

	return allocator;
}

#endif

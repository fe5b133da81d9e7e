/*
 * bridge_alloc.h - an allocator that counts its blocks, and that can fail.
 */
#ifndef BRIDGE_ALLOC_H
#define BRIDGE_ALLOC_H

#include <stdlib.h>

#include "../../src/sketch/sketch.h"

static int live_blocks;
static int allocations_until_failure = -1; /* negative: never */

static void *
test_alloc(void *arg, size_t size)
{
	(void) arg;
	if (allocations_until_failure == 0)
		return NULL;
	if (allocations_until_failure > 0)
		allocations_until_failure--;
	live_blocks++;
	return malloc(size);
}

static void
test_release(void *arg, void *block)
{
	(void) arg;
	live_blocks--;
	free(block);
}

static const TkAllocator allocator = {test_alloc, test_release, NULL};

#endif

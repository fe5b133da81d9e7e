/*
 * sketch_fuzz.h
 *		What the fuzz targets of the sketch library share.
 */
#ifndef SKETCH_FUZZ_H
#define SKETCH_FUZZ_H

#include <stdio.h>
#include <stdlib.h>

#include "sketch.h"

/* A broken promise is a crash, so that the fuzzer keeps its input. */
#define REQUIRE(holds)                                                                                       \
	do                                                                                                       \
	{                                                                                                        \
		if (!(holds))                                                                                        \
		{                                                                                                    \
			fprintf(stderr, "%s:%d: broken: %s\n", __FILE__, __LINE__, #holds);                              \
			abort();                                                                                         \
		}                                                                                                    \
	} while (0)

static inline void *
fuzz_alloc(void *arg, size_t size)
{
	(void) arg;
	/* nothing that a few kilobytes of input can say justifies more */
	REQUIRE(size < (size_t) 64 << 20);
	return malloc(size);
}

static inline void
fuzz_release(void *arg, void *block)
{
	(void) arg;
	free(block);
}

static const TkAllocator fuzz_heap = {fuzz_alloc, fuzz_release, NULL};

/* What holds for every sketch, whatever made it. */
static inline void
fuzz_check_promises(const TkSketch *s)
{
	unsigned __int128 potential = (unsigned __int128) tk_sketch_max_error(s) * (tk_sketch_capacity(s) + 1);
	TkItem *items;
	size_t count;

	REQUIRE(tk_sketch_items(s, &fuzz_heap, SIZE_MAX, &items, &count) == TK_OK);
	REQUIRE(count == tk_sketch_count(s));
	for (size_t i = 0; i < count; i++)
	{
		REQUIRE(items[i].lower <= items[i].upper && items[i].upper >= tk_sketch_max_error(s));
		REQUIRE(items[i].upper - items[i].lower <= tk_sketch_max_error(s));
		REQUIRE(i == 0 || items[i].upper <= items[i - 1].upper);
		potential += items[i].upper - tk_sketch_max_error(s);
	}
	REQUIRE(potential <= tk_sketch_total(s));
	REQUIRE(tk_sketch_k(s) >= 1 && tk_sketch_k(s) <= tk_sketch_capacity(s));
	free(items);
}

/* Read all that a view offers; it may be of bytes that decoding refuses. */
static inline void
fuzz_read_view(const TkView *view)
{
	TkItem *items;
	size_t count;
	uint64_t lower;
	uint64_t upper;
	unsigned sum = 0;

	REQUIRE(tk_view_items(view, &fuzz_heap, SIZE_MAX, &items, &count) == TK_OK);
	for (size_t i = 0; i < count; i++)
	{
		for (uint32_t at = 0; at < items[i].key_len; at++)
			sum += items[i].key[at];
		REQUIRE(items[i].lower <= items[i].upper);
	}
	tk_view_estimate(view, "a", 1, &lower, &upper);
	REQUIRE(lower <= upper && (count > 0 || sum == 0));
	free(items);
}

#endif /* SKETCH_FUZZ_H */

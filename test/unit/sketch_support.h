/*
 * sketch_support.h
 *		What the tests of the sketch library share: TAP lines, an allocator that counts and can fail,
 *		random numbers that are the same on every machine, short names for keys, and what is done with
 *		sketches again and again.
 */
#ifndef SKETCH_SUPPORT_H
#define SKETCH_SUPPORT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sketch.h"

static int tap_count;
static int tap_failed;

/* One TAP line. Returns `passed`, so that a test can stop early. */
static inline bool __attribute__((format(printf, 2, 3))) ok(bool passed, const char *format, ...)
{
	va_list args;

	tap_count++;
	tap_failed += !passed;
	printf("%sok %d - ", passed ? "" : "not ", tap_count);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\n");
	return passed;
}

/* As ok, and shows both numbers when they differ. */
static inline bool
is_number(uint64_t got, uint64_t wanted, const char *what)
{
	bool passed = ok(got == wanted, "%s", what);

	if (!passed)
		printf("# got %llu, wanted %llu\n", (unsigned long long) got, (unsigned long long) wanted);
	return passed;
}

static inline int
tap_end(void)
{
	printf("1..%d\n", tap_count);
	fflush(stdout);
	return tap_failed > 0;
}

/* Counts live blocks and all calls; call number `fail_at` (from 1; 0: none) and, if `fail_on`, all later ones
 * fail. */
typedef struct Heap
{
	size_t live;
	size_t live_bytes;
	size_t calls;
	size_t fail_at;
	bool fail_on;
	size_t largest; /* larger blocks are refused; 0: no limit */
} Heap;

#define HEAP_HEADER 16

static inline void *
heap_alloc(void *arg, size_t size)
{
	Heap *heap = arg;
	char *block;

	heap->calls++;
	if (heap->fail_at > 0 && (heap->calls == heap->fail_at || (heap->fail_on && heap->calls > heap->fail_at)))
		return NULL;
	if (heap->largest > 0 && size > heap->largest)
		return NULL;
	block = malloc(size + HEAP_HEADER);
	if (block == NULL)
		abort();
	memcpy(block, &size, sizeof(size));
	/* nobody may rely on what fresh memory holds */
	memset(block + HEAP_HEADER, 0xA5, size);
	heap->live++;
	heap->live_bytes += size;
	return block + HEAP_HEADER;
}

static inline void
heap_release(void *arg, void *block)
{
	Heap *heap = arg;
	size_t size;

	memcpy(&size, (char *) block - HEAP_HEADER, sizeof(size));
	heap->live--;
	heap->live_bytes -= size;
	free((char *) block - HEAP_HEADER);
}

static inline TkAllocator
heap_allocator(Heap *heap)
{
	TkAllocator alloc = {heap_alloc, heap_release, heap};

	return alloc;
}

/* The heap that a test uses unless it needs another. */
static Heap heap;
static TkAllocator alloc = {heap_alloc, heap_release, &heap};

static inline uint64_t
random_next(uint64_t *state)
{
	uint64_t x = *state += UINT64_C(0x9E3779B97F4A7C15);

	x = (x ^ (x >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
	x = (x ^ (x >> 27)) * UINT64_C(0x94D049BB133111EB);
	return x ^ (x >> 31);
}

/* 0 .. limit - 1 */
static inline uint64_t
random_below(uint64_t *state, uint64_t limit)
{
	return random_next(state) % limit;
}

/* A sketch that the test cannot go on without. */
static inline TkSketch *
must_create(const TkAllocator *alloc, TkKind kind, uint32_t k, uint32_t capacity)
{
	TkSketch *s;

	if (tk_sketch_create(alloc, kind, k, capacity, &s) != TK_OK)
	{
		printf("Bail out! cannot create a sketch\n");
		exit(2);
	}
	return s;
}

static inline bool
same_summary(const TkSummary *a, const TkSummary *b)
{
	return a->kind == b->kind && a->k == b->k && a->capacity == b->capacity && a->count == b->count &&
		   a->total == b->total && a->max_error == b->max_error && a->exact == b->exact &&
		   a->partial == b->partial;
}

static inline TkStatus
add_text(TkSketch *s, const char *key, uint64_t weight)
{
	return tk_sketch_update(s, key, strlen(key), weight);
}

/* Key number i: "item-000123", of 11 bytes up to a million. */
static inline TkStatus
add_numbered(TkSketch *s, uint64_t i, uint64_t weight)
{
	char key[32];
	int len = snprintf(key, sizeof(key), "item-%06llu", (unsigned long long) i);

	return tk_sketch_update(s, key, (size_t) len, weight);
}

/* The encoding of a sketch, without headroom; freed with heap_release. */
static inline uint8_t *
encoded(const TkSketch *s, TkEncodeMode mode, size_t *len)
{
	void *block;

	if (tk_sketch_encode(s, mode, &alloc, 0, &block, len) != TK_OK)
		return NULL;
	return block;
}

static inline void
release(void *block)
{
	if (block != NULL)
		heap_release(&heap, block);
}

static inline bool
same_bytes(const TkSketch *a, const TkSketch *b, TkEncodeMode mode)
{
	size_t a_len;
	size_t b_len;
	uint8_t *a_bytes = encoded(a, mode, &a_len);
	uint8_t *b_bytes = encoded(b, mode, &b_len);
	bool same = a_len == b_len && memcmp(a_bytes, b_bytes, a_len) == 0;

	release(a_bytes);
	release(b_bytes);
	return same;
}

/* The sketch read back from its own stored form. */
static inline TkSketch *
stored_copy(const TkSketch *s, TkEncodeMode mode)
{
	size_t len;
	uint8_t *bytes = encoded(s, mode, &len);
	TkSketch *copy = NULL;

	if (tk_sketch_decode(&alloc, bytes, len, &copy) != TK_OK)
		copy = NULL;
	release(bytes);
	return copy;
}

static inline uint64_t
upper_of(const TkSketch *s, const char *key)
{
	uint64_t lower;
	uint64_t upper;

	tk_sketch_estimate(s, key, strlen(key), &lower, &upper);
	return upper;
}

static inline TkSketch *
flat_sketch(uint32_t capacity, uint64_t from, uint64_t keys, uint64_t weight)
{
	TkSketch *s = must_create(&alloc, TK_KIND_TEXT, capacity < 10 ? 1 : 10, capacity);

	for (uint64_t i = 0; i < keys; i++)
		add_numbered(s, from + i, weight);
	return s;
}

#endif /* SKETCH_SUPPORT_H */

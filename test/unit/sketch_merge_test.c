/*
 * sketch_merge_test.c
 *		Merging sketches, in memory and stored: numbers, capacities, bounds, and what is refused.
 */
#include "sketch_support.h"

static void
test_merge_exact(void)
{
	TkSketch *a = flat_sketch(20, 0, 10, 3);
	TkSketch *b = flat_sketch(50, 5, 10, 4);
	TkSketch *c = must_create(&alloc, TK_KIND_TEXT, 1, 5);

	ok(tk_sketch_merge(c, a) == TK_OK && tk_sketch_merge(c, b) == TK_OK,
	   "two exact sketches merge into an empty one");
	ok(tk_sketch_capacity(c) == 50 && tk_sketch_k(c) == 10, "all exact: the largest capacity, the largest k");
	ok(upper_of(c, "item-000007") == 7 && upper_of(c, "item-000002") == 3 && upper_of(c, "item-000012") == 4,
	   "counts add");
	ok(tk_sketch_is_exact(c) && tk_sketch_total(c) == 70, "the result is exact");
	ok(tk_sketch_merge(c, c) == TK_OK && upper_of(c, "item-000007") == 14 && tk_sketch_total(c) == 140,
	   "a sketch merged with itself doubles");
	tk_sketch_free(a);
	tk_sketch_free(b);
	tk_sketch_free(c);
}

/* The smallest capacity of those that are not exact; a capacity must survive storage for that. */
static void
test_merge_capacity(void)
{
	TkSketch *coarse = flat_sketch(10, 0, 11, 1000);
	TkSketch *fine = must_create(&alloc, TK_KIND_TEXT, 100, 300);
	TkSketch *tiny = flat_sketch(3, 0, 2, 1);
	TkSketch *copy = stored_copy(coarse, TK_FINAL);

	is_number(tk_sketch_max_error(copy), 1000, "11 items of 1000 at capacity 10: theta is 1000");
	ok(tk_sketch_merge(fine, copy) == TK_OK && tk_sketch_capacity(fine) == 10 && tk_sketch_k(fine) == 10,
	   "an exact sketch takes the capacity of the inexact one, k is lowered to it");
	tk_sketch_merge(fine, tiny);
	is_number(tk_sketch_capacity(fine), 10, "a smaller exact one does not lower it");
	tk_sketch_free(copy);
	copy = stored_copy(fine, TK_FINAL);
	ok(copy != NULL, "the result passes the reader's check");
	tk_sketch_free(coarse);
	tk_sketch_free(fine);
	tk_sketch_free(tiny);
	tk_sketch_free(copy);
}

static void
test_merge_inexact_capacities(void)
{
	for (int order = 0; order < 2; order++)
	{
		TkSketch *a = flat_sketch(order == 0 ? 10 : 200, 0, 3000, 5);
		TkSketch *b = flat_sketch(order == 0 ? 200 : 10, 1000, 3000, 5);
		TkSketch *copy;

		ok(tk_sketch_merge(a, b) == TK_OK && tk_sketch_capacity(a) == 10 && tk_sketch_k(a) == 10,
		   "of two inexact sketches the smaller capacity counts");
		copy = stored_copy(a, TK_FINAL);
		ok(copy != NULL && tk_sketch_count(copy) == 10, "and the result is stored");
		tk_sketch_free(a);
		tk_sketch_free(b);
		tk_sketch_free(copy);
	}
}

/* A merge that adds the minimum of a side that is not full spoils exact counts; one that ignores a filter
 * lies. */
static void
test_merge_bounds(void)
{
	TkSketch *small = flat_sketch(300, 100000, 20, 5);
	TkSketch *flood = must_create(&alloc, TK_KIND_TEXT, 10, 300);
	uint64_t theta;
	uint64_t lower;
	uint64_t upper;

	for (int round = 0; round < 30; round++)
		for (uint64_t i = 0; i < 20000; i++)
			add_numbered(flood, i, 1);
	theta = tk_sketch_max_error(flood);
	ok(theta > 0, "the flood is not exact");
	tk_sketch_merge(flood, small);
	is_number(tk_sketch_max_error(flood), theta, "an exact side adds nothing to theta");
	tk_sketch_merge(small, flood);
	ok(tk_sketch_max_error(small) >= theta, "the other way theta comes along");
	for (uint64_t i = 0; i < 20000; i++)
		add_numbered(small, i, 1);
	tk_sketch_estimate(small, "item-000077", 11, &lower, &upper);
	ok(lower <= 31 && upper >= 31, "a key that the other side's filter absorbed keeps its bounds");
	tk_sketch_free(small);
	tk_sketch_free(flood);
}

static void
test_merge_encoded(void)
{
	TkSketch *a = must_create(&alloc, TK_KIND_TEXT, 100, 300);
	TkSketch *b = must_create(&alloc, TK_KIND_TEXT, 100, 300);
	bool fine = true;

	for (uint64_t pane = 0; pane < 40; pane++)
	{
		TkSketch *part = must_create(&alloc, TK_KIND_TEXT, 100, 300);
		TkSketch *copy;
		size_t len;
		uint8_t *bytes;

		for (uint64_t i = 0; i < 3000; i++)
			add_numbered(part, i % (1 + i * (pane + 1) % 2000), 1);
		bytes = encoded(part, TK_FINAL, &len);
		copy = stored_copy(part, TK_FINAL);
		fine = fine && tk_sketch_merge_encoded(a, bytes, len) == TK_OK && tk_sketch_merge(b, copy) == TK_OK;
		release(bytes);
		tk_sketch_free(copy);
		tk_sketch_free(part);
	}
	ok(fine && same_bytes(a, b, TK_PARTIAL), "merging stored bytes and read sketches is the same");
	is_number(tk_sketch_total(a), 40 * 3000, "with the sum of totals");
	ok(tk_sketch_merge_encoded(a, "\1", 1) == TK_CORRUPT && same_bytes(a, b, TK_PARTIAL),
	   "bad bytes change nothing");
	tk_sketch_free(a);
	tk_sketch_free(b);
}

/* Exact parts of random sizes, each of few keys, as one whole of `keys` keys is divided. */
static void
gather_parts(TkSketch *into, uint64_t seed, uint64_t keys)
{
	uint64_t added = 0;

	while (added < 3 * keys)
	{
		TkSketch *part = must_create(&alloc, TK_KIND_TEXT, 10, 30);
		uint64_t updates = 1 + random_next(&seed) % 900;
		size_t len;
		uint8_t *bytes;

		for (uint64_t i = 0; i < updates && added < 3 * keys; i++, added++)
			add_numbered(part, added * added % keys, 1 + added % 5);
		bytes = encoded(part, TK_PARTIAL, &len);
		if (tk_sketch_gather_encoded(into, bytes, len) != TK_OK)
			ok(false, "a part of %llu updates is gathered", (unsigned long long) updates);
		release(bytes);
		tk_sketch_free(part);
	}
}

/* A sketch that is not exact, with more gathered into it: the same however that is divided, with no purge. */
static void
test_gather(void)
{
	TkSketch *row = flat_sketch(30, 0, 5000, 7);
	TkSketch *first = stored_copy(row, TK_FINAL);

	gather_parts(first, 1, 7001);
	ok(tk_sketch_count(first) > 3 * tk_working_entries(30), "more entries than a merge would leave");
	for (uint64_t seed = 2; seed < 6; seed++)
	{
		TkSketch *other = stored_copy(row, TK_FINAL);

		gather_parts(other, seed, 7001);
		ok(same_bytes(first, other, TK_FINAL), "the same bytes, divided in another way");
		tk_sketch_trim(other);
		ok(same_bytes(first, other, TK_FINAL), "and trimmed");
		tk_sketch_free(other);
	}
	gather_parts(first, 7, 70001);
	ok(tk_sketch_count(first) <= 64 * tk_working_entries(30), "yet there is a limit");
	tk_sketch_free(first);
	tk_sketch_free(row);
}

/* Trimming a state is the same as storing and reading it, whatever is merged into it later. */
static void
test_trim_is_store(void)
{
	TkSketch *trimmed = must_create(&alloc, TK_KIND_TEXT, 10, 30);
	TkSketch *stored = must_create(&alloc, TK_KIND_TEXT, 10, 30);
	uint64_t seed = 11;
	int different = 0;

	for (int pane = 0; pane < 200; pane++)
	{
		TkSketch *part = must_create(&alloc, TK_KIND_TEXT, 10, 30);
		TkSketch *copy;
		size_t len;
		uint8_t *bytes;

		for (int i = 0; i < 400; i++)
			add_numbered(part, random_next(&seed) % (1 + random_next(&seed) % 500),
						 1 + random_next(&seed) % 9);
		bytes = encoded(part, pane % 2 == 0 ? TK_PARTIAL : TK_FINAL, &len);
		tk_sketch_gather_encoded(trimmed, bytes, len);
		tk_sketch_trim(trimmed);
		tk_sketch_gather_encoded(stored, bytes, len);
		copy = stored_copy(stored, TK_FINAL);
		tk_sketch_free(stored);
		stored = copy;
		different += !same_bytes(trimmed, stored, TK_FINAL);
		release(bytes);
		tk_sketch_free(part);
	}
	ok(!tk_sketch_is_exact(trimmed), "two hundred panes that do not fit");
	is_number((uint64_t) different, 0, "trimmed after each, or stored and read again: the same bytes");
	tk_sketch_free(trimmed);
	tk_sketch_free(stored);
}

/* A stored sketch with a key twice: the harm would be done only after half of it was merged. */
static void
test_merge_refuses_duplicates(void)
{
	static const uint8_t bytes[] = {1, 0x05, TK_KIND_TEXT, 1, 9, 9, 0, 3, 4, 1, 1, 1, 'a', 'b', 'a'};
	TkSketch *s = flat_sketch(9, 0, 4, 2);
	TkSketch *twin = flat_sketch(9, 0, 4, 2);
	TkSketch *decoded;
	TkView view;

	ok(tk_view_open(bytes, sizeof(bytes), &view) == TK_OK, "the bytes are well formed otherwise");
	ok(tk_sketch_decode(&alloc, bytes, sizeof(bytes), &decoded) == TK_CORRUPT && decoded == NULL,
	   "a key that comes twice is refused");
	ok(tk_sketch_merge_encoded(s, bytes, sizeof(bytes)) == TK_CORRUPT && same_bytes(s, twin, TK_FINAL),
	   "and the destination stays as it was");
	add_text(s, "a", 1);
	add_text(s, "b", 1);
	ok(upper_of(s, "a") == 1 && upper_of(s, "b") == 1 && upper_of(s, "item-000003") == 2, "and usable");
	tk_sketch_free(s);
	tk_sketch_free(twin);
}

/* The same where the destination has entries for those keys, so that all has been added when it is seen. */
static void
test_merge_takes_back(void)
{
	static const uint8_t bytes[] = {1, 0x04, TK_KIND_TEXT, 1,   9,   30, 1, 4, 5, 1, 1, 1, 1, 0, 1,
									0, 1,    'a',          'c', 'b', 'a'};
	TkSketch *s = must_create(&alloc, TK_KIND_TEXT, 1, 9);
	TkSketch *twin;
	TkView view;

	for (uint64_t i = 0; i < 5000; i++)
		add_numbered(s, i, 1);
	add_text(s, "a", 1000);
	add_text(s, "b", 1000);
	tk_sketch_clone(s, NULL, &twin);
	ok(!tk_sketch_is_exact(s) && tk_view_open(bytes, sizeof(bytes), &view) == TK_OK,
	   "a purged sketch, and bytes that hold one of its keys twice");
	ok(tk_sketch_merge_encoded(s, bytes, sizeof(bytes)) == TK_CORRUPT && same_bytes(s, twin, TK_PARTIAL),
	   "what was added is taken back");
	for (uint64_t i = 0; i < 5000; i++)
	{
		add_numbered(s, i, 2);
		add_numbered(twin, i, 2);
	}
	ok(same_bytes(s, twin, TK_PARTIAL), "and the future is the same");
	tk_sketch_free(s);
	tk_sketch_free(twin);
}

int
main(void)
{
	test_merge_exact();
	test_merge_capacity();
	test_merge_inexact_capacities();
	test_merge_bounds();
	test_merge_encoded();
	test_gather();
	test_trim_is_store();
	test_merge_refuses_duplicates();
	test_merge_takes_back();
	is_number(heap.live, 0, "no block is left");
	return tap_end();
}

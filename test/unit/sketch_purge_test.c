/*
 * sketch_purge_test.c
 *		Which entries a purge and a trim leave, and the filter that remembers the others.
 */
#include "sketch_support.h"

/* Weights so large that theta needs more than 32 bits, reached slowly and at once. */
static void
test_wide_filter(void)
{
	TkSketch *s = must_create(&alloc, TK_KIND_TEXT, 10, 100);
	uint64_t random = 7;
	uint64_t n;

	for (uint64_t i = 0; i < 20000; i++)
		add_numbered(s, i, 1 + random_below(&random, UINT64_C(1) << (i / 500)));
	n = tk_sketch_total(s);
	ok(tk_sketch_max_error(s) > UINT32_MAX, "theta passes 32 bits");
	ok(tk_sketch_max_error(s) <= n / 101, "and keeps its bound");
	ok(upper_of(s, "item-019999") <= n, "upper bounds stay below the total");
	tk_sketch_free(s);
}

/* Uniform data must not lose its items to a tie at theta. */
static void
test_ties(void)
{
	TkSketch *s = flat_sketch(300, 0, 5000, 1);
	TkSketch *copy = stored_copy(s, TK_FINAL);
	TkItem *items;
	size_t count;

	is_number(tk_sketch_count(copy), 300, "flat data fill the capacity");
	tk_sketch_trim(s);
	ok(same_bytes(s, copy, TK_FINAL), "trimming and storing agree");
	tk_sketch_items(s, &alloc, 10, &items, &count);
	is_number(count, 10, "k items are answered on flat data");
	release(items);
	tk_sketch_free(s);
	tk_sketch_free(copy);
	s = flat_sketch(10, 0, 1000, 7);
	tk_sketch_trim(s);
	ok(upper_of(s, "item-000009") == 7 && tk_sketch_count(s) == 10, "of equal items the smallest keys stay");
	tk_sketch_items(s, &alloc, SIZE_MAX, &items, &count);
	ok(items[0].key[10] == '0' && items[9].key[10] == '9', "in key order");
	release(items);
	tk_sketch_free(s);
}

/* Ties between keys that are prefixes of each other, and that agree in many bytes. */
static void
test_tie_prefixes(void)
{
	TkSketch *s = must_create(&alloc, TK_KIND_TEXT, 5, 20);
	char key[64];
	bool kept = true;
	uint64_t lower;
	uint64_t upper;

	memset(key, 'p', sizeof(key));
	for (size_t len = 64; len > 0; len--)
		tk_sketch_update(s, key, len, 1);
	tk_sketch_trim(s);
	for (size_t len = 1; len <= 64; len++)
		kept = kept && tk_sketch_estimate(s, key, len, &lower, &upper) == (len <= 20);
	ok(kept, "the shortest of keys with one prefix stay");
	tk_sketch_free(s);
}

/* "Empty" meaning no entries: a library lost the total and offset of such a sketch. */
static void
test_no_entries_left(void)
{
	static const uint8_t bytes[] = {1, 0, TK_KIND_TEXT, 1, 3, 100, 25, 0};
	TkSketch *s = NULL;
	TkSketch *other = must_create(&alloc, TK_KIND_TEXT, 1, 3);
	TkSketch *copy;

	ok(tk_sketch_decode(&alloc, bytes, sizeof(bytes), &s) == TK_OK,
	   "a sketch with a total but no entries is valid");
	is_number(upper_of(s, "anything"), 25, "its theta speaks for every key");
	add_text(other, "a", 7);
	ok(tk_sketch_merge(other, s) == TK_OK && tk_sketch_total(other) == 107 &&
		   tk_sketch_max_error(other) == 25 && upper_of(other, "a") == 32,
	   "a merge adds its total and theta");
	add_text(s, "b", 4);
	is_number(upper_of(s, "b"), 29, "it can be updated");
	copy = stored_copy(s, TK_FINAL);
	ok(copy != NULL && same_bytes(s, copy, TK_FINAL), "and stored again");
	tk_sketch_free(copy);
	tk_sketch_free(other);
	tk_sketch_free(s);
}

/* Trimming raises theta to the (m+1)-th largest count, no further, in memory and on the way to storage. */
static void
test_trim_rank(void)
{
	TkSketch *s = must_create(&alloc, TK_KIND_TEXT, 3, 10);
	TkSketch *copy;

	for (uint64_t i = 1; i <= 12; i++)
		add_numbered(s, i, 100 * i);
	copy = stored_copy(s, TK_FINAL);
	is_number(tk_sketch_max_error(copy), 200, "stored: theta is the 11th of 12 counts");
	tk_sketch_trim(s);
	is_number(tk_sketch_max_error(s), 200, "trimmed: so it is");
	is_number(upper_of(s, "item-000012"), 1200, "the heaviest keeps its count");
	is_number(upper_of(s, "item-000002"), 200, "one that has left is below theta");
	tk_sketch_free(s);
	tk_sketch_free(copy);
}

/* Capacities at which positions need more than 16 bits. */
static void
test_large_capacity(void)
{
	TkSketch *s = must_create(&alloc, TK_KIND_BIGINT, 1000, TK_MAX_CAPACITY);
	TkSketch *copy;
	bool found = true;
	uint8_t key[8];
	uint64_t lower;
	uint64_t upper;

	for (int64_t i = 0; i < 131072; i++)
	{
		tk_bigint_key(i, key);
		tk_sketch_update(s, key, 8, 1);
	}
	ok(tk_sketch_is_exact(s) && tk_sketch_count(s) == 131072, "131,072 entries are exact");
	copy = stored_copy(s, TK_PARTIAL);
	for (int64_t i = 0; i < 131072; i++)
	{
		tk_bigint_key(i, key);
		found = found && tk_sketch_estimate(copy, key, 8, &lower, &upper) && upper == 1;
	}
	ok(found, "and found after a round trip");
	for (int64_t i = 0; i < 400000; i++)
	{
		tk_bigint_key(i * 3, key);
		tk_sketch_update(s, key, 8, 2);
	}
	tk_sketch_free(copy);
	copy = stored_copy(s, TK_FINAL);
	ok(copy != NULL && tk_sketch_count(copy) == TK_MAX_CAPACITY &&
		   tk_sketch_max_error(copy) <= tk_sketch_total(copy) / (TK_MAX_CAPACITY + 1),
	   "and purged within the bound");
	ok(tk_sketch_merge(s, copy) == TK_OK && tk_sketch_total(s) == 2 * tk_sketch_total(copy), "and merged");
	tk_sketch_free(s);
	tk_sketch_free(copy);
}

static int
descending(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *) a;
	uint64_t y = *(const uint64_t *) b;

	return (x < y) - (x > y);
}

/* Weights of up to `bits` bits above a common start. What is theta when an exact sketch of them is trimmed?
 */
static bool
trim_finds_rank(uint64_t *random, uint32_t capacity, unsigned bits, uint64_t start)
{
	enum
	{
		KEYS = 200
	};
	uint64_t weights[KEYS];
	TkSketch *s = must_create(&alloc, TK_KIND_TEXT, 1, capacity);
	bool right;

	for (uint64_t i = 0; i < KEYS; i++)
	{
		weights[i] = start + 1 + (random_next(random) >> (64 - 1 - random_below(random, bits)));
		add_numbered(s, i, weights[i]);
	}
	qsort(weights, KEYS, sizeof(*weights), descending);
	right = tk_sketch_trim(s) == TK_OK && tk_sketch_max_error(s) == weights[capacity] &&
			tk_sketch_count(s) == capacity;
	tk_sketch_free(s);
	return right;
}

static void
test_trim_any_weights(void)
{
	uint64_t random = 11;
	bool right = true;

	for (unsigned round = 0; round < 20000; round++)
		right = right && trim_finds_rank(&random, 1 + (uint32_t) random_below(&random, 199), 1 + round % 54,
										 round % 3 > 0 ? 0 : (UINT64_C(1) << round % 54) - 1);
	ok(right, "a trim raises theta to the heaviest weight that leaves, small or large");
}

int
main(void)
{
	test_wide_filter();
	test_ties();
	test_tie_prefixes();
	test_no_entries_left();
	test_trim_rank();
	test_trim_any_weights();
	test_large_capacity();
	is_number(heap.live, 0, "no block is left");
	return tap_end();
}

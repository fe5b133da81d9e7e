/*
 * sketch_test.c
 *		Behaviour of the sketch library, one small function for each promise of sketch.h, and one for
 *		each mistake of other libraries that this one must not repeat. Argument: the directory of the
 *		version 1 fixtures.
 */
#define _POSIX_C_SOURCE 200809L

#include <dirent.h>

#include "sketch_support.h"

static Heap heap;
static TkAllocator alloc;

/* The encoding of a sketch, without headroom; freed with heap_release. */
static uint8_t *
encoded(const TkSketch *s, TkEncodeMode mode, size_t *len)
{
	void *block;

	if (tk_sketch_encode(s, mode, &alloc, 0, &block, len) != TK_OK)
		return NULL;
	return block;
}

static void
release(void *block)
{
	if (block != NULL)
		heap_release(&heap, block);
}

static bool
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
static TkSketch *
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

static uint64_t
upper_of(const TkSketch *s, const char *key)
{
	uint64_t lower;
	uint64_t upper;

	tk_sketch_estimate(s, key, strlen(key), &lower, &upper);
	return upper;
}

static TkSketch *
flat_sketch(uint32_t capacity, uint64_t from, uint64_t keys, uint64_t weight)
{
	TkSketch *s = must_create(&alloc, TK_KIND_TEXT, capacity < 10 ? 1 : 10, capacity);

	for (uint64_t i = 0; i < keys; i++)
		add_numbered(s, from + i, weight);
	return s;
}

static void
test_arguments(void)
{
	TkSketch *s;
	uint32_t m;

	ok(tk_sketch_create(&alloc, TK_KIND_TEXT, 0, 10, &s) == TK_BAD_ARGUMENT && s == NULL, "k = 0 is refused");
	ok(tk_sketch_create(&alloc, TK_KIND_TEXT, 11, 10, &s) == TK_BAD_ARGUMENT,
	   "k above the capacity is refused");
	ok(tk_sketch_create(&alloc, TK_KIND_TEXT, 1, TK_MAX_CAPACITY + 1, &s) == TK_BAD_ARGUMENT,
	   "a capacity above the limit is refused");
	ok(tk_sketch_create(&alloc, (TkKind) 0, 1, 1, &s) == TK_BAD_ARGUMENT, "kind 0 is refused");
	ok(tk_sketch_create(&alloc, (TkKind) 4, 1, 1, &s) == TK_BAD_ARGUMENT, "kind 4 is refused");
	ok(tk_capacity_for_epsilon(0.01, &m) == TK_OK && m == 99, "capacity for 1 %% is 99");
	ok(tk_capacity_for_epsilon(0.001, &m) == TK_OK && m == 999, "capacity for 0.1 %% is 999");
	ok(tk_capacity_for_epsilon(0.3, &m) == TK_OK && m == 3, "capacity for 30 %% is 3");
	ok(tk_capacity_for_epsilon(0.9, &m) == TK_OK && m == 1, "capacity is at least 1");
	ok(tk_capacity_for_epsilon(1.0 / 65537, &m) == TK_OK && m == 65536,
	   "the largest capacity has its epsilon");
	ok(tk_capacity_for_epsilon(0.00001, &m) == TK_BAD_ARGUMENT, "an epsilon beyond the largest is refused");
	ok(tk_capacity_for_epsilon(0.0, &m) == TK_BAD_ARGUMENT &&
		   tk_capacity_for_epsilon(1.0, &m) == TK_BAD_ARGUMENT &&
		   tk_capacity_for_epsilon(-1.0, &m) == TK_BAD_ARGUMENT &&
		   tk_capacity_for_epsilon(0.0 / 0.0, &m) == TK_BAD_ARGUMENT,
	   "epsilons outside (0, 1) are refused");
	ok(tk_working_entries(1) == 1024 && tk_working_entries(512) == 1024 && tk_working_entries(513) == 1026,
	   "W = max(1024, 2m)");
}

static void
test_texts(void)
{
	bool all = true;

	for (int status = TK_OK; status <= TK_UNSUPPORTED; status++)
		all = all && strlen(tk_status_text((TkStatus) status)) > 0 &&
			  strcmp(tk_status_text((TkStatus) status), "unknown status") != 0;
	ok(all, "every status has a text");
	ok(strcmp(tk_status_text((TkStatus) 99), "unknown status") == 0, "an unknown status has one too");
	ok(strcmp(tk_kind_name(TK_KIND_UUID), "uuid") == 0 && strcmp(tk_kind_name((TkKind) 9), "unknown") == 0,
	   "kinds have names");
}

static void
test_bigint_keys(void)
{
	static const int64_t values[] = {INT64_MIN, INT64_MIN + 1, -256,          -1,       0, 1,
									 255,       256,           INT64_MAX - 1, INT64_MAX};
	size_t count = sizeof(values) / sizeof(values[0]);
	bool round = true;
	bool order = true;
	uint8_t previous[8] = {0};

	for (size_t i = 0; i < count; i++)
	{
		uint8_t key[8];

		tk_bigint_key(values[i], key);
		round = round && tk_bigint_value(key) == values[i];
		order = order && (i == 0 || memcmp(previous, key, 8) < 0);
		memcpy(previous, key, 8);
	}
	ok(round, "bigint keys give their values back");
	ok(order, "bigint keys sort as their values do");
}

static void
test_text_validity(void)
{
	ok(tk_text_is_valid("", 0) && tk_text_is_valid("plain text, long enough", 23), "ASCII is valid");
	ok(tk_text_is_valid("\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80\xF4\x8F\xBF\xBF", 13),
	   "2, 3 and 4 bytes are valid");
	ok(!tk_text_is_valid("a\0b", 3) && !tk_text_is_valid("12345678\0", 9), "U+0000 is not");
	ok(!tk_text_is_valid("\xC0\x80", 2) && !tk_text_is_valid("\xE0\x80\xAF", 3) &&
		   !tk_text_is_valid("\xF0\x80\x80\xAF", 4),
	   "overlong forms are not");
	ok(!tk_text_is_valid("\xED\xA0\x80", 3), "surrogates are not");
	ok(!tk_text_is_valid("\xF4\x90\x80\x80", 4) && !tk_text_is_valid("\xF5\x80\x80\x80", 4),
	   "past U+10FFFF is not");
	ok(!tk_text_is_valid("\xE2\x82", 2) && !tk_text_is_valid("\x80", 1) && !tk_text_is_valid("abc\xC3", 4),
	   "cut or stray bytes are not");
}

static void
test_empty(void)
{
	TkSketch *s = must_create(&alloc, TK_KIND_TEXT, 3, 9);
	TkItem *items;
	size_t count;
	TkSketch *copy = stored_copy(s, TK_FINAL);

	ok(tk_sketch_items(s, &alloc, SIZE_MAX, &items, &count) == TK_OK && items == NULL && count == 0,
	   "an empty sketch has no items");
	is_number(upper_of(s, "x"), 0, "in an empty sketch every key weighs 0");
	ok(tk_sketch_is_exact(s) && tk_sketch_total(s) == 0, "an empty sketch is exact");
	ok(tk_sketch_trim(s) == TK_OK, "an empty sketch can be trimmed");
	ok(copy != NULL && tk_sketch_k(copy) == 3 && tk_sketch_capacity(copy) == 9 &&
		   same_bytes(s, copy, TK_FINAL),
	   "an empty sketch is read back, with k and capacity");
	tk_sketch_free(copy);
	tk_sketch_free(s);
}

static void
test_exact(void)
{
	TkSketch *s = must_create(&alloc, TK_KIND_TEXT, 2, 300);
	TkItem *items;
	size_t count;

	add_text(s, "b", 5);
	add_text(s, "a", 3);
	add_text(s, "", 2);
	add_text(s, "a", 2);
	add_text(s, "never", 0);
	ok(tk_sketch_items(s, &alloc, SIZE_MAX, &items, &count) == TK_OK && count == 3, "three items");
	ok(items[0].key_len == 1 && items[0].key[0] == 'a' && items[1].key[0] == 'b' && items[2].key_len == 0,
	   "equal counts rank by key; the empty key is a key");
	ok(items[0].upper == 5 && items[0].lower == 5 && items[2].upper == 2, "counts are exact");
	ok(items[0].guaranteed && items[1].guaranteed && !items[2].guaranteed,
	   "the top 2 are guaranteed, the third is not");
	is_number(tk_sketch_total(s), 12, "the total is the sum");
	release(items);
	ok(tk_sketch_items(s, &alloc, 1, &items, &count) == TK_OK && count == 1, "a limit is kept");
	release(items);
	ok(tk_sketch_items(s, &alloc, 0, &items, &count) == TK_OK && count == 0 && items == NULL,
	   "also a limit of 0");
	tk_sketch_free(s);
}

static void
test_small_memory(void)
{
	TkSketch *s = must_create(&alloc, TK_KIND_TEXT, 100, 300);
	size_t len;
	uint8_t *bytes;

	for (int i = 0; i < 10; i++)
		tk_sketch_update(s, "0123456789abcdef" + i, (size_t) (16 - i), 1);
	ok(tk_sketch_memory(s) <= 700, "10 items take %zu bytes of memory", tk_sketch_memory(s));
	is_number(tk_sketch_memory(s), heap.live_bytes, "memory is what the allocator says");
	tk_sketch_reset(s);
	for (int i = 0; i < 10; i++)
	{
		char key[32];

		snprintf(key, sizeof(key), "sixteen bytes %02d", i);
		tk_sketch_update(s, key, 16, 1000);
	}
	bytes = encoded(s, TK_FINAL, &len);
	ok(len <= 10 * 16 + 45 + 32 && len <= 256, "10 items of 16 bytes are stored in %zu", len);
	release(bytes);
	tk_sketch_free(s);
}

static void
test_full_size(void)
{
	TkSketch *s = must_create(&alloc, TK_KIND_TEXT, 100, 300);
	uint64_t random = 1;
	size_t len;
	uint8_t *bytes;

	for (int i = 0; i < 3000000; i++)
	{
		char key[24];
		double u = (double) (random_next(&random) >> 11) / 9007199254740992.0;

		/* density 1/x: about Zipf 1 over a million keys */
		snprintf(key, sizeof(key), "sixteen%09d", (int) (1e6 * __builtin_pow(1e-6, u)));
		tk_sketch_update(s, key, 16, 1);
	}
	bytes = encoded(s, TK_FINAL, &len);
	ok(len <= 300 * 16 + 300 * 9 / 2 + 32, "300 items of 16 bytes are stored in %zu", len);
	ok(tk_sketch_memory(s) <= 200000, "and take %zu bytes of memory with the filter", tk_sketch_memory(s));
	release(bytes);
	tk_sketch_free(s);
}

static void
test_kinds(void)
{
	TkSketch *big = must_create(&alloc, TK_KIND_BIGINT, 5, 10);
	TkSketch *uuid = must_create(&alloc, TK_KIND_UUID, 5, 10);
	TkSketch *text = must_create(&alloc, TK_KIND_TEXT, 5, 10);
	TkSketch *copy;
	uint8_t key[16] = {1};
	uint64_t lower;
	uint64_t upper;

	ok(tk_sketch_update(big, key, 7, 1) == TK_BAD_ARGUMENT &&
		   tk_sketch_update(big, key, 16, 1) == TK_BAD_ARGUMENT &&
		   tk_sketch_update(uuid, key, 8, 1) == TK_BAD_ARGUMENT,
	   "keys of another width are refused");
	for (int64_t i = -2000; i < 2000; i++)
	{
		tk_bigint_key(i, key);
		tk_sketch_update(big, key, 8, i == 1999 ? 4000 : 1);
		tk_sketch_update(uuid, key, 16, i == 1999 ? 4000 : 1);
	}
	copy = stored_copy(big, TK_FINAL);
	tk_bigint_key(1999, key);
	ok(copy != NULL && tk_sketch_estimate(copy, key, 8, &lower, &upper) && lower <= 4000 && upper >= 4000 &&
		   tk_sketch_kind(copy) == TK_KIND_BIGINT,
	   "a bigint sketch is read back");
	ok(!tk_sketch_estimate(copy, key, 16, &lower, &upper), "a key of another width has no entry");
	tk_sketch_free(copy);
	copy = stored_copy(uuid, TK_PARTIAL);
	ok(copy != NULL && tk_sketch_estimate(copy, key, 16, &lower, &upper) &&
		   tk_sketch_kind(copy) == TK_KIND_UUID,
	   "so is a uuid sketch");
	tk_sketch_free(copy);
	ok(tk_sketch_merge(text, big) == TK_KIND_MISMATCH && tk_sketch_total(text) == 0, "kinds do not merge");
	tk_sketch_free(big);
	tk_sketch_free(uuid);
	tk_sketch_free(text);
}

/* A library cut keys at 255 bytes, so that three items became one. */
static void
test_long_keys(void)
{
	TkSketch *s = must_create(&alloc, TK_KIND_TEXT, 3, 10);
	char *key = malloc(TK_MAX_KEY_BYTES + 1);
	uint64_t lower;
	uint64_t upper;
	TkSketch *copy;

	memset(key, 'x', TK_MAX_KEY_BYTES + 1);
	ok(tk_sketch_update(s, key, TK_MAX_KEY_BYTES + 1, 1) == TK_KEY_TOO_LONG && tk_sketch_count(s) == 0,
	   "a key beyond the limit is refused, not cut");
	for (size_t len = TK_MAX_KEY_BYTES - 2; len <= TK_MAX_KEY_BYTES; len++)
		tk_sketch_update(s, key, len, len);
	for (size_t len = 254; len <= 300; len++)
		tk_sketch_update(s, key, len, len);
	copy = stored_copy(s, TK_PARTIAL);
	is_number(tk_sketch_count(s), 50, "keys that differ in length only are different");
	ok(copy != NULL && tk_sketch_estimate(copy, key, TK_MAX_KEY_BYTES, &lower, &upper) &&
		   lower == TK_MAX_KEY_BYTES && tk_sketch_estimate(copy, key, 256, &lower, &upper) && lower == 256,
	   "and are read back");
	ok(!tk_sketch_estimate(s, key, TK_MAX_KEY_BYTES + 1, &lower, &upper), "a too long key has no entry");
	tk_sketch_free(copy);
	tk_sketch_free(s);
	free(key);
}

static void
test_overflow(void)
{
	TkSketch *a = must_create(&alloc, TK_KIND_TEXT, 1, 10);
	TkSketch *b;

	ok(add_text(a, "a", TK_MAX_TOTAL) == TK_OK, "the largest total is reached");
	ok(add_text(a, "a", 1) == TK_OVERFLOW && add_text(a, "b", 1) == TK_OVERFLOW &&
		   add_text(a, "b", UINT64_MAX) == TK_OVERFLOW,
	   "and never passed");
	is_number(upper_of(a, "a"), TK_MAX_TOTAL, "a refused update changes nothing");
	b = stored_copy(a, TK_FINAL);
	ok(b != NULL && tk_sketch_merge(a, b) == TK_OVERFLOW && tk_sketch_merge(a, a) == TK_OVERFLOW &&
		   tk_sketch_total(a) == TK_MAX_TOTAL && same_bytes(a, b, TK_FINAL),
	   "a merge that overflows changes nothing");
	tk_sketch_free(b);
	tk_sketch_free(a);
}

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

/* A final function that changes the state breaks window queries. */
static void
test_encode_leaves_state(void)
{
	TkSketch *s = flat_sketch(300, 0, 3000, 3);
	TkSketch *twin = flat_sketch(300, 0, 3000, 3);
	size_t len;

	for (int i = 0; i < 3; i++)
		release(encoded(s, TK_FINAL, &len));
	ok(same_bytes(s, twin, TK_PARTIAL), "encoding does not touch the state");
	for (uint64_t i = 0; i < 3000; i++)
	{
		add_numbered(s, i * 7, i);
		add_numbered(twin, i * 7, i);
		if (i % 100 == 0)
			release(encoded(s, TK_FINAL, &len));
	}
	ok(same_bytes(s, twin, TK_PARTIAL), "nor its future");
	tk_sketch_free(s);
	tk_sketch_free(twin);
}

static void
test_clone(void)
{
	TkSketch *s = flat_sketch(300, 0, 40000, 3);
	TkSketch *clone = NULL;

	ok(tk_sketch_clone(s, NULL, &clone) == TK_OK && same_bytes(s, clone, TK_PARTIAL), "a clone is equal");
	is_number(tk_sketch_memory(clone), tk_sketch_memory(s), "and as large");
	for (uint64_t i = 0; i < 20000; i++)
	{
		add_numbered(s, i * 3, i % 9);
		add_numbered(clone, i * 3, i % 9);
	}
	ok(same_bytes(s, clone, TK_PARTIAL), "and has the same future");
	tk_sketch_reset(s);
	ok(tk_sketch_total(clone) > 0 && tk_sketch_total(s) == 0 && tk_sketch_count(s) == 0,
	   "and a life of its own");
	for (uint64_t i = 0; i < 100; i++)
		add_numbered(s, i, 1);
	ok(tk_sketch_is_exact(s) && tk_sketch_count(s) == 100, "a reset sketch starts anew");
	tk_sketch_free(s);
	tk_sketch_free(clone);
}

static void
test_headroom(void)
{
	TkSketch *s = flat_sketch(30, 0, 20, 3);
	size_t plain_len;
	size_t len;
	uint8_t *plain = encoded(s, TK_FINAL, &plain_len);
	void *block;
	TkView view;

	ok(tk_sketch_encode(s, TK_FINAL, NULL, 5, &block, &len) == TK_OK && len == plain_len &&
		   memcmp((char *) block + 5, plain, len) == 0,
	   "headroom is left in front");
	ok(tk_view_open((char *) block + 5, len, &view) == TK_OK, "bytes need no alignment");
	release(block);
	ok(tk_sketch_encode(s, TK_FINAL, NULL, SIZE_MAX - 3, &block, &len) == TK_TOO_LARGE && block == NULL,
	   "headroom beyond all bounds is refused");
	ok(tk_sketch_encode(s, (TkEncodeMode) 2, NULL, 0, &block, &len) == TK_BAD_ARGUMENT, "so is another mode");
	release(plain);
	tk_sketch_free(s);
}

static bool
same_items(const TkItem *a, const TkItem *b, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (a[i].upper != b[i].upper || a[i].lower != b[i].lower || a[i].key_len != b[i].key_len ||
			a[i].guaranteed != b[i].guaranteed || memcmp(a[i].key, b[i].key, a[i].key_len) != 0)
			return false;
	return true;
}

/* The view of stored bytes and the decoded sketch answer alike. */
static void
check_view(const TkSketch *s, TkEncodeMode mode, const char *what)
{
	size_t len;
	uint8_t *bytes = encoded(s, mode, &len);
	TkSketch *copy = stored_copy(s, mode);
	TkItem *items;
	TkItem *view_items;
	size_t count;
	size_t view_count;
	TkView view;
	TkSummary summary;
	bool estimates = true;

	tk_sketch_summary(copy, &summary);
	ok(tk_view_open(bytes, len, &view) == TK_OK && view.summary.total == summary.total &&
		   view.summary.max_error == summary.max_error && view.summary.count == summary.count &&
		   view.summary.k == summary.k && view.summary.capacity == summary.capacity &&
		   view.summary.partial == summary.partial && view.summary.exact == summary.exact,
	   "view of %s: summary", what);
	tk_sketch_items(copy, &alloc, SIZE_MAX, &items, &count);
	tk_view_items(&view, &alloc, SIZE_MAX, &view_items, &view_count);
	ok(count == view_count && same_items(items, view_items, count), "view of %s: items", what);
	for (size_t i = 0; i < count; i++)
	{
		uint64_t lower;
		uint64_t upper;

		estimates = estimates && tk_view_estimate(&view, items[i].key, items[i].key_len, &lower, &upper) &&
					lower == items[i].lower && upper == items[i].upper;
	}
	ok(estimates, "view of %s: estimates", what);
	release(items);
	release(view_items);
	release(bytes);
	tk_sketch_free(copy);
}

static void
test_views(void)
{
	TkSketch *s = flat_sketch(100, 0, 90, 2);

	check_view(s, TK_FINAL, "an exact sketch of one key length");
	add_text(s, "", 4);
	check_view(s, TK_FINAL, "an exact sketch of different key lengths");
	for (uint64_t i = 0; i < 20000; i++)
		add_numbered(s, i % (i % 700 + 1), i % 5);
	check_view(s, TK_FINAL, "a trimmed sketch");
	check_view(s, TK_PARTIAL, "a working state");
	tk_sketch_free(s);
}

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

/* Storing must lose nothing that a later merge would need. */
static void
test_partial_round_trip(void)
{
	TkSketch *s = must_create(&alloc, TK_KIND_TEXT, 10, 100);
	TkSketch *copy;

	for (uint64_t i = 0; i < 50000; i++)
		add_numbered(s, i * i % 3001, i % 4);
	copy = stored_copy(s, TK_PARTIAL);
	ok(copy != NULL && tk_sketch_count(copy) == tk_sketch_count(s) && tk_sketch_count(s) > 100,
	   "a working state travels whole");
	ok(same_bytes(s, copy, TK_PARTIAL) && same_bytes(s, copy, TK_FINAL), "and comes out the same");
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

/* ---- bytes that earlier versions have written ---- */

/* "text", "bigint" or "uuid"; else no kind. */
static TkKind
kind_by_name(const char *name)
{
	for (int kind = TK_KIND_TEXT; kind <= TK_KIND_UUID; kind++)
		if (strcmp(tk_kind_name((TkKind) kind), name) == 0)
			return (TkKind) kind;
	return (TkKind) 0;
}

/* Hex digits up to the end of the word, in place; returns how many bytes they were. */
static size_t
unhex(char *word)
{
	size_t len = 0;
	unsigned byte;

	while (sscanf(word + 2 * len, "%2x", &byte) == 1)
		word[len++] = (char) byte;
	return len;
}

/* Read a stored form, which must encode to the same bytes again. */
static bool
read_stored(char *hex, TkSketch **s)
{
	size_t len = unhex(hex);
	size_t again_len;
	uint8_t *again;
	bool same;

	if (tk_sketch_decode(&alloc, hex, len, s) != TK_OK)
		return false;
	again = encoded(*s, TK_PARTIAL, &again_len);
	same = again_len == len && memcmp(again, hex, len) == 0;
	release(again);
	return same;
}

/* One line of a fixture; false if it does not agree with the sketch, which the "bytes" or "import" line
 * makes. */
static bool
fixture_line(char *line, TkSketch **s, TkItem **items, size_t *count, size_t *at)
{
	char name[16];
	unsigned long long n[5];
	int key_at;
	TkSummary summary;

	if (*s == NULL)
	{
		bool made = false;

		if (strncmp(line, "bytes ", 6) == 0)
			made = read_stored(line + 6, s);
		else if (strncmp(line, "import ", 7) == 0)
			made =
				tk_sketch_from_datasketches(&alloc, TK_KIND_TEXT, 3, line + 7, unhex(line + 7), s) == TK_OK;
		else
			return line[0] == '#';
		return made && tk_sketch_items(*s, &alloc, SIZE_MAX, items, count) == TK_OK;
	}
	if (sscanf(line, "summary %15s %llu %llu %llu %llu %llu", name, &n[0], &n[1], &n[2], &n[3], &n[4]) == 6)
	{
		tk_sketch_summary(*s, &summary);
		return summary.kind == kind_by_name(name) && summary.k == n[0] && summary.capacity == n[1] &&
			   summary.total == n[2] && summary.max_error == n[3] && summary.count == n[4];
	}
	if (sscanf(line, "item %llu %llu %n", &n[0], &n[1], &key_at) == 2 && *at < *count)
	{
		const TkItem *item = &(*items)[(*at)++];

		return item->upper == n[0] && item->lower == n[1] && item->key_len == unhex(line + key_at) &&
			   memcmp(item->key, line + key_at, item->key_len) == 0;
	}
	return line[0] == '#';
}

static bool
fixture_holds(const char *path)
{
	FILE *file = fopen(path, "r");
	static char line[65536];
	TkSketch *s = NULL;
	TkItem *items = NULL;
	size_t count = 0;
	size_t at = 0;
	bool holds = file != NULL;

	while (holds && fgets(line, sizeof(line), file) != NULL)
		holds = fixture_line(line, &s, &items, &count, &at);
	if (file != NULL)
		fclose(file);
	holds = holds && s != NULL && at == count;
	release(items);
	tk_sketch_free(s);
	return holds;
}

static void
test_fixtures(const char *directory)
{
	DIR *dir = opendir(directory);
	struct dirent *entry;
	size_t files = 0;

	while (dir != NULL && (entry = readdir(dir)) != NULL)
	{
		char path[4096];

		if (strstr(entry->d_name, ".hex") == NULL)
			continue;
		files++;
		snprintf(path, sizeof(path), "%s/%s", directory, entry->d_name);
		ok(fixture_holds(path), "bytes of version 1: %s", entry->d_name);
	}
	if (dir != NULL)
		closedir(dir);
	ok(files >= 8, "%zu fixtures in %s", files, directory);
}

int
main(int argc, char **argv)
{
	alloc = heap_allocator(&heap);
	test_fixtures(argc > 1 ? argv[1] : "test/fixtures/sketch_v1");
	test_arguments();
	test_texts();
	test_bigint_keys();
	test_text_validity();
	test_empty();
	test_exact();
	test_small_memory();
	test_full_size();
	test_kinds();
	test_long_keys();
	test_overflow();
	test_wide_filter();
	test_ties();
	test_tie_prefixes();
	test_no_entries_left();
	test_encode_leaves_state();
	test_clone();
	test_headroom();
	test_views();
	test_merge_exact();
	test_merge_capacity();
	test_merge_inexact_capacities();
	test_trim_rank();
	test_merge_bounds();
	test_merge_encoded();
	test_merge_refuses_duplicates();
	test_merge_takes_back();
	test_partial_round_trip();
	test_large_capacity();
	is_number(heap.live, 0, "no block is left");
	return tap_end();
}

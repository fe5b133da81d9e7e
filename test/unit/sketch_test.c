/*
 * sketch_test.c
 *		Behaviour of the sketch library: parameters, keys, counting, the life of a sketch. One small
 *		function for each promise of sketch.h, and for each mistake of other libraries that this one must
 *		not repeat; so in the other sketch tests by theme: purge, merge, stored.
 */
#include "sketch_support.h"

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
		tk_sketch_update(s, &"0123456789abcdef"[i], (size_t) (16 - i), 1);
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

int
main(void)
{
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
	test_clone();
	is_number(heap.live, 0, "no block is left");
	return tap_end();
}

/*
 * sketch_corrupt_test.c
 *		Hostile bytes: every byte of valid encodings set to every value, every truncation, bytes added,
 *		many random changes, and random bytes. Whatever is refused must leave no trace; whatever is
 *		accepted must be canonical (encode to the very bytes that were read) and keep the promises of a
 *		sketch.
 *
 * Argument: rounds of random changes for each sample (default 10,000).
 */
#include "sketch_support.h"

#define MAX_SAMPLE 4096

typedef struct Sample
{
	const char *name;
	uint8_t bytes[MAX_SAMPLE];
	size_t len;
} Sample;

static TkSketch *target; /* what hostile bytes are merged into */
static uint8_t *target_bytes;
static size_t target_len;
static uint64_t accepted;
static uint64_t refused;
static uint64_t wrong;

static void
note(bool holds, const char *what)
{
	if (holds)
		return;
	if (wrong++ < 10)
		printf("# broken: %s\n", what);
}

static bool
encodes_to(const TkSketch *s, const uint8_t *bytes, size_t len)
{
	void *block;
	size_t got;
	bool same;

	if (tk_sketch_encode(s, TK_PARTIAL, &alloc, 0, &block, &got) != TK_OK)
		return false;
	same = got == len && memcmp(block, bytes, len) == 0;
	heap_release(&heap, block);
	return same;
}

/* Items of accepted bytes: in their bounds, within the total. */
static void
check_items(const TkSketch *s)
{
	TkItem *items;
	size_t count;
	uint64_t total = tk_sketch_total(s);
	uint64_t room = total;
	uint64_t theta = tk_sketch_max_error(s);

	if (tk_sketch_items(s, &alloc, SIZE_MAX, &items, &count) != TK_OK)
	{
		note(false, "items are listed");
		return;
	}
	note(theta <= total / (tk_sketch_capacity(s) + 1), "theta <= n/(m+1)");
	for (size_t i = 0; i < count; i++)
	{
		uint64_t lower;
		uint64_t upper;

		note(items[i].lower <= items[i].upper && items[i].upper - items[i].lower <= theta &&
				 items[i].upper <= total,
			 "bounds of an item");
		note(items[i].lower <= room, "lower bounds add up to no more than the total");
		room -= items[i].lower <= room ? items[i].lower : room;
		note(tk_sketch_estimate(s, items[i].key, items[i].key_len, &lower, &upper) && upper == items[i].upper,
			 "an item is found by its key");
		note(tk_sketch_kind(s) != TK_KIND_TEXT || tk_text_is_valid(items[i].key, items[i].key_len),
			 "text is UTF-8");
	}
	if (items != NULL)
		heap_release(&heap, items);
}

/* A view may accept what decoding refuses (equal keys, bad text), but never the other way, and it must be
 * safe. */
static bool
try_view(const uint8_t *bytes, size_t len)
{
	TkView view;
	TkItem *items;
	size_t count;
	uint64_t lower;
	uint64_t upper;
	uint64_t touched = 0;

	if (tk_view_open(bytes, len, &view) != TK_OK)
		return false;
	note(tk_view_items(&view, &alloc, SIZE_MAX, &items, &count) == TK_OK, "viewed items are listed");
	for (size_t i = 0; i < count; i++)
		for (uint32_t at = 0; at < items[i].key_len; at++)
			touched += items[i].key[at];
	tk_view_estimate(&view, "item-000003", 11, &lower, &upper);
	note(lower <= upper && touched < UINT64_MAX, "a viewed estimate has bounds");
	if (items != NULL)
		heap_release(&heap, items);
	return true;
}

/* The header alone, from as few bytes as it takes: accepted wherever a view is, and with the same summary. */
static void
try_summary(const uint8_t *bytes, size_t len)
{
	size_t at_hand = len < TK_SUMMARY_BYTES ? len : TK_SUMMARY_BYTES;
	uint8_t *header = malloc(at_hand + 1);
	uint8_t *exact = header + 1;
	TkSummary summary = {0};
	TkView view;
	TkStatus status;

	/* the sanitizer sees a step beyond these */
	memcpy(exact, bytes, at_hand);
	status = tk_view_summary(exact, at_hand, len, &summary);
	if (tk_view_open(bytes, len, &view) == TK_OK)
		note(status == TK_OK && same_summary(&summary, &view.summary),
			 "the header of what can be viewed says the same");
	note(status != TK_OK || (summary.count <= len && summary.k <= summary.capacity &&
							 summary.max_error <= summary.total / (summary.capacity + 1)),
		 "a header that is accepted keeps its limits");
	free(header);
}

static void
try_merge(const uint8_t *bytes, size_t len, bool decodes)
{
	TkSketch *copy;
	TkStatus status;

	if (!decodes)
	{
		status = tk_sketch_merge_encoded(target, bytes, len);
		note(status == TK_CORRUPT || status == TK_UNSUPPORTED || status == TK_KIND_MISMATCH,
			 "what cannot be read is not merged");
		return;
	}
	if (tk_sketch_clone(target, NULL, &copy) != TK_OK)
		abort();
	status = tk_sketch_merge_encoded(copy, bytes, len);
	note(status == TK_OK || status == TK_KIND_MISMATCH || status == TK_OVERFLOW,
		 "what can be read can be merged");
	if (status == TK_OK)
		check_items(copy);
	tk_sketch_free(copy);
}

/* Read bytes in every way. A copy of the exact size lets the sanitizer see every step too far. */
static void
try_bytes(const uint8_t *given, size_t len)
{
	uint8_t *bytes = malloc(len > 0 ? len : 1);
	TkSketch *s;
	TkStatus status;
	bool viewed;

	memcpy(bytes, given, len);
	status = tk_sketch_decode(&alloc, bytes, len, &s);
	viewed = try_view(bytes, len);
	try_summary(bytes, len);
	try_merge(bytes, len, status == TK_OK);
	if (status == TK_OK)
	{
		accepted++;
		note(viewed, "what decodes can be viewed");
		note(encodes_to(s, bytes, len), "accepted bytes are canonical");
		check_items(s);
		tk_sketch_free(s);
	}
	else
	{
		refused++;
		note(s == NULL && (status == TK_CORRUPT || status == TK_UNSUPPORTED), "refusal has a fitting status");
	}
	free(bytes);
}

static void
every_byte(const Sample *sample)
{
	uint8_t bytes[MAX_SAMPLE];

	memcpy(bytes, sample->bytes, sample->len);
	for (size_t at = 0; at < sample->len; at++)
	{
		/* all values where the numbers are, a few in the long tail of keys */
		int step = at < 400 ? 1 : 37;

		for (int value = 0; value < 256; value += step)
		{
			bytes[at] = (uint8_t) value;
			try_bytes(bytes, sample->len);
		}
		bytes[at] = sample->bytes[at];
	}
}

static void
every_length(const Sample *sample)
{
	uint8_t bytes[MAX_SAMPLE + 16];

	memset(bytes, 'x', sizeof(bytes));
	memcpy(bytes, sample->bytes, sample->len);
	for (size_t len = 0; len < sample->len + 16; len++)
		try_bytes(bytes, len);
}

/* A few changes at once: bytes set, inserted, removed, copied from elsewhere. */
static void
random_changes(const Sample *sample, uint64_t *random, uint64_t rounds)
{
	uint8_t bytes[MAX_SAMPLE + 16];

	for (uint64_t round = 0; round < rounds; round++)
	{
		size_t len = sample->len;
		uint64_t changes = 1 + random_below(random, 4);

		memcpy(bytes, sample->bytes, len);
		for (; changes > 0 && len > 1; changes--)
		{
			size_t at = random_below(random, random_below(random, 2) ? len : (len < 40 ? len : 40));

			switch (random_below(random, 4))
			{
				case 0:
					bytes[at] = (uint8_t) random_next(random);
					break;
				case 1:
					memmove(bytes + at + 1, bytes + at, len - at);
					bytes[at] = (uint8_t) random_next(random);
					len++;
					break;
				case 2:
					memmove(bytes + at, bytes + at + 1, len - at - 1);
					len--;
					break;
				default:
					bytes[at] = bytes[random_below(random, len)];
					break;
			}
		}
		try_bytes(bytes, len);
	}
}

static void
random_bytes(uint64_t *random, uint64_t rounds)
{
	uint8_t bytes[64];

	for (uint64_t round = 0; round < rounds; round++)
	{
		size_t len = random_below(random, sizeof(bytes));

		for (size_t at = 0; at < len; at++)
			bytes[at] = (uint8_t) (random_next(random) >> random_below(random, 9));
		if (len > 2 && random_below(random, 8) > 0)
		{
			bytes[0] = 1;
			bytes[1] &= 7;
			bytes[2] = (uint8_t) (1 + bytes[2] % 3);
		}
		try_bytes(bytes, len);
	}
}

/* ---- samples ---- */

static void
take_sample(Sample *sample, const char *name, TkSketch *s, TkEncodeMode mode)
{
	void *block;

	sample->name = name;
	if (tk_sketch_encode(s, mode, &alloc, 0, &block, &sample->len) != TK_OK || sample->len > MAX_SAMPLE)
	{
		printf("Bail out! sample %s\n", name);
		exit(2);
	}
	memcpy(sample->bytes, block, sample->len);
	heap_release(&heap, block);
	tk_sketch_free(s);
}

static TkSketch *
text_sketch(uint32_t capacity, uint64_t keys, uint64_t rounds)
{
	TkSketch *s = must_create(&alloc, TK_KIND_TEXT, 3, capacity);

	for (uint64_t i = 0; i < rounds; i++)
		add_numbered(s, i % (1 + i % keys), 1 + i % 7);
	return s;
}

static TkSketch *
mixed_sketch(void)
{
	TkSketch *s = text_sketch(20, 10, 100);

	add_text(s, "", 5);
	add_text(s, "\xC3\xA9t\xC3\xA9", 5);
	add_text(s, "\xF0\x9F\x98\x80", 300);
	return s;
}

static TkSketch *
wide_sketch(TkKind kind)
{
	TkSketch *s = must_create(&alloc, kind, 3, 12);
	uint8_t key[16] = {0};

	for (uint32_t i = 0; i < 4000; i++)
	{
		tk_bigint_key((int64_t) (i % (1 + i % 1500)), key);
		tk_sketch_update(s, key, tk_kind_width(kind), 1 + i);
	}
	return s;
}

static TkSketch *
huge_sketch(void)
{
	TkSketch *s = must_create(&alloc, TK_KIND_TEXT, 2, 4);

	for (uint64_t i = 0; i < 1100; i++)
		add_numbered(s, i, UINT64_C(1) << (12 + i % 40));
	return s;
}

static size_t
make_samples(Sample *samples)
{
	size_t count = 0;

	take_sample(&samples[count++], "empty", text_sketch(7, 1, 0), TK_FINAL);
	take_sample(&samples[count++], "exact, one length", text_sketch(20, 9, 50), TK_FINAL);
	take_sample(&samples[count++], "exact, many lengths", mixed_sketch(), TK_FINAL);
	take_sample(&samples[count++], "inexact", text_sketch(15, 3000, 9000), TK_FINAL);
	take_sample(&samples[count++], "a working state", text_sketch(3, 60, 400), TK_PARTIAL);
	take_sample(&samples[count++], "bigint", wide_sketch(TK_KIND_BIGINT), TK_FINAL);
	take_sample(&samples[count++], "uuid", wide_sketch(TK_KIND_UUID), TK_FINAL);
	take_sample(&samples[count++], "large numbers", huge_sketch(), TK_FINAL);
	return count;
}

/* ---- the other format ---- */

static void
try_import(const uint8_t *given, size_t len, TkKind kind)
{
	uint8_t *bytes = malloc(len > 0 ? len : 1);
	TkSketch *s;
	TkStatus status;

	memcpy(bytes, given, len);
	status = tk_sketch_from_datasketches(&alloc, kind, 3, bytes, len, &s);
	if (status == TK_OK)
	{
		void *block;
		size_t out;

		check_items(s);
		note(tk_sketch_to_datasketches(s, NULL, 0, &block, &out) == TK_OK, "what was imported is exported");
		heap_release(&heap, block);
		tk_sketch_free(s);
	}
	else
		note(s == NULL && (status == TK_CORRUPT || status == TK_UNSUPPORTED),
			 "import refuses with a fitting status");
	free(bytes);
}

static void
corrupt_import(TkSketch *s)
{
	TkKind kind = tk_sketch_kind(s);
	void *block;
	uint8_t *bytes;
	size_t len;

	if (tk_sketch_to_datasketches(s, &alloc, 0, &block, &len) != TK_OK)
		abort();
	bytes = block;
	for (size_t at = 0; at <= len; at++)
		try_import(bytes, at, kind);
	for (size_t at = 0; at < len; at++)
	{
		uint8_t was = bytes[at];

		for (int value = 0; value < 256; value++)
		{
			bytes[at] = (uint8_t) value;
			try_import(bytes, len, kind);
		}
		bytes[at] = was;
	}
	heap_release(&heap, block);
	tk_sketch_free(s);
}

int
main(int argc, char **argv)
{
	static Sample samples[16];
	uint64_t rounds = argc > 1 ? strtoull(argv[1], NULL, 10) : 10000;
	uint64_t random = 99;
	size_t count;
	void *block;

	target = text_sketch(30, 60, 500);
	if (tk_sketch_encode(target, TK_PARTIAL, NULL, 0, &block, &target_len) != TK_OK)
		abort();
	target_bytes = block;
	count = make_samples(samples);
	for (size_t at = 0; at < count; at++)
	{
		uint64_t before = wrong;

		accepted = refused = 0;
		try_bytes(samples[at].bytes, samples[at].len);
		note(accepted == 1, "the sample itself is accepted");
		every_byte(&samples[at]);
		every_length(&samples[at]);
		random_changes(&samples[at], &random, rounds);
		ok(wrong == before, "%s: %zu bytes, %llu variants refused, %llu accepted", samples[at].name,
		   samples[at].len, (unsigned long long) refused, (unsigned long long) accepted);
	}
	accepted = refused = 0;
	random_bytes(&random, 5 * rounds);
	ok(wrong == 0, "random bytes: %llu refused, %llu accepted", (unsigned long long) refused,
	   (unsigned long long) accepted);
	corrupt_import(text_sketch(15, 3000, 9000));
	corrupt_import(text_sketch(7, 1, 0));
	corrupt_import(mixed_sketch());
	corrupt_import(wide_sketch(TK_KIND_BIGINT));
	ok(wrong == 0, "the DataSketches form, changed everywhere");
	ok(encodes_to(target, target_bytes, target_len), "no refused merge has left a trace");
	heap_release(&heap, target_bytes);
	tk_sketch_free(target);
	is_number(heap.live, 0, "no block is left");
	return tap_end();
}

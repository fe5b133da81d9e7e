/*
 * sketch_import_fuzz.c
 *		libFuzzer target: bytes in the DataSketches form. What is imported must keep the promises of a
 *		sketch, and what is exported must import again with the same bounds or weaker ones.
 */
#include "sketch_fuzz.h"

static void
check_round_trip(const TkSketch *s, TkKind kind)
{
	void *block;
	size_t len;
	TkSketch *again;
	TkItem *items;
	size_t count;

	REQUIRE(tk_sketch_to_datasketches(s, NULL, 0, &block, &len) == TK_OK);
	REQUIRE(tk_sketch_from_datasketches(&fuzz_heap, kind, 3, block, len, &again) == TK_OK);
	free(block);
	REQUIRE(tk_sketch_total(again) == tk_sketch_total(s));
	REQUIRE(tk_sketch_items(s, &fuzz_heap, SIZE_MAX, &items, &count) == TK_OK);
	for (size_t i = 0; i < count; i++)
	{
		uint64_t lower;
		uint64_t upper;

		tk_sketch_estimate(again, items[i].key, items[i].key_len, &lower, &upper);
		REQUIRE(lower <= items[i].upper && upper >= items[i].lower);
	}
	free(items);
	fuzz_check_promises(again);
	tk_sketch_free(again);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	TkKind kind = size % 2 ? TK_KIND_TEXT : TK_KIND_BIGINT;
	TkSketch *s;

	/* longs have even sizes only, strings both */
	for (int round = 0; round < 2; round++, kind = TK_KIND_TEXT)
	{
		if (tk_sketch_from_datasketches(&fuzz_heap, kind, 3, data, size, &s) != TK_OK)
			continue;
		fuzz_check_promises(s);
		check_round_trip(s, kind);
		tk_sketch_free(s);
	}
	return 0;
}

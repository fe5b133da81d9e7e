/*
 * sketch_decode_fuzz.c
 *		libFuzzer target: stored bytes, read in every way that there is. What decodes must encode to the
 *		same bytes, be viewable with the same items, and merge.
 */
#include <stdlib.h>
#include <string.h>

#include "sketch_fuzz.h"

static void
check_same_items(const TkSketch *s, const TkView *view)
{
	TkItem *items;
	TkItem *viewed;
	size_t count;
	size_t viewed_count;

	REQUIRE(tk_sketch_items(s, &fuzz_heap, SIZE_MAX, &items, &count) == TK_OK);
	REQUIRE(tk_view_items(view, &fuzz_heap, SIZE_MAX, &viewed, &viewed_count) == TK_OK);
	REQUIRE(count == viewed_count);
	for (size_t i = 0; i < count; i++)
	{
		REQUIRE(items[i].upper == viewed[i].upper && items[i].lower == viewed[i].lower);
		REQUIRE(items[i].key_len == viewed[i].key_len && items[i].guaranteed == viewed[i].guaranteed);
		REQUIRE(memcmp(items[i].key, viewed[i].key, items[i].key_len) == 0);
	}
	free(items);
	free(viewed);
}

static void
check_merge(const TkSketch *s, const uint8_t *data, size_t size)
{
	TkSketch *copy;
	TkStatus status;

	REQUIRE(tk_sketch_clone(s, NULL, &copy) == TK_OK);
	status = tk_sketch_merge_encoded(copy, data, size);
	REQUIRE(status == TK_OK || status == TK_OVERFLOW);
	REQUIRE(tk_sketch_trim(copy) == TK_OK);
	fuzz_check_promises(copy);
	tk_sketch_free(copy);
}

/* The header, alone in memory. */
static TkStatus
read_summary(const uint8_t *data, size_t size, TkSummary *summary)
{
	size_t at_hand = size < TK_SUMMARY_BYTES ? size : TK_SUMMARY_BYTES;
	uint8_t *header = malloc(at_hand + 1);
	TkStatus status;

	if (at_hand > 0)
		memcpy(header + 1, data, at_hand);
	status = tk_view_summary(header + 1, at_hand, size, summary);
	free(header);
	return status;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	TkSketch *s;
	TkView view;
	TkStatus opened = tk_view_open(data, size, &view);
	TkStatus status = tk_sketch_decode(&fuzz_heap, data, size, &s);
	TkSummary summary = {0};
	TkStatus summarized = read_summary(data, size, &summary);
	void *block;
	size_t len;

	REQUIRE(summarized != TK_BAD_ARGUMENT);
	if (opened == TK_OK)
	{
		REQUIRE(summarized == TK_OK && summary.total == view.summary.total &&
				summary.count == view.summary.count);
		fuzz_read_view(&view);
	}
	if (status != TK_OK)
		return 0;
	REQUIRE(opened == TK_OK);
	REQUIRE(tk_sketch_encode(s, TK_PARTIAL, NULL, 0, &block, &len) == TK_OK);
	REQUIRE(len == size && memcmp(block, data, len) == 0);
	free(block);
	check_same_items(s, &view);
	check_merge(s, data, size);
	fuzz_check_promises(s);
	tk_sketch_free(s);
	return 0;
}

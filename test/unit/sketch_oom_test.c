/*
 * sketch_oom_test.c
 *		The Nth allocation fails, for every N, in every function that allocates.
 *
 * Each operation runs on a clone of its subject, once for each allocation that it makes, with that one
 * failing, and once more with that and all later ones failing. It may do without the memory (a sketch
 * needs no filter), or return TK_NO_MEMORY; then its subject must be byte for byte what it was, and the
 * operation must succeed when it is tried again.
 */
#include "sketch_support.h"

typedef TkStatus (*Operation)(TkSketch *s);

static TkSketch *other; /* a second sketch, for merges */
static void *stored;    /* its stored form */
static size_t stored_len;
static void *foreign; /* its DataSketches form */
static size_t foreign_len;

/* ---- operations: each releases what it made ---- */

static TkStatus
op_update(TkSketch *s)
{
	return add_text(s,
					"a key that is not there yet, and long enough to be worth an arena of its own: "
					"............................................................................",
					1000000);
}

static TkStatus
op_merge(TkSketch *s)
{
	return tk_sketch_merge(s, other);
}

static TkStatus
op_merge_encoded(TkSketch *s)
{
	return tk_sketch_merge_encoded(s, stored, stored_len);
}

static TkStatus
op_trim(TkSketch *s)
{
	return tk_sketch_trim(s);
}

static TkStatus
op_clone(TkSketch *s)
{
	TkSketch *copy;
	TkStatus status = tk_sketch_clone(s, NULL, &copy);

	tk_sketch_free(copy);
	return status;
}

static TkStatus
op_encode(TkSketch *s)
{
	void *block;
	size_t len;
	TkStatus status = tk_sketch_encode(s, TK_FINAL, NULL, 4, &block, &len);

	if (block != NULL)
		heap_release(&heap, block);
	return status;
}

static TkStatus
op_export(TkSketch *s)
{
	void *block;
	size_t len;
	TkStatus status = tk_sketch_to_datasketches(s, NULL, 4, &block, &len);

	if (block != NULL)
		heap_release(&heap, block);
	return status;
}

static TkStatus
op_items(TkSketch *s)
{
	TkItem *items;
	size_t count;
	TkStatus status = tk_sketch_items(s, &alloc, 5, &items, &count);

	if (items != NULL)
		heap_release(&heap, items);
	return status;
}

static TkStatus
op_view_items(TkSketch *s)
{
	TkView view;
	TkItem *items;
	size_t count;
	TkStatus status = tk_view_open(stored, stored_len, &view);

	(void) s;
	if (status != TK_OK)
		return status;
	status = tk_view_items(&view, &alloc, 5, &items, &count);
	if (items != NULL)
		heap_release(&heap, items);
	return status;
}

static TkStatus
op_create(TkSketch *s)
{
	TkSketch *made;
	TkStatus status = tk_sketch_create(&alloc, tk_sketch_kind(s), 1, 1, &made);

	tk_sketch_free(made);
	return status;
}

static TkStatus
op_decode(TkSketch *s)
{
	TkSketch *made;
	TkStatus status = tk_sketch_decode(&alloc, stored, stored_len, &made);

	(void) s;
	tk_sketch_free(made);
	return status;
}

static TkStatus
op_import(TkSketch *s)
{
	TkSketch *made;
	TkStatus status = tk_sketch_from_datasketches(&alloc, TK_KIND_TEXT, 1, foreign, foreign_len, &made);

	(void) s;
	tk_sketch_free(made);
	return status;
}

/* ---- the driver ---- */

static void *
state_of(const TkSketch *s, size_t *len)
{
	void *block;

	if (tk_sketch_encode(s, TK_PARTIAL, NULL, 0, &block, len) != TK_OK)
		abort();
	return block;
}

static bool
is_state(const TkSketch *s, const void *bytes, size_t len)
{
	size_t now_len;
	void *now = state_of(s, &now_len);
	bool same = now_len == len && memcmp(now, bytes, len) == 0;

	heap_release(&heap, now);
	return same;
}

/* One failing run; false if the operation made fewer than `n` allocations, so that none failed. */
static bool
fail_once(TkSketch *subject, Operation operation, size_t n, bool all_later, bool *fine)
{
	size_t len;
	void *before;
	TkSketch *s;
	TkStatus status;
	bool failed;
	size_t live;

	if (tk_sketch_clone(subject, NULL, &s) != TK_OK)
		abort();
	before = state_of(s, &len);
	live = heap.live;
	heap.calls = 0;
	heap.fail_at = n;
	heap.fail_on = all_later;
	status = operation(s);
	failed = heap.calls >= n;
	heap.fail_at = 0;
	if (status == TK_NO_MEMORY)
	{
		/* blocks that the subject has grown by are its own; nothing else may be left */
		*fine = *fine && failed && is_state(s, before, len) && heap.live <= live + 3 && operation(s) == TK_OK;
	}
	else
		*fine = *fine && status == TK_OK;
	heap_release(&heap, before);
	tk_sketch_free(s);
	return failed;
}

static void
check(const char *name, TkSketch *subject, Operation operation)
{
	size_t live = heap.live;
	bool fine = true;
	size_t n = 1;

	while (fail_once(subject, operation, n, false, &fine))
		n++;
	for (size_t at = 1; at < n; at++)
		fail_once(subject, operation, at, true, &fine);
	ok(fine && n > 1, "%s: %zu allocations", name, n - 1);
	is_number(heap.live, live, "and no block is lost");
}

static TkSketch *
filled(uint32_t capacity, uint64_t keys, uint64_t rounds)
{
	TkSketch *s = must_create(&alloc, TK_KIND_TEXT, 3, capacity);

	for (uint64_t i = 0; i < rounds; i++)
		add_numbered(s, i % keys, 1 + i % 3);
	return s;
}

/* Bounds hold in a sketch that has never got a filter. */
static void
test_no_filter(void)
{
	TkSketch *s = must_create(&alloc, TK_KIND_BIGINT, 5, 50);
	uint64_t truth[3000] = {0};
	uint64_t random = 3;
	bool fine = true;

	/* the filter is the only large block */
	heap.largest = 60000;
	for (int i = 0; i < 100000; i++)
	{
		uint64_t item = random_below(&random, 1 + random_below(&random, 3000));
		uint8_t key[8];

		tk_bigint_key((int64_t) item, key);
		fine = fine && tk_sketch_update(s, key, 8, 2) == TK_OK;
		truth[item] += 2;
	}
	for (uint64_t item = 0; item < 3000; item++)
	{
		uint8_t key[8];
		uint64_t lower;
		uint64_t upper;

		tk_bigint_key((int64_t) item, key);
		tk_sketch_estimate(s, key, 8, &lower, &upper);
		fine = fine && lower <= truth[item] && truth[item] <= upper;
	}
	ok(fine && tk_sketch_max_error(s) > 0, "without a filter updates go on and bounds hold");
	ok(tk_sketch_max_error(s) <= tk_sketch_total(s) / 51, "theta <= n/(m+1) too");
	ok(tk_sketch_memory(s) < 60000, "there was no filter indeed");
	heap.largest = 0;
	tk_sketch_free(s);
}

int
main(void)
{
	TkSketch *empty;
	TkSketch *small;
	TkSketch *full;
	TkSketch *busy;

	other = filled(40, 2000, 9000);
	stored = NULL;
	if (tk_sketch_encode(other, TK_FINAL, NULL, 0, &stored, &stored_len) != TK_OK ||
		tk_sketch_to_datasketches(other, NULL, 0, &foreign, &foreign_len) != TK_OK)
		abort();
	empty = filled(40, 1, 0);
	small = filled(40, 12, 12);
	full = filled(40, 1024, 1024);
	busy = filled(40, 5000, 50000);
	check("first update", empty, op_update);
	check("update that grows", small, op_update);
	check("update that purges", full, op_update);
	check("merge into an empty sketch", empty, op_merge);
	check("merge into an exact one", small, op_merge);
	check("merge into a full one", full, op_merge);
	check("merge into a filtered one", busy, op_merge);
	check("stored merge into an empty sketch", empty, op_merge_encoded);
	check("stored merge into a full one", full, op_merge_encoded);
	check("stored merge into a filtered one", busy, op_merge_encoded);
	check("trim", full, op_trim);
	check("trim of a filtered one", busy, op_trim);
	check("clone", busy, op_clone);
	check("encode", busy, op_encode);
	check("export", busy, op_export);
	check("items", busy, op_items);
	check("items of a view", busy, op_view_items);
	check("create", busy, op_create);
	check("decode", busy, op_decode);
	check("import", busy, op_import);
	test_no_filter();
	heap_release(&heap, stored);
	heap_release(&heap, foreign);
	tk_sketch_free(other);
	tk_sketch_free(empty);
	tk_sketch_free(small);
	tk_sketch_free(full);
	tk_sketch_free(busy);
	is_number(heap.live, 0, "no block is left");
	return tap_end();
}

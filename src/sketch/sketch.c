/*
 * sketch.c
 *		Life of a sketch, checks of its parameters, and the readers that are no more than a field.
 */
#include "internal.h"

const char *
tk_status_text(TkStatus status)
{
	switch (status)
	{
		case TK_OK:
			return "success";
		case TK_NO_MEMORY:
			return "out of memory";
		case TK_OVERFLOW:
			return "total weight out of range";
		case TK_BAD_ARGUMENT:
			return "argument out of range";
		case TK_KEY_TOO_LONG:
			return "item too long";
		case TK_TOO_LARGE:
			return "sketch too large";
		case TK_KIND_MISMATCH:
			return "sketches of different item kinds";
		case TK_CORRUPT:
			return "invalid sketch data";
		case TK_UNSUPPORTED:
			return "unsupported version of sketch data";
	}
	return "unknown status";
}

const char *
tk_kind_name(TkKind kind)
{
	switch (kind)
	{
		case TK_KIND_TEXT:
			return "text";
		case TK_KIND_BIGINT:
			return "bigint";
		case TK_KIND_UUID:
			return "uuid";
	}
	return "unknown";
}

size_t
tk_kind_width(TkKind kind)
{
	switch (kind)
	{
		case TK_KIND_TEXT:
			return 0;
		case TK_KIND_BIGINT:
			return 8;
		case TK_KIND_UUID:
			return 16;
	}
	return 0;
}

void
tk_bigint_key(int64_t value, uint8_t key[8])
{
	uint64_t bits = (uint64_t) value ^ (UINT64_C(1) << 63);

	for (int at = 7; at >= 0; at--, bits >>= 8)
		key[at] = (uint8_t) bits;
}

int64_t
tk_bigint_value(const uint8_t key[8])
{
	uint64_t bits = tk_load64_big(key);

	/* the inverted sign bit makes this a number counted from INT64_MIN, without a cast out of range */
	return bits >> 63 ? (int64_t) (bits & INT64_MAX) : (int64_t) bits + INT64_MIN;
}

TkStatus
tk_capacity_for_epsilon(double epsilon, uint32_t *capacity)
{
	double needed;
	uint32_t m;

	if (!(epsilon > 0.0 && epsilon < 1.0))
		return TK_BAD_ARGUMENT;
	needed = 1.0 / epsilon;
	if (!(needed <= TK_MAX_CAPACITY + 1.0))
		return TK_BAD_ARGUMENT;
	m = (uint32_t) needed;
	/* now 1/epsilon - 1 < m <= 1/epsilon; one less will do if it was a whole number */
	if (m > 1 && (double) m * epsilon >= 1.0)
		m--;
	if (m > TK_MAX_CAPACITY)
		return TK_BAD_ARGUMENT;
	*capacity = m;
	return TK_OK;
}

uint32_t
tk_working_entries(uint32_t capacity)
{
	return capacity > TK_MIN_WORKING_ENTRIES / 2 ? 2 * capacity : TK_MIN_WORKING_ENTRIES;
}

static bool
kind_is_known(TkKind kind)
{
	return kind == TK_KIND_TEXT || kind == TK_KIND_BIGINT || kind == TK_KIND_UUID;
}

static void
init_sketch(TkSketch *s, const TkAllocator *alloc, TkKind kind, uint32_t k, uint32_t capacity)
{
	uint32_t width = (uint32_t) tk_kind_width(kind);

	memset(s, 0, sizeof(*s));
	s->alloc = *alloc;
	s->kind = kind;
	s->k = k;
	s->capacity = capacity;
	s->working = tk_working_entries(capacity);
	s->key_width = width;
	s->key_min = width;
	s->key_span = width == 0 ? TK_MAX_KEY_BYTES : 0;
	/* searched, but never written: an append reserves first, and that puts a real index here */
	s->buckets = (TkBucket *) (uintptr_t) &tk_empty_bucket;
}

TkStatus
tk_sketch_create(const TkAllocator *alloc, TkKind kind, uint32_t k, uint32_t capacity, TkSketch **out)
{
	TkSketch *s;

	*out = NULL;
	if (!kind_is_known(kind) || k < 1 || k > capacity || capacity > TK_MAX_CAPACITY)
		return TK_BAD_ARGUMENT;
	s = tk_alloc(alloc, sizeof(*s));
	if (s == NULL)
		return TK_NO_MEMORY;
	init_sketch(s, alloc, kind, k, capacity);
	*out = s;
	return TK_OK;
}

void
tk_sketch_free(TkSketch *s)
{
	TkAllocator alloc;

	if (s == NULL)
		return;
	alloc = s->alloc;
	tk_release(&alloc, s->entries);
	tk_release(&alloc, s->arena);
	tk_release(&alloc, s->gaps);
	tk_filter_drop(s);
	tk_release(&alloc, s);
}

/* A copy of a block, or NULL if there is none. Sets *failed when memory is short. */
static void *
copy_block(const TkAllocator *alloc, const void *block, size_t size, size_t used, bool *failed)
{
	void *copy;

	if (block == NULL || *failed)
		return NULL;
	copy = tk_alloc(alloc, size);
	if (copy == NULL)
		*failed = true;
	else
		memcpy(copy, block, used);
	return copy;
}

/* Point the copy's index into its own block. */
static void
relocate_index(TkSketch *copy)
{
	if (copy->entries == NULL)
		return;
	copy->buckets = (TkBucket *) (void *) (copy->entries + copy->reserved);
	if (copy->position_high != NULL)
		copy->position_high = (uint16_t *) (void *) (copy->buckets + copy->bucket_mask + 1);
}

TkStatus
tk_sketch_clone(const TkSketch *s, const TkAllocator *alloc, TkSketch **out)
{
	const TkAllocator *from = alloc != NULL ? alloc : &s->alloc;
	size_t block = tk_block_bytes(s->reserved, s->bucket_mask, s->position_high != NULL);
	size_t gaps = s->reserved * sizeof(uint64_t);
	size_t filter = tk_filter_bytes(s);
	bool failed = false;
	TkSketch *copy = tk_alloc(from, sizeof(*copy));

	*out = NULL;
	if (copy == NULL)
		return TK_NO_MEMORY;
	*copy = *s;
	copy->alloc = *from;
	copy->entries = copy_block(from, s->entries, block, block, &failed);
	copy->arena = copy_block(from, s->arena, s->arena_size, s->arena_used, &failed);
	copy->gaps = copy_block(from, s->gaps, gaps, s->count * sizeof(uint64_t), &failed);
	copy->filter32 = copy_block(from, s->filter32, filter, filter, &failed);
	copy->filter64 = copy_block(from, s->filter64, filter, filter, &failed);
	relocate_index(copy);
	if (failed)
	{
		tk_sketch_free(copy);
		return TK_NO_MEMORY;
	}
	*out = copy;
	return TK_OK;
}

void
tk_sketch_reset(TkSketch *s)
{
	tk_filter_drop(s);
	tk_release(&s->alloc, s->gaps);
	s->gaps = NULL;
	s->count = 0;
	s->arena_used = 0;
	s->total = 0;
	s->theta = 0;
	tk_table_reindex(s);
}

void
tk_sketch_summary(const TkSketch *s, TkSummary *summary)
{
	summary->kind = s->kind;
	summary->k = s->k;
	summary->capacity = s->capacity;
	summary->count = s->count;
	summary->total = s->total;
	summary->max_error = s->theta;
	summary->exact = s->theta == 0;
	summary->partial = s->count > s->capacity;
}

TkKind
tk_sketch_kind(const TkSketch *s)
{
	return s->kind;
}

uint32_t
tk_sketch_k(const TkSketch *s)
{
	return s->k;
}

uint32_t
tk_sketch_capacity(const TkSketch *s)
{
	return s->capacity;
}

uint32_t
tk_sketch_count(const TkSketch *s)
{
	return s->count;
}

uint64_t
tk_sketch_total(const TkSketch *s)
{
	return s->total;
}

uint64_t
tk_sketch_max_error(const TkSketch *s)
{
	return s->theta;
}

bool
tk_sketch_is_exact(const TkSketch *s)
{
	return s->theta == 0;
}

size_t
tk_sketch_memory(const TkSketch *s)
{
	size_t bytes = sizeof(*s) + s->arena_size + tk_filter_bytes(s);

	if (s->entries != NULL)
		bytes += tk_block_bytes(s->reserved, s->bucket_mask, s->position_high != NULL);
	if (s->gaps != NULL)
		bytes += s->reserved * sizeof(uint64_t);
	return bytes;
}

/*
 * internal.h
 *		What the files of the sketch library share. Nothing here is for users: they include sketch.h.
 *
 * Memory of a sketch, each a block of the sketch's allocator, and there only when it is needed:
 *
 *		TkSketch --+-- block:   [TkEntry x reserved][TkBucket x buckets][upper halves of positions]
 *				   +-- arena:   keys in the order of the entries; before a TEXT key its length (2 bytes)
 *				   +-- gaps:    u64 x reserved, from the moment that theta is above 0
 *				   +-- filter:  F = 16 W cells of u32, u64 once theta exceeds that; from the first purge
 *
 * Positions have upper halves only when more than 65,536 entries are reserved.
 *
 * Numbers. Instead of upper and lower bounds an entry holds
 *
 *		excess = upper - theta		(c in the proof)
 *		gap    = lower - excess		so lower = excess + gap, and the uncertainty is theta - gap
 *
 * An update to a present key adds to the excess alone; in a merge excess, gap, theta and total each
 * simply add, and a key that one side lacks adds nothing, so the other entries need not be touched; only
 * a purge, which raises theta by d, must lower each excess and raise each gap by d. Both are >= 0, gap <=
 * theta, and while theta is 0 all gaps are 0 and no array of them exists.
 *
 * Index. A bucket is half a cache line: eight 16-bit tags, compared at once, and eight positions. A
 * bucket fills from its first slot; when it is full the next one goes on. Nothing is ever deleted (a
 * purge rebuilds), so a search ends at the first bucket whose last slot is empty.
 */
#ifndef TK_INTERNAL_H
#define TK_INTERNAL_H

#include "bytes.h"
#include "sketch.h"

#if defined(__GNUC__)
#pragma GCC visibility push(hidden)
#endif

#define TK_BUCKET_SLOTS 8
#define TK_NOT_FOUND UINT32_MAX
#define TK_MIN_WORKING_ENTRIES 1024
#define TK_FILTER_CELLS_PER_ENTRY 16
#define TK_LENGTH_BYTES 2 /* before each TEXT key in the arena */

typedef struct TkEntry
{
	uint64_t excess;
	uint32_t key_at; /* arena offset of the key's first byte */
	uint32_t hash;   /* low half of tk_hash: enough for bucket, tag and filter cell */
} TkEntry;

typedef struct TkBucket
{
	uint16_t tag[TK_BUCKET_SLOTS];      /* 0: empty */
	uint16_t position[TK_BUCKET_SLOTS]; /* low half; 0 in an empty slot, as in position_high */
} TkBucket;

struct TkSketch
{
	TkEntry *entries;
	TkBucket *buckets; /* never NULL: an empty sketch has one shared, constant, empty bucket */
	uint8_t *arena;
	uint64_t total;
	uint64_t theta;
	uint32_t bucket_mask;
	uint32_t count;
	uint32_t key_width; /* 0: TEXT */
	uint32_t key_min;   /* a key's length lies in key_min .. key_min + key_span */
	uint32_t key_span;
	uint32_t filter_mask;
	uint32_t *filter32; /* at most one of the two; */
	uint64_t *filter64; /* neither: as if each cell held theta */
	uint64_t *gaps;
	uint16_t *position_high; /* by slot; NULL while reserved <= 65536 */
	uint32_t arena_used;
	uint32_t arena_size;
	uint32_t reserved; /* entries that the block has room for */
	uint32_t working;  /* W(capacity) */
	uint32_t capacity;
	uint32_t k;
	TkKind kind;
	TkAllocator alloc;
};

/* An entry on its way from somewhere else into a sketch. */
typedef struct TkIncoming
{
	const uint8_t *key;
	uint64_t excess;
	uint64_t gap;
	uint32_t len;
	uint32_t hash; /* low half */
} TkIncoming;

/* Entries on their way, with what their sketch says about itself. */
typedef struct TkBatch
{
	TkSummary summary;
	TkIncoming
		*entries; /* summary.count of them, in a block of TK_BATCH_ENTRY_BYTES for each; NULL if none */
	uint64_t key_bytes;
	uint32_t key_width; /* all keys have this length and lie one behind the other; 0 if that is not known */
} TkBatch;

/* Behind the entries there is room for two numbers for each, which the merge uses. */
#define TK_BATCH_ENTRY_BYTES (sizeof(TkIncoming) + 2 * sizeof(uint32_t))

/* Something to be sorted by (major desc, minor desc, key asc). */
typedef struct TkRef
{
	uint64_t major;
	uint64_t minor;
	const uint8_t *key;
	uint32_t len;
	uint32_t position;
} TkRef;

static inline void *
tk_alloc(const TkAllocator *alloc, size_t size)
{
	return alloc->alloc(alloc->arg, size);
}

static inline void
tk_release(const TkAllocator *alloc, void *block)
{
	if (block != NULL)
		alloc->release(alloc->arg, block);
}

static inline const uint8_t *
tk_entry_key(const TkSketch *s, uint32_t position)
{
	return s->arena + s->entries[position].key_at;
}

static inline uint32_t
tk_stored_length(const uint8_t *key)
{
	return tk_load16(key - TK_LENGTH_BYTES);
}

static inline uint32_t
tk_entry_length(const TkSketch *s, uint32_t position)
{
	return s->key_width != 0 ? s->key_width : tk_stored_length(tk_entry_key(s, position));
}

static inline uint64_t
tk_entry_gap(const TkSketch *s, uint32_t position)
{
	return s->gaps != NULL ? s->gaps[position] : 0;
}

static inline bool
tk_has_filter(const TkSketch *s)
{
	return s->filter32 != NULL || s->filter64 != NULL;
}

/* The most that a key with this hash can weigh if it has no entry. */
static inline uint64_t
tk_filter_value(const TkSketch *s, uint32_t hash)
{
	if (TK_LIKELY(s->filter32 != NULL))
		return s->filter32[hash & s->filter_mask];
	return s->filter64 != NULL ? s->filter64[hash & s->filter_mask] : s->theta;
}

/* table.c: entries, index, key arena */
extern const TkBucket tk_empty_bucket;
extern size_t tk_block_bytes(uint32_t reserved, uint32_t bucket_mask, bool wide);
extern TkStatus tk_table_reserve(TkSketch *s, uint64_t entries, uint64_t key_bytes);
extern uint32_t tk_table_append(TkSketch *s, const uint8_t *key, uint32_t len, uint32_t hash);
extern void tk_table_reindex(TkSketch *s);
extern TkStatus tk_table_need_gaps(TkSketch *s);

/* filter.c: the admission filter */
extern void tk_filter_drop(TkSketch *s);
extern void tk_filter_create(TkSketch *s);
extern void tk_filter_fit(TkSketch *s, uint64_t theta);
extern void tk_filter_raise(TkSketch *s, uint32_t hash, uint64_t value);
extern void tk_filter_merge(TkSketch *dst, const TkSketch *src);
extern size_t tk_filter_bytes(const TkSketch *s);

/* select.c: order statistics in linear time */
extern uint64_t tk_select(const uint64_t *values, size_t count, size_t rank);
extern void tk_select_keys(const TkSketch *s, uint32_t *positions, uint32_t count, uint32_t wanted,
						   uint64_t *values);

/* purge.c: leaving only the heaviest entries */
extern uint32_t tk_purge_rank(const TkSketch *s);
extern size_t tk_purge_scratch_bytes(uint64_t count);
extern TkStatus tk_purge_prepare(TkSketch *s, uint64_t count, void **scratch);
extern void tk_purge(TkSketch *s, uint32_t keep, void *scratch);

/* sort.c */
extern void tk_sort_refs(TkRef *refs, TkRef *spare, size_t count);

/* merge.c: TK_MERGE_SLACK times W is what a merge may leave, so that many merges cost few purges */
#define TK_MERGE_SLACK 3
#define TK_GATHER_SLACK 64 /* the same for parts that are gathered */
extern TkStatus tk_merge_incoming(TkSketch *dst, const TkBatch *src);

/* items.c */
extern TkStatus tk_items_from_refs(const TkSummary *summary, TkRef *refs, TkRef *spare,
								   const TkAllocator *alloc, size_t limit, TkItem **items, size_t *count);

/* encode.c: a trimmed copy, as references into the sketch */
typedef struct TkCut
{
	TkRef *refs; /* by excess (before `raise` is taken off) descending, key ascending */
	uint32_t count;
	uint64_t raise; /* what trimming adds to theta and takes off each excess */
} TkCut;

extern TkStatus tk_cut(const TkSketch *s, uint32_t keep, const TkAllocator *alloc, TkCut *cut);

/* decode.c: from header and columns to entries */
extern TkStatus tk_decode_incoming(const TkAllocator *alloc, const void *bytes, size_t len, TkBatch *batch);

#if defined(__GNUC__)
#pragma GCC visibility pop
#endif
#endif /* TK_INTERNAL_H */

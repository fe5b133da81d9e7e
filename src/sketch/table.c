/*
 * table.c
 *		Entries, their index and the key arena: finding, appending, growing.
 *
 * Entries lie in the order in which they came, and their keys in the arena in the same order, so that a
 * purge can close the gaps in place. The entries and the index share a block; it starts at 12 entries
 * (256 bytes with an index of 16 slots) and doubles up to W. Until W the index is up to three quarters
 * full, which keeps many small sketches small; at W it has at least half of its slots free, which keeps
 * one busy sketch fast.
 */
#include "table.h"

#define FIRST_ENTRIES 12
#define FIRST_ARENA_BYTES 128
#define DOUBLING_ARENA_BYTES 8192 /* beyond this the arena grows by a quarter */
#define NARROW_POSITIONS 65536    /* what 16 bits can number */

const TkBucket tk_empty_bucket = {{0}, {0}};

/* Enter a position into the index. The caller knows that its key is not there and that a slot is free. */
static inline void
index_insert(TkSketch *s, uint32_t hash, uint32_t position)
{
	uint32_t at = hash & s->bucket_mask;
	uint32_t slot;

	while (s->buckets[at].tag[TK_BUCKET_SLOTS - 1] != 0)
		at = (at + 1) & s->bucket_mask;
	slot = tk_first_slot(tk_bucket_match(&s->buckets[at], 0));
	s->buckets[at].tag[slot] = tk_hash_tag(hash);
	s->buckets[at].position[slot] = (uint16_t) position;
	if (TK_UNLIKELY(s->position_high != NULL))
		s->position_high[at * TK_BUCKET_SLOTS + slot] = (uint16_t) (position >> 16);
}

/* Make the index anew from the entries. */
void
tk_table_reindex(TkSketch *s)
{
	size_t buckets = (size_t) s->bucket_mask + 1;

	if (s->reserved == 0)
		return;
	memset(s->buckets, 0, buckets * sizeof(TkBucket));
	if (s->position_high != NULL)
		memset(s->position_high, 0, buckets * TK_BUCKET_SLOTS * sizeof(uint16_t));
	for (uint32_t position = 0; position < s->count; position++)
		index_insert(s, s->entries[position].hash, position);
}

/* The size of the block that holds entries and index. */
size_t
tk_block_bytes(uint32_t reserved, uint32_t bucket_mask, bool wide)
{
	size_t buckets = (size_t) bucket_mask + 1;
	size_t bytes = reserved * sizeof(TkEntry) + buckets * sizeof(TkBucket);

	return wide ? bytes + buckets * TK_BUCKET_SLOTS * sizeof(uint16_t) : bytes;
}

/* How many entries to make room for when `needed` are wanted. Only merges go above W, and only for a while.
 */
static uint32_t
reserve_size(const TkSketch *s, uint32_t needed)
{
	uint32_t size = FIRST_ENTRIES;

	if (needed > s->working)
		return needed + needed / 8;
	while (size < needed)
		size *= 2;
	return size < s->working ? size : s->working;
}

/* One less than the number of buckets for so many entries: see the head of this file for how full they get.
 */
static uint32_t
bucket_mask_for(const TkSketch *s, uint32_t reserved)
{
	uint64_t slots = reserved < s->working ? (uint64_t) reserved * 4 / 3 : (uint64_t) reserved * 3 / 2;
	uint32_t buckets = 1;

	while ((uint64_t) buckets * TK_BUCKET_SLOTS < slots)
		buckets *= 2;
	return buckets - 1;
}

/* Move the entries into a larger block, with a larger array of gaps if they have one. */
static TkStatus
grow_block(TkSketch *s, uint32_t needed)
{
	uint32_t reserved = reserve_size(s, needed);
	uint32_t mask = bucket_mask_for(s, reserved);
	bool wide = reserved > NARROW_POSITIONS;
	TkEntry *block = tk_alloc(&s->alloc, tk_block_bytes(reserved, mask, wide));
	uint64_t *gaps = NULL;

	if (block == NULL)
		return TK_NO_MEMORY;
	if (s->gaps != NULL || s->theta > 0)
	{
		gaps = tk_alloc(&s->alloc, reserved * sizeof(uint64_t));
		if (gaps == NULL)
		{
			tk_release(&s->alloc, block);
			return TK_NO_MEMORY;
		}
		if (s->gaps != NULL)
			memcpy(gaps, s->gaps, s->count * sizeof(uint64_t));
		else
			memset(gaps, 0, s->count * sizeof(uint64_t));
		tk_release(&s->alloc, s->gaps);
	}
	if (s->count > 0)
		memcpy(block, s->entries, s->count * sizeof(TkEntry));
	tk_release(&s->alloc, s->entries);
	s->entries = block;
	s->gaps = gaps;
	s->buckets = (TkBucket *) (void *) (block + reserved);
	s->bucket_mask = mask;
	s->position_high = wide ? (uint16_t *) (void *) (s->buckets + mask + 1) : NULL;
	s->reserved = reserved;
	tk_table_reindex(s);
	return TK_OK;
}

static TkStatus
grow_arena(TkSketch *s, uint64_t needed)
{
	uint64_t size = s->arena_size > 0 ? s->arena_size : FIRST_ARENA_BYTES;
	uint8_t *arena;

	if (needed > UINT32_MAX)
		return TK_TOO_LARGE;
	while (size < needed)
		size += size < DOUBLING_ARENA_BYTES ? size : size / 4;
	if (size > UINT32_MAX)
		size = UINT32_MAX;
	arena = tk_alloc(&s->alloc, size);
	if (arena == NULL)
		return TK_NO_MEMORY;
	if (s->arena_used > 0)
		memcpy(arena, s->arena, s->arena_used);
	tk_release(&s->alloc, s->arena);
	s->arena = arena;
	s->arena_size = (uint32_t) size;
	return TK_OK;
}

/* Make room for `entries` more entries whose keys have `key_bytes` bytes in all, so that appending cannot
 * fail. */
TkStatus
tk_table_reserve(TkSketch *s, uint64_t entries, uint64_t key_bytes)
{
	uint64_t arena = s->arena_used + key_bytes + (s->key_width == 0 ? entries * TK_LENGTH_BYTES : 0);

	if (s->count + entries > s->reserved)
	{
		TkStatus status = grow_block(s, (uint32_t) (s->count + entries));

		if (status != TK_OK)
			return status;
	}
	return arena > s->arena_size ? grow_arena(s, arena) : TK_OK;
}

/* Theta is about to rise above 0: have an array of gaps, all 0 so far. */
TkStatus
tk_table_need_gaps(TkSketch *s)
{
	if (s->gaps != NULL || s->reserved == 0)
		return TK_OK;
	s->gaps = tk_alloc(&s->alloc, s->reserved * sizeof(uint64_t));
	if (s->gaps == NULL)
		return TK_NO_MEMORY;
	memset(s->gaps, 0, s->count * sizeof(uint64_t));
	return TK_OK;
}

/* Append an entry of excess and gap 0. Room has been reserved, and the key is not there. Returns its
 * position. */
uint32_t
tk_table_append(TkSketch *s, const uint8_t *key, uint32_t len, uint32_t hash)
{
	uint32_t position = s->count;
	uint8_t *at = s->arena + s->arena_used;

	if (s->key_width == 0)
	{
		*at++ = (uint8_t) len;
		*at++ = (uint8_t) (len >> 8);
	}
	tk_bytes_move_down(at, key, len);
	s->entries[position].excess = 0;
	s->entries[position].key_at = (uint32_t) (at - s->arena);
	s->entries[position].hash = hash;
	s->arena_used = (uint32_t) (at - s->arena) + len;
	if (s->gaps != NULL)
		s->gaps[position] = 0;
	index_insert(s, hash, position);
	s->count++;
	return position;
}

/*
 * update.c
 *		Counting one key: the path that every row takes.
 *
 * A present key costs a probe and an addition. An absent one is mostly absorbed by the filter: as long as
 * its cell with the new weight stays within theta, no entry is needed to keep the bounds true.
 */
#include "table.h"

TK_NOINLINE uint64_t
tk_hash(const void *key, size_t len)
{
	return tk_hash_bytes(key, len);
}

/* The same; what lengths other than the usual ones need is kept out of the way of those. */
static inline uint64_t
hash_key(const uint8_t *key, size_t len)
{
	if (TK_LIKELY(len - 8 <= 8))
		return tk_hash_words(tk_load64(key), tk_load64(key + len - 8), TK_SALT_A, len);
	return tk_hash(key, len);
}

void
tk_sketch_prefetch_state(const TkSketch *s)
{
	TK_PREFETCH(s);
	TK_PREFETCH((const char *) s + 64);
}

void
tk_sketch_prefetch(const TkSketch *s, uint64_t hash)
{
	TK_PREFETCH(&s->buckets[(uint32_t) hash & s->bucket_mask]);
	TK_PREFETCH(&s->entries[s->count]);
	TK_PREFETCH(s->arena + s->arena_used);
}

uint32_t
tk_sketch_prefetch_entry(const TkSketch *s, uint64_t hash)
{
	uint32_t position = tk_table_guess(s, (uint32_t) hash);

	if (position < s->count)
		TK_PREFETCH(&s->entries[position]);
	return position;
}

void
tk_sketch_prefetch_key(const TkSketch *s, uint32_t position)
{
	if (position < s->count)
		TK_PREFETCH(tk_entry_key(s, position) - TK_LENGTH_BYTES);
}

/* Absorb the weight if no entry is needed for it. Cells never exceed theta. */
static inline bool
filter_absorbs(TkSketch *s, uint32_t hash, uint64_t weight)
{
	uint32_t cell = hash & s->filter_mask;

	if (TK_LIKELY(s->filter32 != NULL))
	{
		if (weight > s->theta - s->filter32[cell])
			return false;
		s->filter32[cell] += (uint32_t) weight;
		return true;
	}
	if (s->filter64 == NULL || weight > s->theta - s->filter64[cell])
		return false;
	s->filter64[cell] += weight;
	return true;
}

/* The working entries are full: leave the heaviest. Nothing can fail between this and inserting a key of
 * `len`. */
static TkStatus
purge_full(TkSketch *s, uint32_t len)
{
	void *scratch;
	TkStatus status = tk_table_reserve(s, 0, len + TK_LENGTH_BYTES);

	if (status == TK_OK)
		status = tk_purge_prepare(s, s->count, &scratch);
	if (status != TK_OK)
		return status;
	tk_filter_create(s);
	tk_purge(s, tk_purge_rank(s), scratch);
	tk_release(&s->alloc, scratch);
	return TK_OK;
}

/* Give a key an entry. What it may have weighed before, by the filter, is its uncertainty. */
static TkStatus
insert_entry(TkSketch *s, const uint8_t *key, uint32_t len, uint32_t hash, uint64_t weight)
{
	TkStatus status = tk_table_reserve(s, 1, len);
	uint64_t gap;
	uint32_t position;

	if (status != TK_OK)
		return status;
	gap = s->theta - tk_filter_value(s, hash);
	position = tk_table_append(s, key, len, hash);
	s->entries[position].excess = weight - gap;
	if (s->gaps != NULL)
		s->gaps[position] = gap;
	s->total += weight;
	return TK_OK;
}

static TK_NOINLINE TkStatus
update_absent(TkSketch *s, const uint8_t *key, uint32_t len, uint32_t hash, uint64_t weight)
{
	if (weight == 0)
		return TK_OK;
	if (filter_absorbs(s, hash, weight))
	{
		s->total += weight;
		return TK_OK;
	}
	if (TK_UNLIKELY(s->count >= s->working))
	{
		TkStatus status = purge_full(s, len);

		if (status != TK_OK)
			return status;
		/* theta is higher now, and may be high enough */
		return update_absent(s, key, len, hash, weight);
	}
	return insert_entry(s, key, len, hash, weight);
}

static TK_NOINLINE TkStatus
refused_length(const TkSketch *s)
{
	return s->key_width == 0 ? TK_KEY_TOO_LONG : TK_BAD_ARGUMENT;
}

/* The key is not the first in its bucket with its tag. It may be elsewhere. */
static TK_NOINLINE TkStatus
update_elsewhere(TkSketch *s, const uint8_t *key, uint32_t len, uint32_t hash, uint64_t weight)
{
	uint32_t position = tk_table_find(s, key, len, hash);

	if (position == TK_NOT_FOUND)
		return update_absent(s, key, len, hash, weight);
	s->entries[position].excess += weight;
	s->total += weight;
	return TK_OK;
}

/*
 * Nearly all keys that have an entry are the first in their bucket with their tag, and nearly all others
 * find no such tag and room in the bucket. That is all that is done here, so that it needs few registers.
 */
static inline TkStatus
update_key(TkSketch *s, const uint8_t *key, uint32_t len, uint32_t hash, uint64_t weight)
{
	uint32_t at = hash & s->bucket_mask;
	uint32_t slots = tk_bucket_match(&s->buckets[at], tk_hash_tag(hash));
	uint32_t position;

	if (TK_UNLIKELY(weight > TK_MAX_TOTAL - s->total))
		return TK_OVERFLOW;
	if (slots == 0)
	{
		if (TK_LIKELY(s->buckets[at].tag[TK_BUCKET_SLOTS - 1] == 0))
			return update_absent(s, key, len, hash, weight);
		return update_elsewhere(s, key, len, hash, weight);
	}
	position = tk_slot_position(s, at, tk_first_slot(slots));
	if (TK_UNLIKELY(!tk_entry_has_key(s, position, key, len)))
		return update_elsewhere(s, key, len, hash, weight);
	s->entries[position].excess += weight;
	s->total += weight;
	return TK_OK;
}

TkStatus
tk_sketch_update_hashed(TkSketch *s, const void *key, size_t len, uint64_t hash, uint64_t weight)
{
	if (TK_UNLIKELY(len - s->key_min > s->key_span))
		return refused_length(s);
	return update_key(s, key, (uint32_t) len, (uint32_t) hash, weight);
}

TkStatus
tk_sketch_update(TkSketch *s, const void *key, size_t len, uint64_t weight)
{
	if (TK_UNLIKELY(len - s->key_min > s->key_span))
		return refused_length(s);
	return update_key(s, key, (uint32_t) len, (uint32_t) hash_key(key, len), weight);
}

/*
 * table.h
 *		Finding a key's entry; inline, since updates and merges do little else. table.c has the rest of
 *		the table.
 */
#ifndef TK_TABLE_H
#define TK_TABLE_H

#include "internal.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

/* Tag 0 means "empty", so a hash never gives it. */
static inline uint16_t
tk_hash_tag(uint32_t hash)
{
	uint16_t tag = (uint16_t) (hash >> 16);

	return (uint16_t) (tag + (tag == 0));
}

#define TK_LAST_SLOT (UINT32_C(1) << (2 * (TK_BUCKET_SLOTS - 1))) /* in such a mask: */

/* A mask of the slots with this tag, two bits a slot: 3 << (2 * slot). */
static inline uint32_t
tk_bucket_match(const TkBucket *bucket, uint16_t tag)
{
#if defined(__SSE2__)
	__m128i tags = _mm_loadu_si128((const __m128i *) (const void *) bucket->tag);

	return (uint32_t) _mm_movemask_epi8(_mm_cmpeq_epi16(tags, _mm_set1_epi16((short) tag)));
#else
	uint32_t mask = 0;

	for (uint32_t slot = 0; slot < TK_BUCKET_SLOTS; slot++)
		mask |= (bucket->tag[slot] == tag ? UINT32_C(3) : 0) << (2 * slot);
	return mask;
#endif
}

/* The first slot of a mask that is not 0. */
static inline uint32_t
tk_first_slot(uint32_t mask)
{
#if defined(__GNUC__)
	return (uint32_t) __builtin_ctz(mask) / 2;
#else
	uint32_t slot = 0;

	while ((mask & (UINT32_C(1) << (2 * slot))) == 0)
		slot++;
	return slot;
#endif
}

static inline uint32_t
tk_slot_position(const TkSketch *s, uint32_t bucket, uint32_t slot)
{
	uint32_t position = s->buckets[bucket].position[slot];

	if (TK_UNLIKELY(s->position_high != NULL))
		position |= (uint32_t) s->position_high[bucket * TK_BUCKET_SLOTS + slot] << 16;
	return position;
}

static inline bool
tk_entry_has_key(const TkSketch *s, uint32_t position, const uint8_t *key, uint32_t len)
{
	const uint8_t *stored = tk_entry_key(s, position);

	if (s->key_width == 0 && tk_stored_length(stored) != len)
		return false;
	return tk_bytes_equal(stored, key, len);
}

/* The position of a key's entry, or TK_NOT_FOUND. */
static inline uint32_t
tk_table_find(const TkSketch *s, const uint8_t *key, uint32_t len, uint32_t hash)
{
	uint16_t tag = tk_hash_tag(hash);

	for (uint32_t at = hash & s->bucket_mask;; at = (at + 1) & s->bucket_mask)
	{
		const TkBucket *bucket = &s->buckets[at];
		uint32_t slots = tk_bucket_match(bucket, tag);

		while (slots != 0)
		{
			uint32_t slot = tk_first_slot(slots);
			uint32_t position = tk_slot_position(s, at, slot);

			if (TK_LIKELY(tk_entry_has_key(s, position, key, len)))
				return position;
			slots &= ~(UINT32_C(3) << (2 * slot));
		}
		if (TK_LIKELY(bucket->tag[TK_BUCKET_SLOTS - 1] == 0))
			return TK_NOT_FOUND;
	}
}

/* The entry that is probably the key's, by its home bucket's tags alone; or TK_NOT_FOUND. */
static inline uint32_t
tk_table_guess(const TkSketch *s, uint32_t hash)
{
	uint32_t at = hash & s->bucket_mask;
	uint32_t slots = tk_bucket_match(&s->buckets[at], tk_hash_tag(hash));

	return slots == 0 ? TK_NOT_FOUND : tk_slot_position(s, at, tk_first_slot(slots));
}

#endif /* TK_TABLE_H */

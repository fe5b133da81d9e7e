/*
 * bytes.h
 *		Loads, comparison and hashing of short byte strings.
 *
 * Keys are 8 to 32 bytes long as a rule, so everything here is a few overlapping loads and no loop for
 * those. Loads are little-endian on every CPU: hashes decide which keys share a filter cell, and with
 * that the bytes of a result, which must be the same everywhere.
 */
#ifndef TK_BYTES_H
#define TK_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__GNUC__)
#define TK_LIKELY(x) __builtin_expect(!!(x), 1)
#define TK_UNLIKELY(x) __builtin_expect(!!(x), 0)
#define TK_NOINLINE __attribute__((noinline))
#define TK_PREFETCH(address) __builtin_prefetch(address)
#if defined(__clang__)
#define TK_UNROLL_8
#else
#define TK_UNROLL_8 _Pragma("GCC unroll 8")
#endif
#else
#define TK_LIKELY(x) (x)
#define TK_UNLIKELY(x) (x)
#define TK_NOINLINE
#define TK_PREFETCH(address) ((void) (address))
#define TK_UNROLL_8
#endif

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#define TK_LITTLE_64(v) tk_swap64(v)
#define TK_LITTLE_32(v) __builtin_bswap32(v)
#define TK_LITTLE_16(v) __builtin_bswap16(v)
#define TK_BIG_64(v) (v)
#else
#define TK_LITTLE_64(v) (v)
#define TK_LITTLE_32(v) (v)
#define TK_LITTLE_16(v) (v)
#define TK_BIG_64(v) tk_swap64(v)
#endif

static inline uint64_t
tk_swap64(uint64_t v)
{
#if defined(__GNUC__)
	return __builtin_bswap64(v);
#else
	v = ((v & 0x00FF00FF00FF00FF) << 8) | ((v >> 8) & 0x00FF00FF00FF00FF);
	v = ((v & 0x0000FFFF0000FFFF) << 16) | ((v >> 16) & 0x0000FFFF0000FFFF);
	return (v << 32) | (v >> 32);
#endif
}

static inline uint64_t
tk_load64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return TK_LITTLE_64(v);
}

static inline uint32_t
tk_load32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return TK_LITTLE_32(v);
}

static inline uint16_t
tk_load16(const uint8_t *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof(v));
	return TK_LITTLE_16(v);
}

/* The eight bytes at p as a number that sorts as they do. */
static inline uint64_t
tk_load64_big(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return TK_BIG_64(v);
}

/*
 * The same of bytes that may be fewer, as if zeros followed: where two such numbers differ, the bytes sort
 * as they do.
 */
static inline uint64_t
tk_prefix(const uint8_t *p, size_t len)
{
	uint8_t padded[8] = {0};

	if (TK_LIKELY(len >= 8))
		return tk_load64_big(p);
	for (size_t at = 0; at < len; at++)
		padded[at] = p[at];
	return tk_load64_big(padded);
}

/* Without early exit: nearly all that is compared is equal, and a branch less cannot be guessed wrong. */
static inline bool
tk_bytes_equal(const uint8_t *a, const uint8_t *b, size_t len)
{
	if (TK_LIKELY(len >= 8))
	{
		uint64_t difference = tk_load64(a) ^ tk_load64(b);

		difference |= tk_load64(a + len - 8) ^ tk_load64(b + len - 8);
		for (size_t at = 8; at + 8 < len; at += 8)
			difference |= tk_load64(a + at) ^ tk_load64(b + at);
		return difference == 0;
	}
	if (len >= 4)
		return tk_load32(a) == tk_load32(b) && tk_load32(a + len - 4) == tk_load32(b + len - 4);
	for (size_t at = 0; at < len; at++)
		if (a[at] != b[at])
			return false;
	return true;
}

/*
 * Move a key to where it came from or to lower addresses; the two places may overlap. For keys of usual
 * lengths this takes less time than the call of memmove.
 */
static inline void
tk_bytes_move_down(uint8_t *to, const uint8_t *from, size_t len)
{
	uint64_t tail;

	if (TK_UNLIKELY(len < 8 || len > 64))
	{
		if (len > 0)
			memmove(to, from, len);
		return;
	}
	/* the loop may overwrite the end before it gets there */
	memcpy(&tail, from + len - 8, sizeof(tail));
	for (size_t at = 0; at + 8 < len; at += 8)
	{
		uint64_t word;

		memcpy(&word, from + at, sizeof(word));
		memcpy(to + at, &word, sizeof(word));
	}
	memcpy(to + len - 8, &tail, sizeof(tail));
}

/*
 * Byte order, a prefix before what it begins. Keys of one stream tend to begin alike, so this goes on word by
 * word where a call of memcmp would cost more than what it compares; the last word overlaps the one before.
 */
static inline int
tk_bytes_compare(const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len)
{
	size_t shared = a_len < b_len ? a_len : b_len;
	int order = 0;

	if (shared >= 8)
	{
		for (size_t at = 0;; at = at + 16 <= shared ? at + 8 : shared - 8)
		{
			uint64_t x = tk_load64_big(a + at);
			uint64_t y = tk_load64_big(b + at);

			if (x != y)
				return x < y ? -1 : 1;
			if (at + 8 == shared)
				break;
		}
	}
	else if (shared > 0)
		order = memcmp(a, b, shared);
	if (order == 0)
		order = (a_len > b_len) - (a_len < b_len);
	return order;
}

/* Is the number of these two words (the higher one first) above that of those? Without a branch. */
static inline bool
tk_words_above(uint64_t a_high, uint64_t a_low, uint64_t b_high, uint64_t b_low)
{
#if defined(__SIZEOF_INT128__)
	__extension__ typedef unsigned __int128 tk_uint128;

	return ((tk_uint128) a_high << 64 | a_low) > ((tk_uint128) b_high << 64 | b_low);
#else
	return (a_high > b_high) | ((a_high == b_high) & (a_low > b_low));
#endif
}

/* The two halves of a 128-bit product, xored: every input bit reaches every output bit but the outermost. */
static inline uint64_t
tk_fold(uint64_t a, uint64_t b)
{
#if defined(__SIZEOF_INT128__)
	__extension__ typedef unsigned __int128 tk_uint128;
	tk_uint128 product = (tk_uint128) a * b;

	return (uint64_t) product ^ (uint64_t) (product >> 64);
#else
	uint64_t low = (a & UINT32_MAX) * (b & UINT32_MAX);
	uint64_t mid = (a >> 32) * (b & UINT32_MAX) + (low >> 32);
	uint64_t mid2 = (a & UINT32_MAX) * (b >> 32) + (mid & UINT32_MAX);
	uint64_t high = (a >> 32) * (b >> 32) + (mid >> 32) + (mid2 >> 32);

	return ((mid2 << 32) | (low & UINT32_MAX)) ^ high;
#endif
}

/* Odd constants with about as many ones as zeros; the fractional digits of square roots of small primes. */
#define TK_SALT_A UINT64_C(0x6A09E667F3BCC909)
#define TK_SALT_B UINT64_C(0xBB67AE8584CAA73B)
#define TK_SALT_C UINT64_C(0x3C6EF372FE94F82B)

/* The part of a long key that precedes its last 9 to 16 bytes; *key and *len then say where those are. */
static inline uint64_t
tk_hash_chain(const uint8_t **key, size_t *len)
{
	uint64_t state = TK_SALT_A;

	while (*len > 16)
	{
		size_t step = *len < 32 ? *len - 16 : 16;

		state = tk_fold(state ^ tk_load64(*key), TK_SALT_C ^ tk_load64(*key + 8)) + *len;
		*key += step;
		*len -= step;
	}
	return state;
}

/* Two words and the length go into two folded products. `state` is what came before them, or TK_SALT_A. */
static inline uint64_t
tk_hash_words(uint64_t first, uint64_t last, uint64_t state, size_t len)
{
	return tk_fold(tk_fold(first ^ state, last ^ TK_SALT_B) ^ len, TK_SALT_C);
}

/*
 * The first and the last words of a key, which overlap if it is shorter than both; longer keys first chain
 * 16-byte blocks, the last one overlapping. The seed is fixed: an adversary can cost his victim speed and
 * the filter's benefit, but no hash ever enters a bound.
 */
static inline uint64_t
tk_hash_bytes(const uint8_t *key, size_t len)
{
	uint64_t first;
	uint64_t last;
	uint64_t state = TK_SALT_A;

	if (TK_LIKELY(len >= 8))
	{
		if (TK_UNLIKELY(len > 16))
			state = tk_hash_chain(&key, &len);
		first = tk_load64(key);
		last = tk_load64(key + len - 8);
	}
	else if (len >= 4)
	{
		first = tk_load32(key);
		last = tk_load32(key + len - 4);
	}
	else
	{
		first = len > 0 ? key[0] : 0;
		last = len > 0 ? (uint64_t) key[len / 2] << 8 | key[len - 1] : 0;
	}
	return tk_hash_words(first, last, state, len);
}

#endif /* TK_BYTES_H */

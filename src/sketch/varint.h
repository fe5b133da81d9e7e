/*
 * varint.h
 *		LEB128 numbers: seven bits a byte, lowest first, the high bit set on all but the last byte.
 *
 * One value has one encoding: a reader refuses a last byte of zero after others ("overlong") and what
 * does not fit 64 bits.
 */
#ifndef TK_VARINT_H
#define TK_VARINT_H

#include "bytes.h"

#define TK_VARINT_MAX_BYTES 10
#define TK_EACH_BYTE UINT64_C(0x0101010101010101)
#define TK_EACH_PAIR UINT64_C(0x0001000100010001)

/* Write a value; returns the byte behind it. The caller has made TK_VARINT_MAX_BYTES of room. */
static inline uint8_t *
tk_varint_put(uint8_t *at, uint64_t value)
{
	for (; value >= 0x80; value >>= 7)
		*at++ = (uint8_t) (value | 0x80);
	*at++ = (uint8_t) value;
	return at;
}

/* Read a value of two bytes or more; returns the byte behind it, or NULL if it is cut, overlong or too big.
 */
static inline const uint8_t *
tk_varint_get_long(const uint8_t *at, const uint8_t *end, uint64_t *value)
{
	uint64_t sum = 0;

	for (unsigned shift = 0; at < end && shift < 64; shift += 7)
	{
		uint8_t byte = *at++;

		if (shift == 63 && byte > 1)
			return NULL;
		sum |= (uint64_t) (byte & 0x7F) << shift;
		if (byte < 0x80)
		{
			*value = sum;
			return byte == 0 && shift > 0 ? NULL : at;
		}
	}
	return NULL;
}

/* Read a value; returns the byte behind it, or NULL. One and two bytes are what nearly all values take. */
static inline const uint8_t *
tk_varint_get(const uint8_t *at, const uint8_t *end, uint64_t *value)
{
	if (TK_LIKELY(end - at >= 2))
	{
		if (at[0] < 0x80)
		{
			*value = at[0];
			return at + 1;
		}
		if (at[1] < 0x80 && at[1] > 0)
		{
			*value = (uint64_t) (at[0] & 0x7F) | (uint64_t) at[1] << 7;
			return at + 2;
		}
	}
	return tk_varint_get_long(at, end, value);
}

/*
 * Nearly all numbers of a sketch take one byte, so columns of them are read eight at a time where they do.
 * True if the next eight numbers are the eight bytes of *word.
 */
static inline bool
tk_varint_get_eight(const uint8_t *at, const uint8_t *end, uint64_t *word)
{
	if (TK_UNLIKELY(end - at < 8))
		return false;
	*word = tk_load64(at);
	return (*word & 0x80 * TK_EACH_BYTE) == 0;
}

/* The sum of eight such numbers. */
static inline uint64_t
tk_eight_sum(uint64_t word)
{
	uint64_t pairs = (word & 0xFF * TK_EACH_PAIR) + (word >> 8 & 0xFF * TK_EACH_PAIR);

	return pairs * TK_EACH_PAIR >> 48;
}

/* Is none of eight such numbers above the limit? */
static inline bool
tk_eight_within(uint64_t word, uint64_t limit)
{
	return limit > 0x7F || ((word + (0x7F - limit) * TK_EACH_BYTE) & 0x80 * TK_EACH_BYTE) == 0;
}

#endif /* TK_VARINT_H */

/*
 * text.c
 *		Is it UTF-8? Text keys that come from outside are checked before anything else believes them.
 */
#include "internal.h"
#include "wire.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#define ONES UINT64_C(0x0101010101010101)
#define HIGHS UINT64_C(0x8080808080808080)

/* A high bit for eight bytes with a zero (it borrows, which sets it) or a byte of 0x80 and more (it has it).
 */
static inline uint64_t
suspects(const uint8_t *at)
{
	uint64_t word = tk_load64(at);

	return word | (word - ONES);
}

/* Are these 32 bytes certainly in 0x01..0x7F? */
static inline bool
plain_block(const uint8_t *at)
{
#if defined(__SSE2__)
	const __m128i *halves = (const __m128i *) (const void *) at;
	__m128i none = _mm_setzero_si128();
	__m128i first = _mm_cmpgt_epi8(_mm_loadu_si128(halves), none);
	__m128i second = _mm_cmpgt_epi8(_mm_loadu_si128(halves + 1), none);

	return _mm_movemask_epi8(_mm_and_si128(first, second)) == 0xFFFF;
#else
	uint64_t signs = suspects(at) | suspects(at + 8) | suspects(at + 16) | suspects(at + 24);

	return (signs & HIGHS) == 0;
#endif
}

/* How many leading bytes are certainly in 0x01..0x7F, looked at many at a time. */
static size_t
plain_bytes(const uint8_t *at, size_t len)
{
	size_t plain = 0;

	for (; plain + 32 <= len; plain += 32)
		if (!plain_block(at + plain))
			return plain;
	for (; plain + 8 <= len; plain += 8)
		if ((suspects(at + plain) & HIGHS) != 0)
			break;
	return plain;
}

static inline bool
is_tail(uint8_t byte)
{
	return (byte & 0xC0) == 0x80;
}

/* The length of the one well-formed character at `at`, other than U+0000, or 0. */
static size_t
character_bytes(const uint8_t *at, size_t len)
{
	uint8_t lead = at[0];
	size_t bytes;
	uint8_t least = 0x80;
	uint8_t most = 0xBF;

	if (lead < 0x80)
		return lead != 0;
	if (lead < 0xC2 || lead > 0xF4)
		return 0;
	bytes = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
	if (bytes > len)
		return 0;
	/* the second byte tells overlong forms, surrogates and what is past U+10FFFF */
	if (lead == 0xE0)
		least = 0xA0;
	else if (lead == 0xED)
		most = 0x9F;
	else if (lead == 0xF0)
		least = 0x90;
	else if (lead == 0xF4)
		most = 0x8F;
	if (at[1] < least || at[1] > most)
		return 0;
	for (size_t tail = 2; tail < bytes; tail++)
		if (!is_tail(at[tail]))
			return 0;
	return bytes;
}

bool
tk_text_is_valid(const void *key, size_t len)
{
	const uint8_t *at = key;
	size_t done = plain_bytes(at, len);

	while (done < len)
	{
		size_t bytes = character_bytes(at + done, len - done);

		if (bytes == 0)
			return false;
		done += bytes;
	}
	return true;
}

/*
 * Are all of these bytes ASCII without U+0000? Then so is every key made of them. May say no where the
 * truth is yes, never the other way.
 */
bool
tk_text_is_plain(const uint8_t *bytes, size_t len)
{
	size_t done = plain_bytes(bytes, len);

	for (; done < len; done++)
		if (bytes[done] == 0 || bytes[done] > 0x7F)
			return false;
	return true;
}

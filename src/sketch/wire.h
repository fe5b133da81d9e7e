/*
 * wire.h
 *		The stored form, version 1. Written by encode.c, read by decode.c and view.c.
 *
 * Numbers are varints (varint.h), so that the bytes are the same on every CPU. No hash and no seed is
 * stored.
 *
 *		u8		version (1)
 *		u8		flags
 *		u8		key type (TkKind)
 *		varint	k, m, n, theta, count
 *		varint	excess of the first entry, then the difference of each to the one before
 *		varint	gap of each entry; left out if theta = 0
 *		varint	key length of each entry, or one for all; left out unless the kind is TEXT
 *		bytes	the keys, one behind the other, without anything between
 *
 * Entries are ordered by excess descending, then key bytes ascending. Flags: EXACT if theta = 0; PARTIAL
 * if count > m (a working state, up to W(m) entries); ONE_LENGTH if the kind is TEXT, there are entries,
 * and their keys have one length. A flag that does not say what the numbers say is an error, so equal
 * sketches have equal bytes and no others.
 *
 * What a reader proves, beside the shape (lengths add up to the end, count <= W(m), every number
 * canonical):
 *	 - n <= TK_MAX_TOTAL, and (m+1) theta + sum of excess <= n; if theta = 0, sum of excess = n and none
 *	   is 0;
 *	 - gap <= theta (lower <= upper), and the sum of lower bounds <= n;
 *	 - (all but views) keys of equal excess ascend, no key comes twice, and TEXT keys are UTF-8 without
 *	   U+0000.
 * Who wants no more than the summary proves the header's own numbers only, and may have no more at hand.
 */
#ifndef TK_WIRE_H
#define TK_WIRE_H

#include "internal.h"
#include "varint.h"

#define TK_WIRE_VERSION 1
#define TK_WIRE_FIXED_BYTES 3
#define TK_WIRE_EXACT 0x01
#define TK_WIRE_PARTIAL 0x02
#define TK_WIRE_ONE_LENGTH 0x04
#define TK_WIRE_KNOWN_FLAGS (TK_WIRE_EXACT | TK_WIRE_PARTIAL | TK_WIRE_ONE_LENGTH)

/* An opened header, and how far the reading has come. */
typedef struct TkWire
{
	TkSummary summary;
	const uint8_t *at;
	const uint8_t *end;
	size_t beyond; /* bytes behind `end` that are not at hand: 0 unless only the header is read */
	uint64_t room; /* n - (m+1) theta: the most that the excesses may add up to */
	uint64_t excess_sum;
	bool one_length; /* the flag */
	bool varying;    /* each key has a length of its own in the length column; else all have `width` */
	uint64_t width;
} TkWire;

#if defined(__GNUC__)
#pragma GCC visibility push(hidden)
#endif

/* wire.c */
extern TkStatus tk_wire_header(const void *bytes, size_t at_hand, size_t len, TkWire *wire);

/* text.c */
extern bool tk_text_is_plain(const uint8_t *bytes, size_t len);

#if defined(__GNUC__)
#pragma GCC visibility pop
#endif

/*
 * The columns, one after the other. Each moves wire->at behind its column, checks it, and stores it into
 * `in` unless that is NULL (a constant where these are called, so each caller gets its own loop). False:
 * corrupt.
 *
 * Eight numbers of one byte each are checked and stored at once where one check is enough for all of them;
 * where it is not, each is read by itself.
 */
static inline bool
tk_wire_excess(TkWire *wire, TkIncoming *in)
{
	const uint8_t *at = wire->at;
	uint32_t count = wire->summary.count;
	uint64_t room = wire->room;
	uint64_t excess = 0;
	uint64_t value;

	for (uint32_t i = 0; i < count; i++)
	{
		for (; i > 0 && count - i > 8 && tk_varint_get_eight(at, wire->end, &value); i += 8, at += 8)
		{
			if (tk_eight_sum(value) > excess || excess > room / 8)
				break;
			TK_UNROLL_8
			for (int j = 0; j < 8; j++)
			{
				excess -= at[j];
				room -= excess;
				if (in != NULL)
					in[i + j].excess = excess;
			}
		}
		at = tk_varint_get(at, wire->end, &value);
		if (at == NULL || (i > 0 && value > excess))
			return false;
		excess = i == 0 ? value : excess - value;
		if (excess > room)
			return false;
		room -= excess;
		if (in != NULL)
			in[i].excess = excess;
	}
	wire->at = at;
	wire->excess_sum = wire->room - room;
	if (wire->summary.max_error > 0)
		return true;
	return room == 0 && (count == 0 || excess > 0);
}

static inline bool
tk_wire_gaps(TkWire *wire, TkIncoming *in)
{
	const uint8_t *at = wire->at;
	uint32_t count = wire->summary.count;
	uint64_t room = wire->summary.total - wire->excess_sum;
	uint64_t theta = wire->summary.max_error;
	uint64_t gap;

	if (theta == 0)
		return true;
	for (uint32_t i = 0; i < count; i++)
	{
		for (; count - i > 8 && tk_varint_get_eight(at, wire->end, &gap); i += 8, at += 8)
		{
			if (!tk_eight_within(gap, theta) || tk_eight_sum(gap) > room)
				break;
			room -= tk_eight_sum(gap);
			TK_UNROLL_8
			for (int j = 0; j < 8 && in != NULL; j++)
				in[i + j].gap = at[j];
		}
		at = tk_varint_get(at, wire->end, &gap);
		if (at == NULL || gap > theta || gap > room)
			return false;
		room -= gap;
		if (in != NULL)
			in[i].gap = gap;
	}
	wire->at = at;
	return true;
}

/* Lengths of one for each entry; returns their sum, or UINT64_MAX if they are corrupt or all the same. */
static inline uint64_t
tk_wire_varying_lengths(TkWire *wire, TkIncoming *in)
{
	const uint8_t *at = wire->at;
	uint32_t count = wire->summary.count;
	uint64_t length;
	uint64_t first = 0;
	uint64_t sum = 0;
	bool differ = false;

	for (uint32_t i = 0; i < count; i++)
	{
		for (; i > 0 && count - i > 8 && tk_varint_get_eight(at, wire->end, &length); i += 8, at += 8)
		{
			differ |= length != first * TK_EACH_BYTE;
			sum += tk_eight_sum(length);
			TK_UNROLL_8
			for (int j = 0; j < 8 && in != NULL; j++)
				in[i + j].len = at[j];
		}
		at = tk_varint_get(at, wire->end, &length);
		if (at == NULL || length > TK_MAX_KEY_BYTES)
			return UINT64_MAX;
		first = i == 0 ? length : first;
		differ |= length != first;
		sum += length;
		if (in != NULL)
			in[i].len = (uint32_t) length;
	}
	wire->at = at;
	return differ || count == 0 ? sum : UINT64_MAX;
}

/*
 * The lengths: either one for all, which goes to wire->width and nowhere else, or one for each.
 * Afterwards wire->at is at the keys, which end at the end.
 */
static inline bool
tk_wire_lengths(TkWire *wire, TkIncoming *in)
{
	uint64_t sum;

	wire->width = tk_kind_width(wire->summary.kind);
	wire->varying = wire->width == 0 && !wire->one_length;
	if (wire->varying)
		sum = tk_wire_varying_lengths(wire, in);
	else
	{
		if (wire->one_length && (wire->at = tk_varint_get(wire->at, wire->end, &wire->width)) == NULL)
			return false;
		sum = wire->width <= TK_MAX_KEY_BYTES ? wire->summary.count * wire->width : UINT64_MAX;
	}
	return sum == (uint64_t) (wire->end - wire->at);
}

#endif /* TK_WIRE_H */

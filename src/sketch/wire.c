/*
 * wire.c
 *		The header of the stored form: what must hold before any entry is looked at.
 */
#include "wire.h"

static TkStatus
read_fixed_part(TkWire *wire)
{
	uint8_t version = wire->at[0];
	uint8_t flags = wire->at[1];
	uint8_t kind = wire->at[2];

	if (version != TK_WIRE_VERSION)
		return version > TK_WIRE_VERSION ? TK_UNSUPPORTED : TK_CORRUPT;
	if ((flags & ~TK_WIRE_KNOWN_FLAGS) != 0)
		return TK_UNSUPPORTED;
	if (kind < TK_KIND_TEXT || kind > TK_KIND_UUID)
		return kind > TK_KIND_UUID ? TK_UNSUPPORTED : TK_CORRUPT;
	wire->summary.kind = (TkKind) kind;
	wire->summary.exact = (flags & TK_WIRE_EXACT) != 0;
	wire->summary.partial = (flags & TK_WIRE_PARTIAL) != 0;
	wire->one_length = (flags & TK_WIRE_ONE_LENGTH) != 0;
	wire->at += TK_WIRE_FIXED_BYTES;
	return TK_OK;
}

/* Read a number of at most `limit`. */
static bool
read_number(TkWire *wire, uint64_t limit, uint64_t *value)
{
	wire->at = tk_varint_get(wire->at, wire->end, value);
	return wire->at != NULL && *value <= limit;
}

static bool
read_numbers(TkWire *wire)
{
	TkSummary *summary = &wire->summary;
	uint64_t k;
	uint64_t m;
	uint64_t count;

	if (!read_number(wire, TK_MAX_CAPACITY, &k) || !read_number(wire, TK_MAX_CAPACITY, &m))
		return false;
	if (k < 1 || k > m)
		return false;
	summary->k = (uint32_t) k;
	summary->capacity = (uint32_t) m;
	if (!read_number(wire, TK_MAX_TOTAL, &summary->total))
		return false;
	if (!read_number(wire, summary->total / (m + 1), &summary->max_error))
		return false;
	/* each entry has at least one byte of its own */
	if (!read_number(wire, tk_working_entries((uint32_t) m), &count))
		return false;
	if (count > (uint64_t) (wire->end - wire->at) + wire->beyond)
		return false;
	summary->count = (uint32_t) count;
	wire->room = summary->total - (m + 1) * summary->max_error;
	return true;
}

/* Do the flags say what the numbers say? */
static bool
flags_agree(const TkWire *wire)
{
	const TkSummary *summary = &wire->summary;

	return summary->exact == (summary->max_error == 0) &&
		   summary->partial == (summary->count > summary->capacity) &&
		   (!wire->one_length || (summary->kind == TK_KIND_TEXT && summary->count > 0));
}

/* Open `len` bytes, of which the first ones are at hand; wire->at is then at the excess column. */
TkStatus
tk_wire_header(const void *bytes, size_t at_hand, size_t len, TkWire *wire)
{
	TkStatus status;

	if (at_hand < TK_WIRE_FIXED_BYTES)
		return TK_CORRUPT;
	memset(wire, 0, sizeof(*wire));
	wire->at = bytes;
	wire->end = wire->at + at_hand;
	wire->beyond = len - at_hand;
	status = read_fixed_part(wire);
	if (status != TK_OK)
		return status;
	return read_numbers(wire) && flags_agree(wire) ? TK_OK : TK_CORRUPT;
}

/*
 * decode.c
 *		From stored bytes to entries, and to a sketch. Nothing in the bytes is believed before it is
 *		checked; see wire.h for what is.
 */
#include "wire.h"

/* Are all text keys UTF-8? Most are ASCII, which is seen without looking where one ends. */
static bool
check_text(const TkWire *wire, const TkIncoming *in)
{
	const uint8_t *key = wire->at;

	if (wire->summary.kind != TK_KIND_TEXT || tk_text_is_plain(key, (size_t) (wire->end - key)))
		return true;
	for (uint32_t i = 0; i < wire->summary.count; i++)
	{
		size_t len = wire->varying ? in[i].len : (size_t) wire->width;

		if (!tk_text_is_valid(key, len))
			return false;
		key += len;
	}
	return true;
}

/*
 * Give each entry its key and hash, and check that those of equal excess ascend; equal keys elsewhere are
 * found when they are merged. `varying` is a constant where this is called: two loops.
 */
static inline bool
read_keys(const TkWire *wire, TkIncoming *in, bool varying)
{
	const uint8_t *key = wire->at;
	uint32_t count = wire->summary.count;
	uint32_t len = (uint32_t) wire->width;
	uint64_t excess = UINT64_MAX;
	uint64_t prefix = 0;

	for (uint32_t i = 0; i < count; i++)
	{
		uint64_t prefix_before = prefix;

		len = varying ? in[i].len : len;
		prefix = tk_prefix(key, len);
		if (in[i].excess == excess && TK_UNLIKELY(prefix <= prefix_before) &&
			tk_bytes_compare(in[i - 1].key, in[i - 1].len, key, len) >= 0)
			return false;
		excess = in[i].excess;
		in[i].key = key;
		in[i].len = len;
		in[i].hash = (uint32_t) tk_hash_bytes(key, len);
		key += len;
	}
	return true;
}

static bool
read_entries(TkWire *wire, TkIncoming *in)
{
	if (!tk_wire_excess(wire, in) || !tk_wire_gaps(wire, in) || !tk_wire_lengths(wire, in))
		return false;
	if (!check_text(wire, in))
		return false;
	return wire->varying ? read_keys(wire, in, true) : read_keys(wire, in, false);
}

/*
 * Read stored bytes into an array of entries, made by `alloc` and owned by the caller; NULL if there are
 * none. The keys point into the bytes. The array is at most 40 times the size of the bytes.
 */
TkStatus
tk_decode_incoming(const TkAllocator *alloc, const void *bytes, size_t len, TkSummary *summary,
				   TkIncoming **in, uint64_t *key_bytes)
{
	TkWire wire;
	TkStatus status = tk_wire_header(bytes, len, &wire);
	TkIncoming *entries = NULL;

	*in = NULL;
	if (status != TK_OK)
		return status;
	if (wire.summary.count > 0)
	{
		entries = tk_alloc(alloc, wire.summary.count * sizeof(*entries));
		if (entries == NULL)
			return TK_NO_MEMORY;
	}
	if (!read_entries(&wire, entries))
	{
		tk_release(alloc, entries);
		return TK_CORRUPT;
	}
	*summary = wire.summary;
	*in = entries;
	*key_bytes = (uint64_t) (wire.end - wire.at);
	return TK_OK;
}

TkStatus
tk_sketch_decode(const TkAllocator *alloc, const void *bytes, size_t len, TkSketch **out)
{
	TkSummary summary;
	TkIncoming *in;
	uint64_t key_bytes;
	TkSketch *s;
	TkStatus status = tk_decode_incoming(alloc, bytes, len, &summary, &in, &key_bytes);

	*out = NULL;
	if (status != TK_OK)
		return status;
	status = tk_sketch_create(alloc, summary.kind, summary.k, summary.capacity, &s);
	if (status == TK_OK)
		status = tk_merge_incoming(s, &summary, in, key_bytes);
	tk_release(alloc, in);
	if (status != TK_OK)
	{
		tk_sketch_free(s);
		return status;
	}
	*out = s;
	return TK_OK;
}

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
 * found when they are merged. (Neither this nor the next is inlined: each needs all registers.)
 */
static TK_NOINLINE bool
read_keys(const TkWire *wire, TkIncoming *in)
{
	const uint8_t *key = wire->at;
	uint32_t count = wire->summary.count;
	uint32_t len = (uint32_t) wire->width;
	uint64_t excess = UINT64_MAX;
	uint64_t prefix = 0;

	for (uint32_t i = 0; i < count; i++)
	{
		uint64_t prefix_before = prefix;

		len = wire->varying ? in[i].len : len;
		prefix = tk_prefix(key, len);
		if (TK_UNLIKELY((in[i].excess == excess) & (prefix <= prefix_before)) &&
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

/*
 * The same for keys that all have one length of 8 to 16 bytes: two words say all about each, so that there
 * is no branch in the loop.
 */
static TK_NOINLINE bool
read_short_keys(const TkWire *wire, TkIncoming *in)
{
	const uint8_t *key = wire->at;
	uint32_t count = wire->summary.count;
	size_t len = (size_t) wire->width;
	uint64_t excess = UINT64_MAX;
	uint64_t first = 0;
	uint64_t last = 0;
	bool ascend = true;

	for (uint32_t i = 0; i < count; i++, key += len)
	{
		uint64_t first_before = first;
		uint64_t last_before = last;

		first = tk_load64_big(key);
		last = tk_load64_big(key + len - 8);
		ascend &= (in[i].excess != excess) | tk_words_above(first, last, first_before, last_before);
		excess = in[i].excess;
		in[i].key = key;
		in[i].len = (uint32_t) len;
		in[i].hash = (uint32_t) tk_hash_words(tk_load64(key), tk_load64(key + len - 8), TK_SALT_A, len);
	}
	return ascend;
}

static bool
read_entries(TkWire *wire, TkIncoming *in)
{
	if (!tk_wire_excess(wire, in) || !tk_wire_gaps(wire, in) || !tk_wire_lengths(wire, in))
		return false;
	if (!check_text(wire, in))
		return false;
	if (!wire->varying && wire->width >= 8 && wire->width <= 16)
		return read_short_keys(wire, in);
	return read_keys(wire, in);
}

/*
 * Read stored bytes into a batch, whose entries are made by `alloc` and owned by the caller. The keys point
 * into the bytes. The entries take at most 40 times the size of the bytes.
 */
TkStatus
tk_decode_incoming(const TkAllocator *alloc, const void *bytes, size_t len, TkBatch *batch)
{
	TkWire wire;
	TkStatus status = tk_wire_header(bytes, len, len, &wire);
	TkIncoming *entries = NULL;

	batch->entries = NULL;
	if (status != TK_OK)
		return status;
	if (wire.summary.count > 0)
	{
		entries = tk_alloc(alloc, wire.summary.count * TK_BATCH_ENTRY_BYTES);
		if (entries == NULL)
			return TK_NO_MEMORY;
	}
	if (!read_entries(&wire, entries))
	{
		tk_release(alloc, entries);
		return TK_CORRUPT;
	}
	batch->summary = wire.summary;
	batch->entries = entries;
	batch->key_bytes = (uint64_t) (wire.end - wire.at);
	batch->key_width = wire.varying ? 0 : (uint32_t) wire.width;
	return TK_OK;
}

TkStatus
tk_sketch_decode(const TkAllocator *alloc, const void *bytes, size_t len, TkSketch **out)
{
	TkBatch batch;
	const TkSummary *summary = &batch.summary;
	TkSketch *s;
	TkStatus status = tk_decode_incoming(alloc, bytes, len, &batch);

	*out = NULL;
	if (status != TK_OK)
		return status;
	status = tk_sketch_create(alloc, summary->kind, summary->k, summary->capacity, &s);
	if (status == TK_OK)
		status = tk_merge_incoming(s, &batch);
	tk_release(alloc, batch.entries);
	if (status != TK_OK)
	{
		tk_sketch_free(s);
		return status;
	}
	*out = s;
	return TK_OK;
}

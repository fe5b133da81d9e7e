/*
 * datasketches.c
 *		The frequent-items form of Apache DataSketches, for exchange with Spark, Druid, BigQuery and its
 *		libraries.
 *
 * All little-endian:
 *
 *		byte 0		preamble longs: 1 if empty (then 8 bytes are all), else 4
 *		byte 1		serial version, 1
 *		byte 2		family, 10
 *		byte 3		lgMax: the map may grow to 2^lgMax slots, three quarters of them used
 *		byte 4		lgCur: its present size
 *		byte 5		flags; empty is said by bit 0 or bit 2, and we write both
 *		byte 6-7	unused
 *		u32 8		active items
 *		u32 12		unused
 *		u64 16		total weight			(n)
 *		u64 24		offset					(theta)
 *		u64 x items	counts					(upper - theta, and lower)
 *		items		strings: u32 length and UTF-8 bytes each; longs: 8 bytes each
 *
 * Their count is our excess, their lower bound is the count (gap 0), their upper bound count + offset.
 * They do not promise (m+1) theta + sum of excess <= n for their map's size, so the capacity is what the
 * numbers allow.
 */
#include "internal.h"

#define DS_EMPTY_BYTES 8
#define DS_HEADER_BYTES 32
#define DS_SERIAL_VERSION 1
#define DS_FAMILY 10
#define DS_EMPTY_LONGS 1
#define DS_FULL_LONGS 4
#define DS_EMPTY_FLAGS 0x05
#define DS_MIN_LG 3
#define DS_MAX_LG 31
#define DS_LONG_BYTES 8
#define DS_LENGTH_BYTES 4

/* ---- import ---- */

typedef struct DsReader
{
	const uint8_t *at;
	const uint8_t *end;
	TkSummary summary;
	uint64_t key_bytes;
	uint8_t *longs; /* our form of their longs; NULL for strings */
} DsReader;

static size_t
bytes_left(const DsReader *reader)
{
	return (size_t) (reader->end - reader->at);
}

/* How many items a map of 2^lg slots holds, as far as we go. */
static uint32_t
map_capacity(unsigned lg)
{
	uint64_t capacity = (UINT64_C(3) << lg) / 4;

	return capacity < TK_MAX_CAPACITY ? (uint32_t) capacity : TK_MAX_CAPACITY;
}

/* Check the preamble. *empty tells whether there is more than that. */
static TkStatus
read_preamble(DsReader *reader, bool *empty)
{
	const uint8_t *at = reader->at;

	if (bytes_left(reader) < DS_EMPTY_BYTES || at[2] != DS_FAMILY)
		return TK_CORRUPT;
	if (at[1] != DS_SERIAL_VERSION)
		return TK_UNSUPPORTED;
	if (at[3] < DS_MIN_LG || at[3] > DS_MAX_LG || at[4] > at[3])
		return TK_CORRUPT;
	*empty = (at[5] & DS_EMPTY_FLAGS) != 0;
	if ((at[0] & 0x3F) != (*empty ? DS_EMPTY_LONGS : DS_FULL_LONGS))
		return TK_CORRUPT;
	if (*empty)
		return bytes_left(reader) == DS_EMPTY_BYTES ? TK_OK : TK_CORRUPT;
	return bytes_left(reader) >= DS_HEADER_BYTES ? TK_OK : TK_CORRUPT;
}

/* The numbers behind the preamble. Each item has 12 bytes at least (8 of count, 4 of length, or 8 and 8). */
static bool
read_header(DsReader *reader)
{
	const uint8_t *at = reader->at;
	uint64_t active = tk_load32(at + 8);

	reader->summary.total = tk_load64(at + 16);
	reader->summary.max_error = tk_load64(at + 24);
	reader->summary.count = (uint32_t) active;
	reader->summary.exact = reader->summary.max_error == 0;
	if (reader->summary.total > TK_MAX_TOTAL || reader->summary.max_error > reader->summary.total)
		return false;
	if (active > (UINT64_C(3) << at[3]) / 4)
		return false;
	reader->at += DS_HEADER_BYTES;
	return active <= bytes_left(reader) / (8 + DS_LENGTH_BYTES);
}

static bool
read_counts(DsReader *reader, TkIncoming *in)
{
	TkSummary *summary = &reader->summary;
	uint64_t sum = 0;

	for (uint32_t i = 0; i < summary->count; i++, reader->at += 8)
	{
		uint64_t count = tk_load64(reader->at);

		if (count == 0 || count > summary->total - sum)
			return false;
		sum += count;
		in[i].excess = count;
		in[i].gap = 0;
	}
	/* the largest m with (m+1) theta + sum <= n */
	if (summary->max_error > 0)
	{
		uint64_t most = (summary->total - sum) / summary->max_error;

		if (most < 2)
			return false;
		if (most - 1 < summary->capacity)
			summary->capacity = (uint32_t) (most - 1);
		return true;
	}
	return sum == summary->total;
}

static bool
read_strings(DsReader *reader, TkIncoming *in)
{
	for (uint32_t i = 0; i < reader->summary.count; i++)
	{
		uint32_t len;

		if (bytes_left(reader) < DS_LENGTH_BYTES)
			return false;
		len = tk_load32(reader->at);
		reader->at += DS_LENGTH_BYTES;
		if (len > TK_MAX_KEY_BYTES || len > bytes_left(reader) || !tk_text_is_valid(reader->at, len))
			return false;
		in[i].key = reader->at;
		in[i].len = len;
		in[i].hash = (uint32_t) tk_hash_bytes(reader->at, len);
		reader->key_bytes += len;
		reader->at += len;
	}
	return reader->at == reader->end;
}

static bool
read_longs(DsReader *reader, TkIncoming *in)
{
	if (bytes_left(reader) != (size_t) reader->summary.count * DS_LONG_BYTES)
		return false;
	for (uint32_t i = 0; i < reader->summary.count; i++, reader->at += DS_LONG_BYTES)
	{
		uint8_t *key = reader->longs + (size_t) i * DS_LONG_BYTES;
		uint64_t bits = tk_load64(reader->at);

		tk_bigint_key(bits >> 63 ? (int64_t) (bits & INT64_MAX) + INT64_MIN : (int64_t) bits, key);
		in[i].key = key;
		in[i].len = DS_LONG_BYTES;
		in[i].hash = (uint32_t) tk_hash_bytes(key, DS_LONG_BYTES);
	}
	reader->key_bytes = (uint64_t) reader->summary.count * DS_LONG_BYTES;
	return true;
}

static bool
read_items(DsReader *reader, TkIncoming *in)
{
	if (!read_counts(reader, in))
		return false;
	return reader->longs != NULL ? read_longs(reader, in) : read_strings(reader, in);
}

/* A sketch of what was read; more entries than the capacity are a working state, purged if they exceed that.
 */
static TkStatus
build_sketch(const TkAllocator *alloc, DsReader *reader, uint32_t k, TkIncoming *in, TkSketch **out)
{
	TkSummary *summary = &reader->summary;
	TkBatch batch = {.entries = in, .key_bytes = reader->key_bytes};
	TkSketch *s;
	TkStatus status;

	summary->k = k < summary->capacity ? k : summary->capacity;
	batch.summary = *summary;
	status = tk_sketch_create(alloc, summary->kind, summary->k, summary->capacity, &s);
	if (status == TK_OK && summary->total > 0)
		status = tk_merge_incoming(s, &batch);
	if (status != TK_OK)
	{
		tk_sketch_free(s);
		return status;
	}
	*out = s;
	return TK_OK;
}

/* All that follows the preamble of a sketch that is not empty. */
static TkStatus
import_items(const TkAllocator *alloc, DsReader *reader, uint32_t k, TkSketch **out)
{
	TkIncoming *in;
	TkStatus status = TK_CORRUPT;
	size_t entry = TK_BATCH_ENTRY_BYTES + (reader->summary.kind == TK_KIND_BIGINT ? DS_LONG_BYTES : 0);

	if (!read_header(reader))
		return TK_CORRUPT;
	/* never of size 0: also a sketch without items goes this way */
	in = tk_alloc(alloc, reader->summary.count * entry + 1);
	if (in == NULL)
		return TK_NO_MEMORY;
	if (reader->summary.kind == TK_KIND_BIGINT)
		reader->longs = (uint8_t *) in + reader->summary.count * TK_BATCH_ENTRY_BYTES;
	if (read_items(reader, in))
		status = build_sketch(alloc, reader, k, in, out);
	tk_release(alloc, in);
	return status;
}

TkStatus
tk_sketch_from_datasketches(const TkAllocator *alloc, TkKind kind, uint32_t k, const void *bytes, size_t len,
							TkSketch **out)
{
	DsReader reader = {.at = bytes};
	bool empty;
	TkStatus status;

	*out = NULL;
	if ((kind != TK_KIND_TEXT && kind != TK_KIND_BIGINT) || k == 0)
		return TK_BAD_ARGUMENT;
	if (len == 0)
		return TK_CORRUPT;
	reader.end = reader.at + len;
	reader.summary.kind = kind;
	status = read_preamble(&reader, &empty);
	if (status != TK_OK)
		return status;
	reader.summary.capacity = map_capacity(reader.at[3]);
	if (empty)
		return build_sketch(alloc, &reader, k, NULL, out);
	return import_items(alloc, &reader, k, out);
}

/* ---- export ---- */

static uint8_t *
put32(uint8_t *at, uint32_t value)
{
	for (int byte = 0; byte < 4; byte++, value >>= 8)
		*at++ = (uint8_t) value;
	return at;
}

static uint8_t *
put64(uint8_t *at, uint64_t value)
{
	return put32(put32(at, (uint32_t) value), (uint32_t) (value >> 32));
}

/* The smallest map that holds so many items. */
static uint8_t
map_lg(uint32_t items)
{
	uint8_t lg = DS_MIN_LG;

	while ((UINT64_C(3) << lg) / 4 < items)
		lg++;
	return lg;
}

static uint8_t *
put_header(const TkSketch *s, uint32_t items, uint64_t theta, uint8_t *at)
{
	bool empty = s->total == 0;

	*at++ = empty ? DS_EMPTY_LONGS : DS_FULL_LONGS;
	*at++ = DS_SERIAL_VERSION;
	*at++ = DS_FAMILY;
	*at++ = map_lg(s->capacity);
	*at++ = map_lg(items);
	*at++ = empty ? DS_EMPTY_FLAGS : 0;
	*at++ = 0;
	*at++ = 0;
	if (empty)
		return at;
	at = put32(at, items);
	at = put32(at, 0);
	at = put64(at, s->total);
	return put64(at, theta);
}

static void
put_items(const TkSketch *s, const TkCut *cut, uint32_t items, uint8_t *at)
{
	for (uint32_t i = 0; i < items; i++)
		at = put64(at, cut->refs[i].major - cut->raise);
	for (uint32_t i = 0; i < items; i++)
	{
		const TkRef *ref = &cut->refs[i];

		if (s->kind == TK_KIND_BIGINT)
		{
			at = put64(at, (uint64_t) tk_bigint_value(ref->key));
			continue;
		}
		at = put32(at, ref->len);
		if (ref->len > 0)
			memcpy(at, ref->key, ref->len);
		at += ref->len;
	}
}

/* Write the first `items` of the cut, those with a count. */
static TkStatus
write_export(const TkSketch *s, const TkCut *cut, uint32_t items, const TkAllocator *alloc, size_t headroom,
			 void **block, size_t *len)
{
	uint64_t bytes = s->total == 0 ? DS_EMPTY_BYTES : DS_HEADER_BYTES;
	uint8_t *start;

	for (uint32_t i = 0; i < items; i++)
		bytes += 8 + cut->refs[i].len + (s->kind == TK_KIND_TEXT ? DS_LENGTH_BYTES : 0);
	if (headroom > TK_MAX_ENCODED_BYTES || bytes > TK_MAX_ENCODED_BYTES - headroom)
		return TK_TOO_LARGE;
	start = tk_alloc(alloc, headroom + (size_t) bytes);
	if (start == NULL)
		return TK_NO_MEMORY;
	put_items(s, cut, items, put_header(s, items, s->theta + cut->raise, start + headroom));
	*block = start;
	*len = (size_t) bytes;
	return TK_OK;
}

TkStatus
tk_sketch_to_datasketches(const TkSketch *s, const TkAllocator *alloc, size_t headroom, void **block,
						  size_t *len)
{
	const TkAllocator *from = alloc != NULL ? alloc : &s->alloc;
	TkCut cut;
	TkStatus status;
	uint32_t items;

	*block = NULL;
	if (s->kind != TK_KIND_TEXT && s->kind != TK_KIND_BIGINT)
		return TK_BAD_ARGUMENT;
	status = tk_cut(s, s->capacity, from, &cut);
	if (status != TK_OK)
		return status;
	/* sorted by count, so those without one come last */
	for (items = cut.count; items > 0 && cut.refs[items - 1].major == cut.raise; items--)
		;
	status = write_export(s, &cut, items, from, headroom, block, len);
	tk_release(from, cut.refs);
	return status;
}

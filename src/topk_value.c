/*
 * topk_value.c
 *		Flat values of type topk: opening, decoding, encoding; the allocator and the errors of the library.
 *
 * The sketch library neither knows PostgreSQL nor may be left by longjmp, so memory is given to it without
 * errors (it reports TK_NO_MEMORY) and each status becomes an ereport here, once it has returned.
 */
#include "topk_value.h"

#include "access/detoast.h"
#include "utils/memutils.h"

static void *
AllocFrom(void *context, size_t size)
{
	return MemoryContextAllocExtended((MemoryContext) context, size, MCXT_ALLOC_NO_OOM | MCXT_ALLOC_HUGE);
}

static void
ReleaseTo(void *context, void *block)
{
	pfree(block);
}

/* Memory from a context, which must live as long as what is made with it. */
TkAllocator
TopkAllocator(MemoryContext context)
{
	TkAllocator allocator = {AllocFrom, ReleaseTo, context};

	return allocator;
}

int
TopkSqlState(TkStatus status, TopkOrigin origin)
{
	switch (status)
	{
		case TK_NO_MEMORY:
			return ERRCODE_OUT_OF_MEMORY;
		case TK_OVERFLOW:
			return ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE;
		case TK_KEY_TOO_LONG:
		case TK_TOO_LARGE:
			return ERRCODE_PROGRAM_LIMIT_EXCEEDED;
		case TK_KIND_MISMATCH:
			return ERRCODE_DATATYPE_MISMATCH;
		case TK_UNSUPPORTED:
			return ERRCODE_FEATURE_NOT_SUPPORTED;
		case TK_CORRUPT:
			return origin == TOPK_STORED   ? ERRCODE_DATA_CORRUPTED
				   : origin == TOPK_BINARY ? ERRCODE_INVALID_BINARY_REPRESENTATION
										   : ERRCODE_INVALID_TEXT_REPRESENTATION;
		case TK_BAD_ARGUMENT:
		case TK_OK:
			break;
	}
	return ERRCODE_INTERNAL_ERROR;
}

/* Report what went wrong with a sketch that PostgreSQL already holds. */
void
TopkRaise(TkStatus status)
{
	int code = TopkSqlState(status, TOPK_STORED);

	switch (status)
	{
		case TK_OVERFLOW:
			ereport(ERROR, errcode(code), errmsg("total weight of a sketch is out of range"),
					errdetail("It must not exceed " INT64_FORMAT ".", PG_INT64_MAX));
			break;
		case TK_KEY_TOO_LONG:
			ereport(ERROR, errcode(code), errmsg("item is too long for a sketch"),
					errdetail("An item has at most %d bytes.", TK_MAX_KEY_BYTES),
					errhint("Count a prefix or a hash of the item instead."));
			break;
		case TK_TOO_LARGE:
			ereport(ERROR, errcode(code), errmsg("sketch is too large"),
					errhint("Use a smaller capacity or shorter items."));
			break;
		case TK_NO_MEMORY:
			ereport(ERROR, errcode(code), errmsg("out of memory"),
					errdetail("Failed while changing a sketch."));
			break;
		default:
			ereport(ERROR, errcode(code), errmsg("cannot read sketch: %s", tk_status_text(status)));
	}
	pg_unreachable();
}

/* Sketches of different kinds of items have nothing in common. */
void
TopkCheckKinds(TkKind left, TkKind right)
{
	if (left != right)
		ereport(ERROR, errcode(ERRCODE_DATATYPE_MISMATCH),
				errmsg("sketch of %s items does not fit %s items", tk_kind_name(left), tk_kind_name(right)),
				errhint("Convert the items to one type before they are counted."));
}

/* What a sketch for the top k keeps if nobody says: for each place two more that nearly made it. */
uint32
TopkDefaultCapacity(uint32 k)
{
	return Min(k * TK_DEFAULT_CAPACITY_PER_K, TK_MAX_CAPACITY);
}

/* k and capacity as SQL gives them; the default capacity belongs to k, so only k can be wrong with it. */
void
TopkCheckParameters(int32 k, int32 capacity)
{
	if (k < 1 || k > TK_MAX_CAPACITY)
		ereport(ERROR, errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("k must be between 1 and %d", TK_MAX_CAPACITY));
	if (capacity < k || capacity > TK_MAX_CAPACITY)
		ereport(ERROR, errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("capacity must be between k (%d) and %d", k, TK_MAX_CAPACITY));
}

void
TopkRaiseNegativeWeight(int64 weight)
{
	ereport(ERROR, errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("weight must not be negative"),
			errdetail("The weight is " INT64_FORMAT ".", weight),
			errhint("A sketch can only grow: what was counted cannot be taken back."));
	pg_unreachable();
}

/* Open a value for reading, without building a sketch of it. Detoasts into the current memory context. */
void
TopkOpen(TopkReader *reader, Datum value)
{
	reader->flat = PG_DETOAST_DATUM_PACKED(value);
	TopkCheck(tk_view_open(VARDATA_ANY(reader->flat), VARSIZE_ANY_EXHDR(reader->flat), &reader->view));
}

/*
 * What a value says about itself. Of a value that is stored elsewhere only the first piece is fetched, so
 * only the header is checked (tk_view_summary says how far): that its entries agree was checked when it came
 * in.
 */
TkSummary
TopkSummary(Datum value)
{
	struct varlena *flat = (struct varlena *) DatumGetPointer(value);
	Size len = toast_raw_datum_size(value) - VARHDRSZ;
	TkSummary summary;

	if (VARATT_IS_EXTERNAL(flat) || VARATT_IS_COMPRESSED(flat))
		flat = PG_DETOAST_DATUM_SLICE(value, 0, TK_SUMMARY_BYTES);
	TopkCheck(tk_view_summary(VARDATA_ANY(flat), VARSIZE_ANY_EXHDR(flat), len, &summary));
	return summary;
}

/* A sketch of a value, in `context`, for updates and merges. The caller may free it, or reset the context. */
TkSketch *
TopkDecode(Datum value, MemoryContext context)
{
	struct varlena *flat = PG_DETOAST_DATUM_PACKED(value);
	TkAllocator allocator = TopkAllocator(context);
	TkSketch *sketch;

	TopkCheck(tk_sketch_decode(&allocator, VARDATA_ANY(flat), VARSIZE_ANY_EXHDR(flat), &sketch));
	return sketch;
}

/* Add what a value has seen, by one of the library's functions for that. */
static void
AddValue(TkSketch *sketch, Datum value, TkStatus (*add)(TkSketch *dst, const void *bytes, size_t len))
{
	struct varlena *flat = PG_DETOAST_DATUM_PACKED(value);
	TkStatus status = add(sketch, VARDATA_ANY(flat), VARSIZE_ANY_EXHDR(flat));

	if (status == TK_KIND_MISMATCH)
	{
		TopkReader reader;

		TopkOpen(&reader, PointerGetDatum(flat));
		TopkCheckKinds(tk_sketch_kind(sketch), reader.view.summary.kind);
	}
	TopkCheck(status);
}

/* Add all that a value has seen to a sketch. */
void
TopkMergeValue(TkSketch *sketch, Datum value)
{
	AddValue(sketch, value, tk_sketch_merge_encoded);
}

/* The same for a value that is a part of a whole: see tk_sketch_gather_encoded. */
void
TopkGatherValue(TkSketch *sketch, Datum value)
{
	AddValue(sketch, value, tk_sketch_gather_encoded);
}

/* A flat value of a sketch, which stays as it is, in the current memory context. */
Datum
TopkEncode(const TkSketch *sketch, TkEncodeMode mode)
{
	TkAllocator allocator = TopkAllocator(CurrentMemoryContext);
	void *flat;
	size_t len;

	TopkCheck(tk_sketch_encode(sketch, mode, &allocator, VARHDRSZ, &flat, &len));
	SET_VARSIZE(flat, VARHDRSZ + len);
	return PointerGetDatum(flat);
}

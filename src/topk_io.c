/*
 * topk_io.c
 *		The forms in which a value of type topk comes and goes: text, binary, bytea.
 *
 * Binary (and bytea) is the stored form itself. Text is the same bytes in hexadecimal after "\x", as bytea
 * has it, so it loses nothing: partial aggregates of distributed plans travel in it. All that comes in is
 * checked in full here, by decoding it once, and is trusted to be a sketch from then on.
 */
#include "compat.h"

#include "libpq/pqformat.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "topk_value.h"

TOPK_FUNCTION(topk_in);
TOPK_FUNCTION(topk_out);
TOPK_FUNCTION(topk_recv);
TOPK_FUNCTION(topk_send);
TOPK_FUNCTION(topk_from_bytea);

/* Are these the bytes of a sketch? Leaves nothing behind. */
static TkStatus
CheckBytes(const void *bytes, size_t len)
{
	MemoryContext scratch = AllocSetContextCreate(CurrentMemoryContext, "topk check", ALLOCSET_DEFAULT_SIZES);
	TkAllocator allocator = TopkAllocator(scratch);
	TkSketch *sketch;
	TkStatus status = tk_sketch_decode(&allocator, bytes, len, &sketch);

	MemoryContextDelete(scratch);
	return status;
}

static Datum
ReceiveBytes(const void *bytes, size_t len)
{
	TkStatus status = CheckBytes(bytes, len);

	if (status != TK_OK)
		ereport(ERROR, errcode(TopkSqlState(status, TOPK_BINARY)),
				errmsg("invalid stored form of a sketch: %s", tk_status_text(status)));
	return PointerGetDatum(cstring_to_text_with_len(bytes, (int) len));
}

Datum
topk_in(PG_FUNCTION_ARGS)
{
	const char *string = PG_GETARG_CSTRING(0);
	size_t len = strlen(string);
	bytea *flat = palloc(VARHDRSZ + len / 2);
	TkStatus status;

	if (!tk_hex_read(string, len, (uint8_t *) VARDATA(flat), &len))
		ereturn(fcinfo->context, (Datum) 0, errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
				errmsg("invalid input syntax for type %s", "topk"),
				errdetail("The text form is \\x and pairs of hexadecimal digits."));
	SET_VARSIZE(flat, VARHDRSZ + len);
	status = CheckBytes(VARDATA(flat), len);
	if (status != TK_OK)
		ereturn(fcinfo->context, (Datum) 0, errcode(TopkSqlState(status, TOPK_TEXT)),
				errmsg("invalid input for type %s: %s", "topk", tk_status_text(status)));
	PG_RETURN_BYTEA_P(flat);
}

Datum
topk_out(PG_FUNCTION_ARGS)
{
	bytea *flat = PG_GETARG_BYTEA_PP(0);
	size_t len = VARSIZE_ANY_EXHDR(flat);
	char *string;

	/* beyond half a gigabyte it would be no value of type text */
	TopkCheck(AllocSizeIsValid(VARHDRSZ + 2 + 2 * len) ? TK_OK : TK_TOO_LARGE);
	string = palloc(2 + 2 * len + 1);
	memcpy(string, "\\x", 2);
	hex_encode(VARDATA_ANY(flat), len, string + 2);
	string[2 + 2 * len] = '\0';
	PG_RETURN_CSTRING(string);
}

Datum
topk_recv(PG_FUNCTION_ARGS)
{
	StringInfo message = (StringInfo) PG_GETARG_POINTER(0);
	int len = message->len - message->cursor;

	return ReceiveBytes(pq_getmsgbytes(message, len), len);
}

Datum
topk_send(PG_FUNCTION_ARGS)
{
	PG_RETURN_BYTEA_P(PG_GETARG_BYTEA_P_COPY(0));
}

Datum
topk_from_bytea(PG_FUNCTION_ARGS)
{
	bytea *bytes = PG_GETARG_BYTEA_PP(0);

	return ReceiveBytes(VARDATA_ANY(bytes), VARSIZE_ANY_EXHDR(bytes));
}

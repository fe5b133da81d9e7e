/*
 * topk_compress.c
 *		Compressed values of type topk, for tables that keep them inline.
 *
 * Such tables have a toast_tuple_target so high that PostgreSQL would neither compress nor move a sketch.
 *What is written here is PostgreSQL's own compressed form with lz4, which any server built with lz4 reads.
 */
#include "topk_value.h"

#include <dlfcn.h>

#include "access/detoast.h"
#include "access/toast_compression.h"
#include "access/toast_internals.h"
#include "utils/memutils.h"

TOPK_FUNCTION(topk_compress);

/* Below this the header of a compressed value and the work are not worth it. */
#define MIN_COMPRESSED_BYTES 256

#ifdef USE_LZ4

/*
 * Of liblz4 (lz4hc.h). A server that is built with it has it loaded, so it is looked up there and this
 * library needs libc and libm only.
 */
typedef int (*SizeOfState)(void);
typedef int (*CompressClosely)(void *state, const char *source, char *target, int len, int room, int level);

/* It looks for the best of several matches; the next ones save 2 % more and take up to twice the time. */
#define LEVEL 3

static Datum
CompressAsServerDoes(Datum value)
{
	Datum compressed = toast_compress_datum(value, TOAST_LZ4_COMPRESSION);

	return DatumGetPointer(compressed) != NULL ? compressed : value;
}

/* Searches longer than the server does: a sketch comes out a fifth smaller, in 10 to 30 us. */
static Datum
Compress(Datum value)
{
	static CompressClosely compress = NULL;
	static void *state = NULL; /* 256 kB, once a process */
	const char *plain = VARDATA(DatumGetPointer(value));
	int len = (int) (VARSIZE(DatumGetPointer(value)) - VARHDRSZ);
	char *compressed;
	int compressed_len;

	if (state == NULL)
	{
		SizeOfState size_of_state = (SizeOfState) dlsym(RTLD_DEFAULT, "LZ4_sizeofStateHC");

		compress = (CompressClosely) dlsym(RTLD_DEFAULT, "LZ4_compress_HC_extStateHC");
		if (size_of_state == NULL || compress == NULL)
			return CompressAsServerDoes(value);
		state = MemoryContextAlloc(TopMemoryContext, size_of_state());
	}
	compressed = palloc(VARHDRSZ_COMPRESSED + len);
	compressed_len = compress(state, plain, compressed + VARHDRSZ_COMPRESSED, len, len, LEVEL);
	if (compressed_len <= 0 || compressed_len + VARHDRSZ_COMPRESSED >= len)
	{
		pfree(compressed);
		return value;
	}
	SET_VARSIZE_COMPRESSED(compressed, VARHDRSZ_COMPRESSED + compressed_len);
	TOAST_COMPRESS_SET_SIZE_AND_COMPRESS_METHOD(compressed, len, TOAST_LZ4_COMPRESSION_ID);
	return PointerGetDatum(compressed);
}

#else

static Datum
Compress(Datum value)
{
	return value;
}

#endif

Datum
topk_compress(PG_FUNCTION_ARGS)
{
	Datum value = PG_GETARG_DATUM(0);

	if (VARATT_IS_EXTERNAL(DatumGetPointer(value)))
		value = PointerGetDatum(detoast_external_attr((struct varlena *) DatumGetPointer(value)));
	if (VARATT_IS_EXTENDED(DatumGetPointer(value)) || VARSIZE(DatumGetPointer(value)) < MIN_COMPRESSED_BYTES)
		return value;
	return Compress(value);
}

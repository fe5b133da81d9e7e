/*
 * publish_wake.c - tells the publishers of a source that something was committed (see publish_wake.h).
 *
 * A process serves one source, so what it has learnt is static.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/memutils.h"

#include "host.h"
#include "publish_wake.h"

static int32 *publishers = NULL;
static int n_publishers = 0;
static int room = 0;

void
publish_wake_learn(Datum pids)
{
	ArrayType *array = DatumGetArrayTypeP(pids);
	int n = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));

	if (n > room)
	{
		publishers = publishers == NULL ? MemoryContextAlloc(TopMemoryContext, n * sizeof(int32))
										: repalloc(publishers, n * sizeof(int32));
		room = n;
	}
	n_publishers = n;
	if (n > 0)
		memcpy(publishers, ARR_DATA_PTR(array), n * sizeof(int32));
}

void
publish_wake(void)
{
	for (int i = 0; i < n_publishers; i++)
		host_wake(publishers[i]);
}

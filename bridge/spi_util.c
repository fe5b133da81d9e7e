/*
 * spi_util.c - short spellings for what the stores do with SPI (see spi_util.h).
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "spi_util.h"

SPIPlanPtr
spi_prepare(SpiStatement *statement)
{
	if (statement->plan == NULL)
	{
		SPIPlanPtr plan = SPI_prepare(statement->sql, statement->n_types, statement->types);

		if (plan == NULL)
			elog(ERROR, "SPI_prepare failed: %s", SPI_result_code_string(SPI_result));
		if (SPI_keepplan(plan) != 0)
			elog(ERROR, "SPI_keepplan failed");
		statement->plan = plan;
	}
	return statement->plan;
}

/* SPI leaves its own memory context current; a step's stays. */
uint64
spi_run(SpiStatement *statement, Datum *values, const char *nulls)
{
	MemoryContext context = CurrentMemoryContext;
	int result = SPI_execute_plan(spi_prepare(statement), values, nulls, false, 0);

	MemoryContextSwitchTo(context);
	if (result < 0)
		elog(ERROR, "SPI_execute_plan failed: %s", SPI_result_code_string(result));
	return SPI_processed;
}

bool
spi_is_null(uint64 row, int column)
{
	bool isnull;

	(void) SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column, &isnull);
	return isnull;
}

Datum
spi_datum(uint64 row, int column)
{
	bool isnull;
	Datum value = SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column, &isnull);

	if (isnull)
		elog(ERROR, "unexpected NULL in column %d", column);
	return value;
}

int32
spi_int32(uint64 row, int column)
{
	return DatumGetInt32(spi_datum(row, column));
}

int64
spi_int64(uint64 row, int column)
{
	return DatumGetInt64(spi_datum(row, column));
}

bool
spi_bool(uint64 row, int column)
{
	return DatumGetBool(spi_datum(row, column));
}

char *
spi_text(uint64 row, int column, MemoryContext context)
{
	char *value = SPI_getvalue(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column);

	return value == NULL ? NULL : MemoryContextStrdup(context, value);
}

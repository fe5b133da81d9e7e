/*
 * spi_util.h - short spellings for what the stores do with SPI.  All of it inside a step (host.h).
 */
#ifndef TK_SPI_UTIL_H
#define TK_SPI_UTIL_H

#include "postgres.h"

#include "executor/spi.h"

/* A statement that is prepared at its first use and kept.  `types` has n_types entries. */
typedef struct SpiStatement
{
	const char *sql;
	int n_types;
	Oid types[24];
	SPIPlanPtr plan;
} SpiStatement;

/* Prepares a statement, unless it is. */
extern SPIPlanPtr spi_prepare(SpiStatement *statement);

/* Runs a statement; nulls as for SPI_execute_plan, or NULL.  Returns the number of rows. */
extern uint64 spi_run(SpiStatement *statement, Datum *values, const char *nulls);

/* Column `column` (from 1) of row `row` (from 0) of the last result; the value must not be NULL. */
extern Datum spi_datum(uint64 row, int column);
extern bool spi_is_null(uint64 row, int column);
extern int32 spi_int32(uint64 row, int column);
extern int64 spi_int64(uint64 row, int column);
extern bool spi_bool(uint64 row, int column);

/* As text, in the current memory context of the caller (not SPI's); NULL for NULL. */
extern char *spi_text(uint64 row, int column, MemoryContext context);

#endif

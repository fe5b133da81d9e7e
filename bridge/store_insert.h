/*
 * store_insert.h - many rows into one of our tables, within a step (host.h).
 *
 * As COPY does it, a page of rows at once and with all that the table may have (defaults, identity, generated
 * columns, constraints, indexes, triggers), but from values in memory: nothing is encoded, parsed or copied
 * on the way.
 */
#ifndef TK_STORE_INSERT_H
#define TK_STORE_INSERT_H

#include "postgres.h"

typedef struct StoreInsert StoreInsert;

#define STORE_INSERT_ROWS 128 /* the most of a batch; some 50 kB of usual messages: several pages */

/* Rows for topk.`table`, written `batch_rows` at once, each of which brings `columns` (up to NULL); the
 * others get what they get by default.  Lives in the current memory context.
 */
extern StoreInsert *store_insert_begin(const char *table, const char *const *columns, int batch_rows);

/* One row.  What values refer to must last until store_insert_end, or be in this context, which forgets what
 * has been written.
 */
extern MemoryContext store_insert_memory(const StoreInsert *insert);
extern void store_insert_row(StoreInsert *insert, const Datum *values, const bool *nulls);

extern void store_insert_end(StoreInsert *insert);

#endif

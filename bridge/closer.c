/*
 * closer.c - the process that closes the windows of one source.
 *
 * Each cycle: if sealed panes have been passed by the watermark, or windows may become final, make the leaves
 * that the stored windows need, then run topk.close() until nothing is left to move, each time in a
 * transaction of its own.  Once a minute: drop what retention has passed.  All of it is SQL
 * (sql/bridge_store.sql, sql/bridge_retention.sql).
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "fail_point.h"
#include "host.h"
#include "publish_wake.h"
#include "spi_util.h"

#define CYCLE_MS 500
#ifdef TOPK_FAIL_POINTS
#define RETENTION_MS 1000 /* tests do not wait a minute for it */
#else
#define RETENTION_MS 60000
#endif
#define ROWS_PER_CLOSE 20000

typedef struct CloseCycle
{
	int32 source_id;
	bool gone; /* the source, or the extension */
	bool due;
	int64 moved;
} CloseCycle;

static void
look(void *arg)
{
	static SpiStatement statement = {"SELECT s.source_id IS NULL, NOT topk.close_rests($1) AND "
									 "topk.close_due($1) FROM (SELECT) one LEFT "
									 "JOIN topk.source s ON s.source_id = $1",
									 1,
									 {INT4OID},
									 NULL};
	CloseCycle *cycle = arg;
	Datum values[] = {Int32GetDatum(cycle->source_id)};

	cycle->gone = !host_extension_exists();
	if (cycle->gone)
		return;
	spi_run(&statement, values, NULL);
	cycle->gone = spi_bool(0, 1);
	cycle->due = !cycle->gone && spi_bool(0, 2);
}

static void
make_leaves(void *arg)
{
	static SpiStatement statement = {"SELECT topk.make_leaves($1)", 1, {INT4OID}, NULL};
	Datum values[] = {Int32GetDatum(((CloseCycle *) arg)->source_id)};

	spi_run(&statement, values, NULL);
	FAIL_POINT("leaves_before_commit");
}

static void
close_panes(void *arg)
{
	static SpiStatement statement = {
		"SELECT c.moved, " PUBLISH_WAKE_PIDS " FROM topk.close($1, $2) c", 2, {INT4OID, INT4OID}, NULL};
	CloseCycle *cycle = arg;
	Datum values[] = {Int32GetDatum(cycle->source_id), Int32GetDatum(ROWS_PER_CLOSE)};

	spi_run(&statement, values, NULL);
	cycle->moved = spi_int64(0, 1);
	publish_wake_learn(spi_datum(0, 2));
	FAIL_POINT("close_before_commit");
}

/* A reader that sits on the leaf makes this fail by its lock_timeout; it is tried again the next minute. */
static void
drop_leaf(void *arg)
{
	static SpiStatement statement = {"SELECT topk.drop_leaf($1)", 1, {INT4OID}, NULL};
	CloseCycle *cycle = arg;
	Datum values[] = {Int32GetDatum(cycle->source_id)};

	SPI_execute("SET LOCAL lock_timeout = '100ms'", false, 0);
	spi_run(&statement, values, NULL);
	cycle->due = !spi_is_null(0, 1);
	if (cycle->due)
		FAIL_POINT("retention_before_commit");
}

/* One batch of letters and the like. */
static void
trim(void *arg)
{
	static SpiStatement statement = {"SELECT topk.trim($1)", 1, {INT4OID}, NULL};
	CloseCycle *cycle = arg;
	Datum values[] = {Int32GetDatum(cycle->source_id)};

	spi_run(&statement, values, NULL);
	cycle->due = spi_bool(0, 1);
}

static void
collect_lists(void *arg)
{
	static SpiStatement statement = {"SELECT topk.collect_lists($1)", 1, {INT4OID}, NULL};
	CloseCycle *cycle = arg;
	Datum values[] = {Int32GetDatum(cycle->source_id)};

	spi_run(&statement, values, NULL);
	cycle->due = false;
}

static void
forget_days(void *arg)
{
	static SpiStatement statement = {"SELECT topk.forget_days($1)", 1, {INT4OID}, NULL};
	Datum values[] = {Int32GetDatum(((CloseCycle *) arg)->source_id)};

	spi_run(&statement, values, NULL);
}

static void
note_pid(void *arg)
{
	static SpiStatement statement = {
		"UPDATE topk.closer SET pid = $2 WHERE source_id = $1", 2, {INT4OID, INT4OID}, NULL};
	Datum values[] = {Int32GetDatum(((CloseCycle *) arg)->source_id), Int32GetDatum(MyProcPid)};

	spi_run(&statement, values, NULL);
}

typedef struct NoteError
{
	int32 source_id;
	const HostError *error;
} NoteError;

static void
note_error(void *arg)
{
	static SpiStatement statement = {
		"UPDATE topk.closer SET last_error = $2, last_error_at = now() WHERE source_id = $1",
		2,
		{INT4OID, TEXTOID},
		NULL};
	NoteError *note = arg;
	Datum values[] = {Int32GetDatum(note->source_id), PointerGetDatum(cstring_to_text(note->error->message))};

	spi_run(&statement, values, NULL);
}

/* One cycle.  False, with *error, if a step failed. */
static bool
run_cycle(CloseCycle *cycle, HostError *error)
{
	if (!host_try(look, cycle, error))
		return false;
	if (cycle->gone || !cycle->due)
		return true;
	if (!host_try(make_leaves, cycle, error))
		return false;
	do
	{
		if (!host_try(close_panes, cycle, error))
			return false;
		FAIL_POINT("close_after_commit");
		publish_wake();
		host_check_interrupts();
	} while (cycle->moved >= ROWS_PER_CLOSE && !host_should_stop());
	return true;
}

static void
run_while_due(HostStep step, CloseCycle *cycle)
{
	HostError error;

	if (!host_try(forget_days, cycle, &error))
		ereport(WARNING, errcode(error.sqlstate), errmsg("topk retention: %s", error.message));
	cycle->due = true;
	while (cycle->due && !host_should_stop())
	{
		if (host_try(step, cycle, &error))
		{
			FAIL_POINT("retention_after_commit");
			continue;
		}
		ereport(error.sqlstate == ERRCODE_LOCK_NOT_AVAILABLE ? DEBUG1 : WARNING, errcode(error.sqlstate),
				errmsg("topk retention: %s", error.message));
		return;
	}
}

void
topk_closer_main(Datum arg)
{
	HostArgs args = host_start("topk closer");
	CloseCycle cycle = {.source_id = args.id};
	TimestampTz retained = GetCurrentTimestamp();
	int failures = 0;

	if (!host_lock('c', args.id, 0))
		proc_exit(0);
	(void) host_try(note_pid, &cycle, NULL);
	while (!host_should_stop())
	{
		HostError error;

		if (run_cycle(&cycle, &error))
			failures = 0;
		else
		{
			NoteError note = {args.id, &error};

			failures++;
			ereport(WARNING, errcode(error.sqlstate),
					errmsg("topk could not close windows: %s", error.message));
			(void) host_try(note_error, &note, NULL);
		}
		if (cycle.gone)
			break;
		if (failures == 0 && TimestampDifferenceExceeds(retained, GetCurrentTimestamp(), RETENTION_MS))
		{
			run_while_due(drop_leaf, &cycle);
			run_while_due(trim, &cycle);
			run_while_due(collect_lists, &cycle);
			retained = GetCurrentTimestamp();
		}
		host_wait(failures == 0 ? CYCLE_MS : host_backoff(failures, 10000));
	}
	proc_exit(0);
}

/*
 * manager.c - keeps the processes of one database running: workers, a closer for each source, a publisher for
 * each sink, a process for each replay.
 *
 * Each second it compares what the tables want with what it has started.  It holds no state that matters: the
 * processes that it starts take a lock of their own, look after themselves, and end when they are not wanted.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "storage/ipc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "host.h"
#include "process.h"
#include "spi_util.h"

#define CYCLE_MS 1000

typedef struct Role
{
	char code; /* as in the query below */
	const char *type;
	const char *function;
} Role;

static const Role roles[] = {
	{'w', "topk worker", "topk_worker_main"},
	{'c', "topk closer", "topk_closer_main"},
	{'p', "topk publisher", "topk_publisher_main"},
	{'r', "topk replay", "topk_replay_main"},
};

/* One process that is or was wanted. */
typedef struct Child
{
	char role;
	int32 id;
	int32 number;
	bool wanted;                    /* in this cycle */
	BackgroundWorkerHandle *handle; /* NULL: not running */
	TimestampTz started;
	int failures; /* starts that ended within 10 s, in a row */
} Child;

static MemoryContext children_context;
static List *children = NIL;
static bool out_of_slots = false;

static const char wanted_sql[] =
	"SELECT * FROM ("
	"SELECT 'w', s.source_id, n, format('topk worker %s.%s', s.name, n) "
	"FROM topk.source s, generate_series(0, s.workers - 1) n "
	"WHERE s.enabled AND EXISTS (SELECT FROM topk.rule r WHERE r.source_id = s.source_id) "
	"UNION ALL SELECT 'c', s.source_id, 0, format('topk closer %s', s.name) FROM topk.source s "
	"UNION ALL SELECT 'p', k.sink_id, 0, format('topk publisher %s', k.name) FROM topk.sink k WHERE "
	"k.enabled "
	"UNION ALL SELECT 'r', j.replay_id, 0, format('topk replay %s', s.name) "
	"FROM topk.replay_job j JOIN topk.source s USING (source_id) WHERE j.finished_at IS NULL"
	") wanted WHERE topk.at_home() ORDER BY 1, 2, 3";

static Child *
child_of(char role, int32 id, int32 number)
{
	ListCell *cell;
	Child *child;
	MemoryContext old;

	foreach (cell, children)
	{
		child = lfirst(cell);
		if (child->role == role && child->id == id && child->number == number)
			return child;
	}
	old = MemoryContextSwitchTo(children_context);
	child = palloc0(sizeof(Child));
	child->role = role;
	child->id = id;
	child->number = number;
	children = lappend(children, child);
	MemoryContextSwitchTo(old);
	return child;
}

/* The limit is reached: said once in the log, and where people look. */
static void
report_no_slot(Child *child)
{
	static SpiStatement statement = {
		"INSERT INTO topk.worker AS w (source_id, worker, state, last_error, last_error_at) VALUES ($1, $2, "
		"'failed', "
		"'no background worker slot is free: raise max_worker_processes and restart the server', now()) "
		"ON CONFLICT (source_id, worker) DO UPDATE SET state = excluded.state, last_error = "
		"excluded.last_error, "
		"last_error_at = excluded.last_error_at",
		2,
		{INT4OID, INT4OID},
		NULL};
	Datum values[] = {Int32GetDatum(child->id), Int32GetDatum(child->number)};

	if (child->role == 'w')
		spi_run(&statement, values, NULL);
	if (!out_of_slots)
		ereport(WARNING, errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				errmsg("topk cannot start all of its processes: no background worker slot is free"),
				errhint("Raise max_worker_processes and restart the server."));
	out_of_slots = true;
}

static bool
start_child(Child *child, const char *name)
{
	HostArgs args = {.database = MyDatabaseId, .id = child->id, .number = child->number};
	const Role *role = roles;

	while (role->code != child->role)
		role++;
	child->started = GetCurrentTimestamp();
	child->handle = process_start(role->type, role->function, name, &args, children_context);
	return child->handle != NULL;
}

/* A child that ended soon after its start waits longer before it is started again. */
static void
notice_ended(void)
{
	ListCell *cell;

	foreach (cell, children)
	{
		Child *child = lfirst(cell);
		pid_t pid;

		child->wanted = false;
		if (child->handle == NULL || GetBackgroundWorkerPid(child->handle, &pid) != BGWH_STOPPED)
			continue;
		pfree(child->handle);
		child->handle = NULL;
		if (TimestampDifferenceExceeds(child->started, GetCurrentTimestamp(), 10000))
			child->failures = 0;
		child->failures++;
	}
}

static bool
may_start(const Child *child)
{
	return child->failures == 0 || TimestampDifferenceExceeds(child->started, GetCurrentTimestamp(),
															  (int) Min(child->failures, 10) * 1000);
}

/*
 * A step: tells the launcher that this database is worth a manager, so that it starts the next one without
 * delay, however soon this one ends.  arg: bool, set to false if the extension is not there.
 */
static void
call_launcher(void *arg)
{
	static SpiStatement statement = {"SELECT topk.wake()", 0, {0}, NULL};

	*(bool *) arg = host_extension_exists();
	if (*(bool *) arg)
		spi_run(&statement, NULL, NULL);
}

/* A step.  arg: bool, set to false if the extension is gone. */
static void
start_wanted(void *arg)
{
	static SpiStatement statement = {wanted_sql, 0, {0}, NULL};
	uint64 n;
	SPITupleTable *table;
	bool refused = false;

	if (!host_extension_exists())
	{
		*(bool *) arg = false;
		return;
	}
	n = spi_run(&statement, NULL, NULL);
	table = SPI_tuptable;
	for (uint64 i = 0; i < n; i++)
	{
		Child *child;

		SPI_tuptable = table;
		child = child_of(*spi_text(i, 1, CurrentMemoryContext), spi_int32(i, 2), spi_int32(i, 3));
		child->wanted = true;
		if (child->handle != NULL || !may_start(child) || refused)
			continue;
		if (!start_child(child, spi_text(i, 4, CurrentMemoryContext)))
		{
			refused = true;
			report_no_slot(child);
		}
	}
	if (!refused)
		out_of_slots = false;
}

/* Ends the children that no row wants any more, and forgets them once they have ended. */
static void
stop_unwanted(void)
{
	ListCell *cell;

	foreach (cell, children)
	{
		Child *child = lfirst(cell);

		if (child->wanted)
			continue;
		if (child->handle != NULL)
			TerminateBackgroundWorker(child->handle);
		else
		{
			children = foreach_delete_current(children, cell);
			pfree(child);
		}
	}
}

/* Lets the children go; they end by themselves. */
static void
stop_all(void)
{
	ListCell *cell;

	foreach (cell, children)
	{
		Child *child = lfirst(cell);

		if (child->handle != NULL)
			TerminateBackgroundWorker(child->handle);
	}
}

void
topk_manager_main(Datum arg)
{
	bool exists = true;

	host_start("topk manager");
	children_context = AllocSetContextCreate(TopMemoryContext, "topk manager", ALLOCSET_DEFAULT_SIZES);
	(void) host_try(call_launcher, &exists, NULL);
	/* a launcher that was ended leaves its managers behind, and its successor starts others: they stand by */
	while (exists && !host_lock('m', 0, 0) && !host_should_stop())
		host_wait(CYCLE_MS);
	/* with topk.enabled off no connection stays, so that the database can be copied or dropped */
	while (!host_should_stop() && exists && host_setting_bool("topk.enabled"))
	{
		HostError error;

		notice_ended();
		if (host_try(start_wanted, &exists, &error))
			stop_unwanted();
		else
			ereport(LOG, errcode(error.sqlstate), errmsg("topk manager: %s", error.message));
		if (exists)
			host_wait(CYCLE_MS);
	}
	stop_all();
	proc_exit(0);
}

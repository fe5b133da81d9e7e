/*
 * launcher.c - finds the databases that have work for the bridge, and keeps a manager running in each.
 *
 * The launcher is the only worker that the postmaster starts by itself.  It reads shared catalogs only;
 * whether a database has the extension, the manager that it starts there finds out, and exits at once if not.
 * So databases are tried rarely (topk.database_scan_interval), and at once when topk.wake() says so at a
 * commit.
 *
 * Shared memory holds the launcher's latch and the databases that called, under one spinlock.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_database.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "storage/shmem.h"
#include "storage/spin.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "bridge.h"
#include "host.h"
#include "process.h"

#define MAX_CALLS 64
#define RELAUNCH_MS 1000 /* at the earliest after a manager ended */

typedef struct LauncherShared
{
	slock_t mutex;
	Latch *latch;  /* NULL: the launcher is not running */
	bool overflow; /* more calls than fit: try every database */
	int n_calls;
	Oid calls[MAX_CALLS];
} LauncherShared;

/* One manager that was started; kept in launcher_context. */
typedef struct Managed
{
	Oid database;
	BackgroundWorkerHandle *handle; /* NULL: not running */
	TimestampTz started;
	bool wanted; /* start it as soon as RELAUNCH_MS allow */
} Managed;

PGDLLEXPORT void topk_launcher_main(Datum arg);
PG_FUNCTION_INFO_V1(topk_wake);
PG_FUNCTION_INFO_V1(topk_process_runs);
PG_FUNCTION_INFO_V1(topk_system_id);

static LauncherShared *shared = NULL;
static shmem_startup_hook_type next_startup_hook = NULL;
static shmem_request_hook_type next_request_hook = NULL;
static bool call_at_commit = false;
static MemoryContext launcher_context;
static List *managed = NIL;

/* ---------------------------------------------------------------- shared memory */

static void
request_shmem(void)
{
	if (next_request_hook)
		next_request_hook();
	RequestAddinShmemSpace(MAXALIGN(sizeof(LauncherShared)));
}

static void
attach_shmem(void)
{
	bool found;

	if (next_startup_hook)
		next_startup_hook();
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	shared = ShmemInitStruct("topk launcher", sizeof(LauncherShared), &found);
	if (!found)
	{
		memset(shared, 0, sizeof(LauncherShared));
		SpinLockInit(&shared->mutex);
	}
	LWLockRelease(AddinShmemInitLock);
}

void
LauncherInit(void)
{
	BackgroundWorker worker = {0};

	next_request_hook = shmem_request_hook;
	shmem_request_hook = request_shmem;
	next_startup_hook = shmem_startup_hook;
	shmem_startup_hook = attach_shmem;
	if (IsBinaryUpgrade)
		return;
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = 1;
	strlcpy(worker.bgw_library_name, "topk_bridge", BGW_MAXLEN);
	strlcpy(worker.bgw_function_name, "topk_launcher_main", BGW_MAXLEN);
	strlcpy(worker.bgw_name, "topk launcher", BGW_MAXLEN);
	strlcpy(worker.bgw_type, "topk launcher", BGW_MAXLEN);
	RegisterBackgroundWorker(&worker);
}

/* ---------------------------------------------------------------- calls from backends */

static void
call_launcher(Oid database)
{
	Latch *latch;

	SpinLockAcquire(&shared->mutex);
	if (shared->n_calls < MAX_CALLS)
		shared->calls[shared->n_calls++] = database;
	else
		shared->overflow = true;
	latch = shared->latch;
	SpinLockRelease(&shared->mutex);
	if (latch != NULL)
		SetLatch(latch);
}

static void
call_on_commit(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_COMMIT && call_at_commit)
		call_launcher(MyDatabaseId);
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE)
		call_at_commit = false;
}

/* topk.wake(): at commit the launcher will look at this database.  False if there is no launcher. */
Datum
topk_wake(PG_FUNCTION_ARGS)
{
	static bool registered = false;

	if (shared == NULL)
		PG_RETURN_BOOL(false);
	if (!registered)
	{
		RegisterXactCallback(call_on_commit, NULL);
		registered = true;
	}
	call_at_commit = true;
	PG_RETURN_BOOL(true);
}

/* topk.process_runs(pid): is it a process of this database?  pg_stat_activity does not tell everyone. */
Datum
topk_process_runs(PG_FUNCTION_ARGS)
{
	PGPROC *process = BackendPidGetProc(PG_GETARG_INT32(0));

	PG_RETURN_BOOL(process != NULL && process->databaseId == MyDatabaseId);
}

/* topk.system_id() */
Datum
topk_system_id(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64((int64) GetSystemIdentifier());
}

/* ---------------------------------------------------------------- managers */

static Managed *
managed_of(Oid database)
{
	ListCell *cell;
	MemoryContext old;
	Managed *manager;

	foreach (cell, managed)
	{
		manager = lfirst(cell);
		if (manager->database == database)
			return manager;
	}
	old = MemoryContextSwitchTo(launcher_context);
	manager = palloc0(sizeof(Managed));
	manager->database = database;
	managed = lappend(managed, manager);
	MemoryContextSwitchTo(old);
	return manager;
}

static void
start_manager(Managed *manager)
{
	HostArgs args = {.database = manager->database};
	char name[BGW_MAXLEN];

	snprintf(name, sizeof(name), "topk manager for database %u", manager->database);
	manager->started = GetCurrentTimestamp();
	manager->handle = process_start("topk manager", "topk_manager_main", name, &args, launcher_context);
	if (manager->handle != NULL)
		manager->wanted = false;
	else
		ereport(LOG, errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				errmsg("topk cannot start a manager: no background worker slot is free"),
				errhint("Raise max_worker_processes and restart the server."));
}

/* Notes which managers have ended; one that had work and was not told to stop is wanted again. */
static void
notice_ended(void)
{
	ListCell *cell;

	foreach (cell, managed)
	{
		Managed *manager = lfirst(cell);
		pid_t pid;

		if (manager->handle == NULL || GetBackgroundWorkerPid(manager->handle, &pid) != BGWH_STOPPED)
			continue;
		pfree(manager->handle);
		manager->handle = NULL;
		manager->wanted |=
			TimestampDifferenceExceeds(manager->started, GetCurrentTimestamp(), 5 * RELAUNCH_MS);
	}
}

static void
start_wanted(void)
{
	ListCell *cell;

	foreach (cell, managed)
	{
		Managed *manager = lfirst(cell);

		if (manager->wanted && manager->handle == NULL &&
			(manager->started == 0 ||
			 TimestampDifferenceExceeds(manager->started, GetCurrentTimestamp(), RELAUNCH_MS)))
			start_manager(manager);
	}
}

/* Every database that takes connections and is no template. */
static void
want_all_databases(void)
{
	Relation rel;
	TableScanDesc scan;
	HeapTuple tuple;

	StartTransactionCommand();
	(void) GetTransactionSnapshot();
	rel = table_open(DatabaseRelationId, AccessShareLock);
	scan = table_beginscan_catalog(rel, 0, NULL);
	while ((tuple = heap_getnext(scan, ForwardScanDirection)) != NULL)
	{
		Form_pg_database database = (Form_pg_database) GETSTRUCT(tuple);

		if (database->datallowconn && !database->datistemplate)
			managed_of(database->oid)->wanted = true;
	}
	table_endscan(scan);
	table_close(rel, AccessShareLock);
	CommitTransactionCommand();
}

/* Takes the calls out of shared memory.  True if every database is to be tried. */
static bool
take_calls(void)
{
	Oid calls[MAX_CALLS];
	int n;
	bool overflow;

	SpinLockAcquire(&shared->mutex);
	n = shared->n_calls;
	memcpy(calls, shared->calls, sizeof(Oid) * n);
	overflow = shared->overflow;
	shared->n_calls = 0;
	shared->overflow = false;
	SpinLockRelease(&shared->mutex);
	for (int i = 0; i < n; i++)
		managed_of(calls[i])->wanted = true;
	return overflow;
}

static void
forget_latch(int code, Datum arg)
{
	SpinLockAcquire(&shared->mutex);
	shared->latch = NULL;
	SpinLockRelease(&shared->mutex);
}

void
topk_launcher_main(Datum arg)
{
	TimestampTz scanned = 0;

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, SignalHandlerForShutdownRequest);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	launcher_context = AllocSetContextCreate(TopMemoryContext, "topk launcher", ALLOCSET_DEFAULT_SIZES);
	before_shmem_exit(forget_latch, (Datum) 0);
	SpinLockAcquire(&shared->mutex);
	shared->latch = MyLatch;
	SpinLockRelease(&shared->mutex);

	while (!ShutdownRequestPending)
	{
		notice_ended();
		if (take_calls() || scanned == 0 ||
			TimestampDifferenceExceeds(scanned, GetCurrentTimestamp(), topk_database_scan_interval * 1000))
		{
			want_all_databases();
			scanned = GetCurrentTimestamp();
		}
		if (topk_enabled)
			start_wanted();
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, 1000L, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
			scanned = 0; /* it may have been off */
		}
	}
	proc_exit(1); /* 0 would mean: never again.  If the server stops, nobody starts it */
}

/*
 * host.c - signals, transactions, errors and options of the bridge's background processes (see host.h).
 *
 * SIGTERM between steps only sets a flag, so that a worker can flush what it holds; inside a step it is
 * die(), so that a step that waits for a lock or a standby never holds up a shutdown.  Nothing is lost by
 * either: what was not committed is read again.
 */
#include "postgres.h"

#include <math.h>
#include <unistd.h>

#include "access/xact.h"
#include "catalog/pg_database.h"
#include "catalog/pg_foreign_server.h"
#include "catalog/pg_user_mapping.h"
#include "commands/defrem.h"
#include "commands/extension.h"
#include "common/pg_prng.h"
#include "access/reloptions.h"
#include "executor/spi.h"
#include "foreign/foreign.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/fd.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lock.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "tcop/tcopprot.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timeout.h"

#include "host.h"

/* Fourth field of our advisory locks; those of SQL functions have 1 or 2 there. */
#define HOST_LOCK_CLASS 0x746b

#define LOOK_MS 1000 /* between looks whether the database is wanted */

static volatile sig_atomic_t in_step = false;
static bool threads_abandoned = false;

static void
handle_sigterm(SIGNAL_ARGS)
{
	if (in_step)
		die(postgres_signal_arg);
	else
		SignalHandlerForShutdownRequest(postgres_signal_arg);
}

/*
 * What a database may have been given for its users must not reach the bridge.  Names in its SQL are written
 * out, so no schema of a user's can stand in for them.
 */
static void
override_settings(void)
{
	static const char *const settings[][2] = {
		{"search_path", "pg_catalog"},
		{"default_transaction_isolation", "read committed"},
		{"default_transaction_read_only", "off"},
		{"statement_timeout", "0"},
		{"lock_timeout", "0"},
		{"idle_in_transaction_session_timeout", "0"},
		{"row_security", "off"},
		{"client_encoding", "UTF8"}, /* that of the database, in which store_letter.c copies text */
		/* in a deadlock with somebody's DDL it is a step that gives way, and is tried again */
		{"deadlock_timeout", "10ms"},
	};

	for (int i = 0; i < lengthof(settings); i++)
		SetConfigOption(settings[i][0], settings[i][1], PGC_SUSET, PGC_S_OVERRIDE);
}

/* The first callback to be registered, so the last to be called. */
static void
leave_threads(int code, Datum arg)
{
	if (threads_abandoned)
		_exit(code);
}

void
host_abandon_threads(void)
{
	threads_abandoned = true;
}

HostArgs
host_start(const char *role)
{
	HostArgs args;

	memcpy(&args, MyBgworkerEntry->bgw_extra, sizeof(args));
	on_proc_exit(leave_threads, (Datum) 0);
	pqsignal(SIGTERM, handle_sigterm);
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnectionByOid(args.database, InvalidOid, 0);

	override_settings();
	pgstat_report_appname(MyBgworkerEntry->bgw_name);
	ereport(DEBUG1, errmsg_internal("%s started for id %d", role, args.id));
	return args;
}

bool
host_should_stop(void)
{
	return ShutdownRequestPending;
}

bool
host_lock(char role, int32 id, int32 number)
{
	LOCKTAG tag;

	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, ((uint32) role << 24) | (uint32) number, (uint32) id,
						 HOST_LOCK_CLASS);
	return LockAcquire(&tag, ExclusiveLock, true, true) == LOCKACQUIRE_OK;
}

/*
 * DROP DATABASE, a rename, and CREATE DATABASE ... TEMPLATE lock the database and then wait five seconds for
 * its connections to end.  A connection that begins waits for that lock, and so does this one's successor.
 */
static void
look_at_database(void)
{
	static TimestampTz looked = 0;
	LOCKTAG tag;

	if (ShutdownRequestPending || !TimestampDifferenceExceeds(looked, GetCurrentTimestamp(), LOOK_MS))
		return;
	looked = GetCurrentTimestamp();
	SET_LOCKTAG_OBJECT(tag, InvalidOid, DatabaseRelationId, MyDatabaseId, 0);
	if (LockAcquire(&tag, RowExclusiveLock, true, true) != LOCKACQUIRE_NOT_AVAIL)
		LockRelease(&tag, RowExclusiveLock, true);
	else
	{
		ereport(DEBUG1, errmsg_internal("leaving the database, which somebody drops, renames or copies"));
		ShutdownRequestPending = true;
	}
}

void
host_check_interrupts(void)
{
	QueryCancelPending = false; /* there is no query here */
	CHECK_FOR_INTERRUPTS();
	look_at_database();
	if (ConfigReloadPending)
	{
		ConfigReloadPending = false;
		ProcessConfigFile(PGC_SIGHUP);
	}
}

void
host_wait(long ms)
{
	for (int events = 0; ms > 0 && !ShutdownRequestPending && !(events & WL_LATCH_SET); ms -= LOOK_MS)
	{
		events = WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, Min(ms, LOOK_MS),
						   PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		host_check_interrupts();
	}
	host_check_interrupts();
}

void
host_wake(int pid)
{
	PGPROC *process = BackendPidGetProc(pid);

	if (process != NULL && process->databaseId == MyDatabaseId)
		SetLatch(&process->procLatch);
}

void
host_limit_step(int64 ms)
{
	enable_timeout_after(STATEMENT_TIMEOUT, (int) Max(ms, 1));
}

static void
lift_limit(void)
{
	disable_timeout(STATEMENT_TIMEOUT, false);
	QueryCancelPending = false; /* it may have come too late */
}

/* Takes the current error out of the error system, aborts the transaction, keeps what is worth showing. */
static void
absorb_error(HostError *error, MemoryContext context)
{
	ErrorData *data;

	MemoryContextSwitchTo(context);
	data = CopyErrorData();
	FlushErrorState();
	lift_limit();
	AbortCurrentTransaction();
	MemoryContextSwitchTo(context);
	if (error != NULL)
	{
		error->sqlstate = data->sqlerrcode;
		strlcpy(error->message, data->message ? data->message : "unknown error", sizeof(error->message));
	}
	FreeErrorData(data);
}

bool
host_try(HostStep step, void *arg, HostError *error)
{
	MemoryContext context = CurrentMemoryContext;
	volatile bool ok = true; /* set after a longjmp */

	if (error != NULL)
		error->sqlstate = 0;
	in_step = true;
	PG_TRY();
	{
		SetCurrentStatementStartTimestamp();
		StartTransactionCommand();
		if (SPI_connect() != SPI_OK_CONNECT)
			elog(ERROR, "SPI_connect failed");
		PushActiveSnapshot(GetTransactionSnapshot());
		step(arg);
		lift_limit();
		SPI_finish();
		PopActiveSnapshot();
		CommitTransactionCommand();
	}
	PG_CATCH();
	{
		absorb_error(error, context);
		ok = false;
	}
	PG_END_TRY();
	in_step = false;
	MemoryContextSwitchTo(context);
	pgstat_report_stat(false);
	return ok;
}

void
host_error(HostError *error, int sqlstate, const char *format, ...)
{
	va_list args;

	error->sqlstate = sqlstate;
	va_start(args, format);
	vsnprintf(error->message, sizeof(error->message), format, args);
	va_end(args);
}

int64
host_now(void)
{
	return GetCurrentTimestamp() + HOST_EPOCH_SHIFT;
}

TimestampTz
host_to_timestamp(int64 us)
{
	Assert(us != TK_NO_TIME);
	return us - HOST_EPOCH_SHIFT;
}

int64
host_from_timestamp(TimestampTz ts)
{
	return ts + HOST_EPOCH_SHIFT;
}

/* The first line of the file that an option names, which the server's operating system user must be able to
 * read. */
static char *
read_password_file(const char *option, const char *path)
{
	FILE *file = AllocateFile(path, "r");
	char line[1024];

	if (file == NULL)
		ereport(ERROR, errcode_for_file_access(), errmsg("could not open %s \"%s\": %m", option, path));
	if (fgets(line, sizeof(line), file) == NULL)
		ereport(ERROR, errcode(ERRCODE_CONFIG_FILE_ERROR), errmsg("%s \"%s\" is empty", option, path));
	FreeFile(file);
	line[strcspn(line, "\r\n")] = '\0';
	return pstrdup(line);
}

/* The options of the user mapping of one role (InvalidOid: PUBLIC), or NIL. */
static List *
mapping_options(Oid role, Oid server, bool *found)
{
	HeapTuple tuple =
		SearchSysCache2(USERMAPPINGUSERSERVER, ObjectIdGetDatum(role), ObjectIdGetDatum(server));
	Datum options;
	bool isnull;
	List *result = NIL;

	*found = HeapTupleIsValid(tuple);
	if (!*found)
		return NIL;
	options = SysCacheGetAttr(USERMAPPINGUSERSERVER, tuple, Anum_pg_user_mapping_umoptions, &isnull);
	if (!isnull)
		result = untransformRelOptions(options);
	ReleaseSysCache(tuple);
	return result;
}

/* The options with a password put before them if they name its file. */
static List *
with_password(List *mapping, const char *name)
{
	char *option = psprintf("%s_file", name);
	const char *path = host_option(mapping, option, NULL);
	Node *password;

	if (path == NULL)
		return mapping;
	password = (Node *) makeString(read_password_file(option, path));
	return lcons(makeDefElem(pstrdup(name), password, -1), mapping);
}

List *
host_server_options(const char *server_name, Oid owner)
{
	ForeignServer *server = GetForeignServerByName(server_name, true);
	List *mapping;
	bool found;

	if (server == NULL)
		ereport(ERROR, errcode(ERRCODE_UNDEFINED_OBJECT),
				errmsg("server \"%s\" does not exist", server_name));
	mapping = mapping_options(owner, server->serverid, &found);
	if (!found)
		mapping = mapping_options(InvalidOid, server->serverid, &found);
	mapping = with_password(with_password(mapping, "password"), "sentinel_password");
	return list_concat(mapping, server->options);
}

const char *
host_option(List *options, const char *name, const char *default_value)
{
	ListCell *cell;

	foreach (cell, options)
	{
		DefElem *option = lfirst_node(DefElem, cell);

		if (strcmp(option->defname, name) == 0)
			return defGetString(option);
	}
	return default_value;
}

bool
host_extension_exists(void)
{
	return OidIsValid(get_extension_oid("topk", true));
}

int
host_setting(const char *name)
{
	const char *value = GetConfigOption(name, true, false);

	if (value == NULL)
		ereport(ERROR, errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("setting \"%s\" is not defined", name),
				errhint("Add topk_bridge to shared_preload_libraries and restart the server."));
	return atoi(value);
}

bool
host_setting_bool(const char *name)
{
	const char *value = GetConfigOption(name, true, false);

	return value != NULL && strcmp(value, "on") == 0;
}

long
host_backoff(int failures, long most)
{
	double ms = 1000.0 * ldexp(1.0, Min(failures - 1, 16));

	if (ms > most)
		ms = most;
	return (long) (ms * (0.75 + 0.25 * pg_prng_double(&pg_global_prng_state)));
}

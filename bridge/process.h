/*
 * process.h - how the launcher and the managers start a process.  Inline, since they are in different
 * libraries.
 */
#ifndef TK_PROCESS_H
#define TK_PROCESS_H

#include "postgres.h"

#include "miscadmin.h"
#include "postmaster/bgworker.h"

#include "host.h"

/*
 * Starts one of the processes of topk_worker.so, which the postmaster never starts again by itself and whose
 * end wakes the caller.  The handle is made in `context`.  NULL: no background worker slot is free.
 */
static inline BackgroundWorkerHandle *
process_start(const char *type, const char *function, const char *name, const HostArgs *args,
			  MemoryContext context)
{
	BackgroundWorker worker = {0};
	BackgroundWorkerHandle *handle;
	MemoryContext old = MemoryContextSwitchTo(context);
	bool started;

	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	worker.bgw_notify_pid = MyProcPid;
	strlcpy(worker.bgw_library_name, "topk_worker", BGW_MAXLEN);
	strlcpy(worker.bgw_function_name, function, BGW_MAXLEN);
	strlcpy(worker.bgw_name, name, BGW_MAXLEN);
	strlcpy(worker.bgw_type, type, BGW_MAXLEN);
	memcpy(worker.bgw_extra, args, sizeof(*args));
	started = RegisterDynamicBackgroundWorker(&worker, &handle);
	MemoryContextSwitchTo(old);
	return started ? handle : NULL;
}

#endif

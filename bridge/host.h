/*
 * host.h - what the bridge's background processes have in common.
 *
 * A host (manager, worker, closer, publisher) is a background worker that is connected to one database.  It
 * never crashes on bad input or a lost server: each piece of database work is one step, a function that runs
 * in a transaction of its own under host_try, which turns an error into a HostError after a clean abort.  No
 * network call may be made inside a step.
 */
#ifndef TK_HOST_H
#define TK_HOST_H

#include "postgres.h"

#include "nodes/pg_list.h"
#include "utils/timestamp.h"

#include "event_time.h"

/* What the starter passes in bgw_extra. */
typedef struct HostArgs
{
	Oid database;
	int32 id;     /* source_id, sink_id of a publisher, or replay_id */
	int32 number; /* a worker's number within its source; of a probe, the handle of its segment */
} HostArgs;

/* Length of the messages that are kept in the statistics. */
#define HOST_ERROR_LEN 512

typedef struct HostError
{
	int sqlstate; /* 0: no error */
	char message[HOST_ERROR_LEN];
} HostError;

typedef void (*HostStep)(void *arg);

/* The microseconds between the epochs of Unix and PostgreSQL. */
#define HOST_EPOCH_SHIFT ((POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY)

/* Signal handlers, connection, names.  `role` is the bgw_type. */
extern HostArgs host_start(const char *role);

/*
 * Makes this process the only one of its role ('m', 'w', 'c', 'p', 'r'), id and number in this database,
 * until it ends.  False: another one runs.
 */
extern bool host_lock(char role, int32 id, int32 number);

/* Threads of a library could not be ended: when the process ends, no destructor may run beside them. */
extern void host_abandon_threads(void);

/* True once the process was asked to stop.  (SIGTERM inside a step aborts the step and exits.) */
extern bool host_should_stop(void);

/*
 * Reloads the settings if asked to, lets other interrupts in, and once a second looks whether somebody wants
 * to drop, rename or copy the database; then host_should_stop().  Call between steps, each second or so.
 */
extern void host_check_interrupts(void);

/* Sleeps until the latch is set or `ms` have passed, then host_check_interrupts. */
extern void host_wait(long ms);

/*
 * Ends the host_wait of another process of this database.  A pid that is gone, or that another process of it
 * has by now, does no harm: whoever waits for a latch looks why it was set.
 */
extern void host_wake(int pid);

/*
 * Runs step(arg) in a transaction, connected to SPI.  On an error: aborts, fills *error, returns false; what
 * was allocated in the transaction's contexts is gone.  `error` may be NULL.
 */
extern bool host_try(HostStep step, void *arg, HostError *error);

/*
 * Inside a step: aborts it with ERRCODE_QUERY_CANCELED unless it is done, but for the commit, within `ms`.  A
 * commit is never cut short: it may wait for a standby, and must not be taken for done before.
 */
extern void host_limit_step(int64 ms);

/* Fills an error that did not come from the database.  printf-like. */
extern void host_error(HostError *error, int sqlstate, const char *format, ...) pg_attribute_printf(3, 4);

/* Microseconds since 1970: the wall clock. */
extern int64 host_now(void);

/* Between the two epochs; TK_NO_TIME has no timestamp. */
extern TimestampTz host_to_timestamp(int64 us);
extern int64 host_from_timestamp(TimestampTz ts);

/*
 * Inside a step: the options of a foreign server and of the user mapping of `owner` (else of PUBLIC), as
 * DefElem of strings in the current memory context.  A password_file is read here and given as password, a
 * sentinel_password_file likewise.  An unknown server is an error.
 */
extern List *host_server_options(const char *server, Oid owner);

/* The value of an option, or the default. */
extern const char *host_option(List *options, const char *name, const char *default_value);

/* Inside a step: false if the extension is not installed (any more) in this database. */
extern bool host_extension_exists(void);

/* A setting of the bridge, which the preloaded library defines: an integer, in its unit. */
extern int host_setting(const char *name);
extern bool host_setting_bool(const char *name);

/* 1 s, 2 s, 4 s ... up to `most` ms, with a quarter of jitter. */
extern long host_backoff(int failures, long most);

/* Entry points, named in bgw_function_name. */
extern PGDLLEXPORT void topk_manager_main(Datum arg);
extern PGDLLEXPORT void topk_worker_main(Datum arg);
extern PGDLLEXPORT void topk_closer_main(Datum arg);
extern PGDLLEXPORT void topk_publisher_main(Datum arg);
extern PGDLLEXPORT void topk_probe_main(Datum arg);
extern PGDLLEXPORT void topk_replay_main(Datum arg);

#endif

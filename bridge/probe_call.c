/*
 * probe_call.c - topk.probe(): asks a short-lived worker and waits for its answers (see probe.h).
 *
 * The caller's rights are checked before, by what calls this (sql/bridge_probe.sql): the worker reads the
 * configuration and the secrets of the source's owner as a superuser.  It sees committed rows only, and no
 * transaction of the caller's is open in it.
 *
 * Waiting is interruptible.  Whatever ends it before the last answer (an error, a cancel, the timeout) ends
 * the worker too: by SIGTERM, and because the segment, which belongs to the transaction, is gone.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/dsm.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "storage/shm_mq.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "bridge.h"
#include "host.h"
#include "probe.h"
#include "process.h"

PG_FUNCTION_INFO_V1(topk_probe);

/* The worker gives up this much earlier, so that its reason is what the caller gets to see. */
#define ANSWER_MS(timeout_ms) Min((timeout_ms) / 4, 1500)

typedef struct ProbeCall
{
	dsm_segment *segment;
	BackgroundWorkerHandle *worker;
	shm_mq_handle *queue;
	int timeout_ms;
	TimestampTz deadline;
} ProbeCall;

static ProbeKind
kind_named(const char *name)
{
	if (strcmp(name, "check") == 0)
		return PROBE_CHECK;
	if (strcmp(name, "preview") == 0)
		return PROBE_PREVIEW;
	if (strcmp(name, "test") == 0)
		return PROBE_TEST;
	ereport(ERROR, errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("unknown kind of probe: \"%s\"", name));
}

static ProbeStart
start_named(const char *name)
{
	if (strcmp(name, "earliest") == 0)
		return PROBE_EARLIEST;
	if (strcmp(name, "next") == 0)
		return PROBE_NEXT;
	if (strcmp(name, "latest") == 0)
		return PROBE_LATEST;
	ereport(ERROR, errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			errmsg("start_at must be earliest, next or latest"));
}

static void
check_can_run(void)
{
	if (RecoveryInProgress())
		ereport(ERROR, errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				errmsg("a standby cannot start the worker that this needs"),
				errhint("Ask the primary server."));
}

/* Makes the segment: the request, with its payload, and an empty queue that this backend reads. */
static void
make_segment(ProbeCall *call, const ProbeRequest *request, bytea *payload)
{
	Size payload_len = payload == NULL ? 0 : VARSIZE_ANY_EXHDR(payload);
	Size queue_at = MAXALIGN(sizeof(ProbeRequest) + payload_len);
	ProbeRequest *shared;
	shm_mq *queue;

	call->segment = dsm_create(queue_at + PROBE_QUEUE_BYTES, 0);
	shared = dsm_segment_address(call->segment);
	*shared = *request;
	shared->payload_len = payload_len;
	shared->queue_at = queue_at;
	if (payload_len > 0)
		memcpy(probe_payload(shared), VARDATA_ANY(payload), payload_len);
	queue = shm_mq_create((char *) shared + queue_at, PROBE_QUEUE_BYTES);
	shm_mq_set_receiver(queue, MyProc);
}

static void
start_worker(ProbeCall *call, int32 source_id)
{
	HostArgs args = {.database = MyDatabaseId, .id = source_id, .number = dsm_segment_handle(call->segment)};
	ProbeRequest *shared = dsm_segment_address(call->segment);

	call->worker = process_start("topk probe", "topk_probe_main", "topk probe", &args, CurrentMemoryContext);
	if (call->worker == NULL)
		ereport(ERROR, errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				errmsg("no background worker slot is free for a probe"),
				errhint("Try again, or raise max_worker_processes."));
	call->queue = shm_mq_attach((shm_mq *) ((char *) shared + shared->queue_at), call->segment, call->worker);
}

static void
wait_for_answer(const ProbeCall *call)
{
	long ms = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), call->deadline);

	if (ms <= 0)
		ereport(ERROR, errcode(ERRCODE_QUERY_CANCELED),
				errmsg("the probe did not answer within %d ms", call->timeout_ms),
				errhint("The server's log may say why."));
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, ms, PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
}

/* The next answer: its kind, and its text with a NUL behind it. */
static char
next_answer(ProbeCall *call, char **text)
{
	for (;;)
	{
		Size len;
		void *data;

		switch (shm_mq_receive(call->queue, &len, &data, true))
		{
			case SHM_MQ_SUCCESS:
				*text = pnstrdup((char *) data + 1, len - 1);
				return *(char *) data;
			case SHM_MQ_WOULD_BLOCK:
				wait_for_answer(call);
				break;
			case SHM_MQ_DETACHED:
				ereport(ERROR, errcode(ERRCODE_INTERNAL_ERROR), errmsg("the probe ended without an answer"),
						errhint("The server's log may say why."));
		}
	}
}

static void
report_error(const char *text)
{
	int sqlstate = MAKE_SQLSTATE(text[0], text[1], text[2], text[3], text[4]);

	ereport(ERROR, errcode(sqlstate), errmsg_internal("%s", text + 5));
}

static void
store_row(ReturnSetInfo *result, char *json)
{
	Datum row = DirectFunctionCall1(jsonb_in, CStringGetDatum(json));
	bool isnull = false;

	tuplestore_putvalues(result->setResult, result->setDesc, &row, &isnull);
	pfree(DatumGetPointer(row));
}

static void
take_answers(ProbeCall *call, ReturnSetInfo *result)
{
	char *text;
	char kind;

	while ((kind = next_answer(call, &text)) != PROBE_END)
	{
		if (kind == PROBE_ERROR)
			report_error(text);
		store_row(result, text);
		pfree(text);
	}
}

/* topk.probe(kind text, source_id integer, payload bytea, n integer, start_at text, timeout_ms integer) */
Datum
topk_probe(PG_FUNCTION_ARGS)
{
	ProbeCall call = {0};
	ProbeRequest request = {0};
	bytea *payload = PG_ARGISNULL(2) ? NULL : PG_GETARG_BYTEA_PP(2);

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1) || PG_ARGISNULL(3) || PG_ARGISNULL(4) || PG_ARGISNULL(5))
		ereport(ERROR, errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("only the payload may be NULL"));
	check_can_run();
	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	call.timeout_ms = PG_GETARG_INT32(5);
	call.deadline = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), call.timeout_ms);
	request.kind = kind_named(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	request.start = start_named(text_to_cstring(PG_GETARG_TEXT_PP(4)));
	request.n = PG_GETARG_INT32(3);
	request.tombstone = payload == NULL;
	request.deadline = call.deadline + HOST_EPOCH_SHIFT - ANSWER_MS(call.timeout_ms) * INT64CONST(1000);
	make_segment(&call, &request, payload);
	PG_TRY();
	{
		start_worker(&call, PG_GETARG_INT32(1));
		take_answers(&call, (ReturnSetInfo *) fcinfo->resultinfo);
	}
	PG_CATCH();
	{
		if (call.worker != NULL)
			TerminateBackgroundWorker(call.worker);
		PG_RE_THROW();
	}
	PG_END_TRY();
	dsm_detach(call.segment);
	return (Datum) 0;
}

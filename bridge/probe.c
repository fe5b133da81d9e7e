/*
 * probe.c - the short-lived process that answers topk.probe() (see probe.h).
 *
 * It reads the source's configuration in one step, as a worker's session does, and then looks at Kafka with
 * no transaction open.  It claims nothing, commits nothing and writes nothing, so that it can run beside
 * workers, and for a source that is paused or has no rules yet.  What a message yields is decided by the same
 * code as in a worker: tk_extract.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "storage/dsm.h"
#include "storage/ipc.h"
#include "storage/proc.h"
#include "utils/memutils.h"

#include "probe_worker.h"
#include "spi_util.h"

/* ---------------------------------------------------------------- answers */

void
probe_send(Probe *probe, char kind, const char *text, int len)
{
	char *message = palloc(len + 1);
	shm_mq_result result;

	message[0] = kind;
	memcpy(message + 1, text, len);
	result = shm_mq_send(probe->queue, len + 1, message, false, true);
	pfree(message);
	if (result != SHM_MQ_SUCCESS)
		proc_exit(0);
}

static void
send_error(Probe *probe)
{
	const char *message = psprintf("%s%s", unpack_sql_state(probe->error.sqlstate), probe->error.message);

	probe_send(probe, PROBE_ERROR, message, strlen(message));
}

/* Why a source cannot be reached is what a check is asked for, and no error. */
static void
send_reason(Probe *probe)
{
	StringInfoData row;

	initStringInfo(&row);
	appendStringInfoChar(&row, '{');
	probe_json_name(&row, "reason");
	probe_json_text(&row, probe->error.message, strlen(probe->error.message));
	appendStringInfoChar(&row, '}');
	probe_send(probe, PROBE_ROW, row.data, row.len);
}

bool
probe_fail(Probe *probe, const ConsumerError *error)
{
	const char *separator = probe->last_log[0] != '\0' ? "; " : "";

	host_error(&probe->error,
			   error->fault == CONSUMER_CONFIG ? ERRCODE_INVALID_PARAMETER_VALUE : ERRCODE_CONNECTION_FAILURE,
			   "%s%s%s", error->message, separator, probe->last_log);
	return false;
}

int
probe_time_left(const Probe *probe, int most)
{
	int64 ms = (probe->request->deadline - host_now()) / 1000;

	if (host_should_stop() || ms <= 0)
		return 0;
	return (int) Min(ms, most);
}

/* ---------------------------------------------------------------- the configuration */

static void
load_watermark(Probe *probe)
{
	static SpiStatement statement = {"SELECT topk.source_watermark($1)", 1, {INT4OID}, NULL};
	Datum values[] = {Int32GetDatum(probe->args.id)};

	spi_run(&statement, values, NULL);
	if (!spi_is_null(0, 1))
		probe->watermark = host_from_timestamp(DatumGetTimestampTz(spi_datum(0, 1)));
}

static void
load_next_offsets(Probe *probe)
{
	static SpiStatement statement = {
		"SELECT partition, next_offset FROM topk.partition WHERE source_id = $1 ORDER BY partition DESC",
		1,
		{INT4OID},
		NULL};
	Datum values[] = {Int32GetDatum(probe->args.id)};
	uint64 n = spi_run(&statement, values, NULL);

	if (n == 0)
		return;
	probe->n_next_offsets = spi_int32(0, 1) + 1;
	probe->next_offsets = MemoryContextAlloc(probe->context, sizeof(int64) * probe->n_next_offsets);
	for (int i = 0; i < probe->n_next_offsets; i++)
		probe->next_offsets[i] = -1;
	for (uint64 i = 0; i < n; i++)
		probe->next_offsets[spi_int32(i, 1)] = spi_int64(i, 2);
}

/* A step. */
static void
load(void *arg)
{
	Probe *probe = arg;

	probe->config = config_load(probe->args.id, probe->context);
	if (probe->config == NULL)
		ereport(ERROR, errcode(ERRCODE_UNDEFINED_OBJECT),
				errmsg("the source is not there, or not committed yet"));
	if (probe->request->kind != PROBE_TEST)
		config_load_server(probe->config, probe->context);
	load_watermark(probe);
	load_next_offsets(probe);
}

/* ---------------------------------------------------------------- what a payload yields */

static bool
test(Probe *probe)
{
	const ProbeRequest *request = probe->request;
	int64 now = host_now();
	StringInfoData row;
	TkEvent event;

	tk_extract(probe->extractor, request->tombstone ? NULL : probe_payload(request), request->payload_len,
			   now, now, &event);
	initStringInfo(&row);
	appendStringInfoChar(&row, '{');
	probe_json_event(&row, probe, &event);
	appendStringInfoChar(&row, '}');
	probe_send(probe, PROBE_ROW, row.data, row.len);
	return true;
}

/* ---------------------------------------------------------------- the process */

/* False: the backend has gone. */
static bool
attach(Probe *probe)
{
	dsm_segment *segment = dsm_attach((dsm_handle) probe->args.number);
	shm_mq *queue;

	if (segment == NULL)
		return false;
	probe->request = dsm_segment_address(segment);
	queue = (shm_mq *) ((char *) dsm_segment_address(segment) + probe->request->queue_at);
	shm_mq_set_sender(queue, MyProc);
	probe->queue = shm_mq_attach(queue, segment, NULL);
	return true;
}

static bool
answer(Probe *probe)
{
	if (!host_try(load, probe, &probe->error))
		return false;
	probe->extractor = tk_extractor_create(&probe->config->extract);
	if (probe->extractor == NULL)
	{
		host_error(&probe->error, ERRCODE_OUT_OF_MEMORY, "out of memory for a probe");
		return false;
	}
	switch (probe->request->kind)
	{
		case PROBE_CHECK:
			return probe_check(probe);
		case PROBE_PREVIEW:
			return probe_preview(probe);
		case PROBE_TEST:
			return test(probe);
	}
	return true;
}

/* librdkafka's threads must be gone before the process is. */
static void
close_at_exit(int code, Datum arg)
{
	Probe *probe = (Probe *) DatumGetPointer(arg);

	if (!consumer_close(probe->consumer))
		host_abandon_threads();
	probe->consumer = NULL;
}

void
topk_probe_main(Datum arg)
{
	Probe *probe = MemoryContextAllocZero(TopMemoryContext, sizeof(Probe));

	probe->args = host_start("topk probe");
	probe->context = AllocSetContextCreate(TopMemoryContext, "topk probe", ALLOCSET_DEFAULT_SIZES);
	probe->watermark = TK_NO_TIME;
	MemoryContextSwitchTo(probe->context);
	before_shmem_exit(close_at_exit, PointerGetDatum(probe));
	if (!attach(probe))
		proc_exit(0);
	if (!answer(probe))
	{
		if (probe->request->kind != PROBE_CHECK)
		{
			send_error(probe);
			proc_exit(0);
		}
		send_reason(probe);
	}
	probe_send(probe, PROBE_END, "", 0);
	proc_exit(0);
}

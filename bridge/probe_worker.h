/*
 * probe_worker.h - what the files of the probe's process share.
 */
#ifndef TK_PROBE_WORKER_H
#define TK_PROBE_WORKER_H

#include "postgres.h"

#include "lib/stringinfo.h"
#include "storage/shm_mq.h"

#include "config.h"
#include "consumer.h"
#include "host.h"
#include "probe.h"

typedef struct Probe
{
	HostArgs args;
	MemoryContext context; /* of the process; all lives here until it ends */
	const ProbeRequest *request;
	shm_mq_handle *queue;
	SourceConfig *config;
	int64 watermark;     /* of the source; TK_NO_TIME: none */
	int64 *next_offsets; /* stored, by partition; -1: none */
	int n_next_offsets;
	TkExtractor *extractor;
	Consumer *consumer;
	char last_log[256]; /* the best reason that librdkafka gave for not being connected */
	HostError error;
} Probe;

/* ---- probe.c ---- */

/* Sends an answer.  Ends the process if nobody listens any more. */
extern void probe_send(Probe *probe, char kind, const char *text, int len);

/* Fails with what the consumer said: false, with probe->error. */
extern bool probe_fail(Probe *probe, const ConsumerError *error);

/* Milliseconds until the deadline, or until the process was asked to stop; at most `most`.  0: no time left.
 */
extern int probe_time_left(const Probe *probe, int most);

/* ---- probe_kafka.c: true, or false with probe->error ---- */

extern bool probe_check(Probe *probe);
extern bool probe_preview(Probe *probe);

/* ---- probe_json.c ---- */

/* Appends a string of UTF-8 as JSON, or null if data is NULL. */
extern void probe_json_text(StringInfo out, const char *data, size_t len);

/* Appends "name": in front of a value, and a comma before it if there is one before. */
extern void probe_json_name(StringInfo out, const char *name);

/* Appends what a message yields, as members of an object: outcome, reason, lateness, tenant, time, items. */
extern void probe_json_event(StringInfo out, const Probe *probe, const TkEvent *event);

#endif

/*
 * probe.h - what a backend and the short-lived worker that answers for it say to one another.
 *
 * No ordinary backend may map librdkafka or simdjson, so topk.probe() (probe_call.c, in topk_bridge.so)
 * starts a dynamic background worker (probe.c, in topk_worker.so) that does the work and ends.  They share a
 * segment:
 *
 *     +--------------+---------+---------------------------+
 *     | ProbeRequest | payload | (aligned) shm_mq, answers |
 *     +--------------+---------+---------------------------+
 *
 * An answer is a message of one kind byte and its text: rows, then an end or an error.  A queue that is given
 * up without either means that the worker died.
 */
#ifndef TK_PROBE_H
#define TK_PROBE_H

#include "postgres.h"

#define PROBE_QUEUE_BYTES (64 * 1024)

typedef enum ProbeKind
{
	PROBE_CHECK,   /* can the source be reached?  a row for each partition */
	PROBE_PREVIEW, /* some of its messages, a row each, and what they would yield */
	PROBE_TEST     /* what the payload would yield: one row */
} ProbeKind;

typedef enum ProbeStart
{
	PROBE_EARLIEST, /* the first messages of each partition */
	PROBE_NEXT,     /* those that will be read next */
	PROBE_LATEST    /* the last ones */
} ProbeStart;

typedef struct ProbeRequest
{
	ProbeKind kind;
	ProbeStart start; /* of a preview */
	int n;            /* messages wanted by a preview */
	int64 deadline;   /* us since 1970; the worker gives its reason before */
	bool tombstone;   /* test a message without a payload */
	Size payload_len;
	Size queue_at; /* offset of the queue in the segment */
} ProbeRequest;

static inline char *
probe_payload(const ProbeRequest *request)
{
	return (char *) (request + 1);
}

/* Kinds of answers. */
#define PROBE_ROW 'r'   /* a JSON object */
#define PROBE_ERROR 'e' /* five characters of SQLSTATE, and a message */
#define PROBE_END 'd'

#endif

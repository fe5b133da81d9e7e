/*
 * publish_wake.h - tells the publishers of a source that something was committed, so that they need not poll
 * often.
 *
 * Who flushes or closes learns their pids now and then and sets their latches after its commit.  Only a
 * saving of time: a publisher that has just begun, or that nobody could reach, looks by itself.
 */
#ifndef TK_PUBLISH_WAKE_H
#define TK_PUBLISH_WAKE_H

#include "postgres.h"

/* In SQL: the pids of the publishers of source $1. */
#define PUBLISH_WAKE_PIDS                                                                                    \
	"ARRAY(SELECT p.pid FROM topk.publisher p JOIN topk.sink k USING (sink_id) "                             \
	"WHERE k.source_id = $1 AND k.enabled AND p.pid IS NOT NULL)"

/* Remembers what PUBLISH_WAKE_PIDS gave, until the next time. */
extern void publish_wake_learn(Datum pids);

/* After a commit. */
extern void publish_wake(void);

#endif

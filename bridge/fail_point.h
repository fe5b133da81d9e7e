/*
 * fail_point.h - named places at which a test build of topk_worker.so can be made to crash, to fail or to
 * wait.
 *
 * `make fail-points` builds that variant (build/fail_points/topk_worker.so, with TOPK_FAIL_POINTS defined); a
 * server finds it first with dynamic_library_path = '.../build/fail_points:$libdir'.  Release builds hold
 * neither the names nor the code.
 *
 * What is to happen stands in the file topk.fail_points of the data directory, which is read each time a fail
 * point is passed, one line for each:
 *
 *     name=action[*times]        flush_before_commit=crash*1
 *
 * Actions: crash (SIGKILL to itself, so that the server recovers), error (an ERROR; inside a step it aborts
 * the transaction, elsewhere it ends the process), exit (FATAL), delay:ms.  Without *times it happens always.
 * `times` is counted down in the file before the action, and its line removed after the last, so that a count
 * survives the crash, and a test can tell from the file that a fail point was reached.
 *
 * The names, in the order in which a pipeline passes them:
 *
 *     claim_before_commit         a worker takes its partitions
 *     claim_after_commit
 *     intern_before_commit        ids of new families, values and lists
 *     intern_after_commit
 *     flush_begin                 before the first statement of a flush
 *     flush_after_partitions      offsets are written, panes are not
 *     flush_before_commit
 *     flush_after_commit          committed, but the worker's memory does not know
 *     flush_after_kafka_commit    Kafka's copy of the offsets has been sent too
 *     leaves_before_commit        leaves of topk.win made
 *     close_before_commit         panes moved into windows
 *     close_after_commit
 *     retention_before_commit     a leaf rolled up into the archive and dropped
 *     retention_after_commit
 *     publish_before_write        the plan is read, nothing is sent
 *     publish_after_write         keys are in Redis, the marker is not
 *     publish_after_marker        the marker is, topk.publication is not
 *     publish_before_commit       topk.publication and the status are written
 *     publish_after_commit
 */
#ifndef TK_FAIL_POINT_H
#define TK_FAIL_POINT_H

#ifdef TOPK_FAIL_POINTS
extern void fail_point(const char *name);
#define FAIL_POINT(name) fail_point(name)
#else
#define FAIL_POINT(name) ((void) 0)
#endif

#endif

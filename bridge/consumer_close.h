/*
 * consumer_close.h - the end of a consumer.  A part of the edge to Kafka; nobody else includes it.
 */
#ifndef TK_CONSUMER_CLOSE_H
#define TK_CONSUMER_CLOSE_H

#include <stdbool.h>

struct rd_kafka_s;

/* Destroys a handle.  False: that takes longer than seconds, or could not be begun; its threads may live on,
 * and so must what they use.
 */
bool consumer_destroy_in_time(struct rd_kafka_s *handle);

#endif

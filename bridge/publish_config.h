/*
 * publish_config.h - where a sink's Redis is, from the options of its server and user mapping.
 */
#ifndef TK_PUBLISH_CONFIG_H
#define TK_PUBLISH_CONFIG_H

#include "postgres.h"

#include "publish_store.h"
#include "redis_client.h"

/* Inside a step.  The config points into the current memory context. */
extern void publish_config_read(const PublishSink *sink, RedisClientConfig *config);

/* "single", "cluster" or "sentinel". */
extern const char *publish_config_mode(const RedisClientConfig *config);

#endif

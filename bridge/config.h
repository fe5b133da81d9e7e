/*
 * config.h - a source's configuration, as one worker session applies it.
 */
#ifndef TK_CONFIG_H
#define TK_CONFIG_H

#include "postgres.h"

#include "extract.h"
#include "property.h"
#include "tenant.h"

typedef struct SourceConfig
{
	int32 source_id;
	int64 version;
	char *name;
	char *topic;
	bool runs; /* enabled, and has a rule */
	int workers;
	int64 flush_interval; /* us */
	uint32 k;
	uint32 capacity;
	TkExtractConfig extract;
	TkLimits limits; /* its numbers of partitions are the session's */
	int n_properties;
	Property *properties; /* for consumer_open; holds secrets, never shown */
} SourceConfig;

/*
 * Inside a step: reads the configuration into `context`, where all of it lives.  NULL: there is no such
 * source.  What cannot work (a server that is gone, a path that does not parse) is an error.
 */
extern SourceConfig *config_load(int32 source_id, MemoryContext context);

#endif

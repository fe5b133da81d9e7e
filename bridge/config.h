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
	char *server;   /* the foreign server's name */
	Oid owner;      /* whose user mapping is used */
	bool runs;      /* enabled, and has a rule */
	bool keep_late; /* too late events go to topk.late_event */
	int workers;
	int64 flush_interval; /* us */
	int64 flush_timeout;  /* us */
	int max_flush_failures;
	int64 retry_interval; /* us */
	double max_dead_letter_share;
	uint32 k;
	uint32 capacity;
	TkExtractConfig extract;
	TkLimits limits; /* its numbers of partitions are the session's */
	int n_properties;
	Property *properties; /* for consumer_open; NULL: not loaded.  Holds secrets, never shown */
} SourceConfig;

/*
 * Inside a step: reads the configuration into `context`, where all of it lives.  NULL: there is no such
 * source.  What cannot work (a server that is gone, a path that does not parse) is an error.  The properties
 * are loaded if the source runs.
 */
extern SourceConfig *config_load(int32 source_id, MemoryContext context);

/* Inside a step: loads the properties also of a source that does not run. */
extern void config_load_server(SourceConfig *config, MemoryContext context);

#endif

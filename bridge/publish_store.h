/*
 * publish_store.h - what the publisher reads from and writes to the database.  All of it inside a step
 * (host.h).
 *
 * What a Redis should hold is decided by SQL (sql/bridge_redis.sql); this only carries it.  The current
 * memory context is the caller's again when a function returns.
 */
#ifndef TK_PUBLISH_STORE_H
#define TK_PUBLISH_STORE_H

#include "postgres.h"

#include "host.h"
#include "mirror.h"

/* The sink as configured. */
typedef struct PublishSink
{
	char *name;
	char *server;
	Oid owner;
	int64 incarnation;
	int64 version; /* differs when the sink's row does */
	int64 address; /* differs when the options of the server or the user mapping do */
	int64 keys_published;
	int64 sweep_interval; /* us; 0: no sweeps */
} PublishSink;

/* A window that the sink should hold. */
typedef struct PublishWindow
{
	int32 window_id;
	TimestampTz start;
	bool final;
	bool saved; /* as final, at its present revision, says topk.publication */
	int32 revision;
	int64 expire_at; /* us since 1970, or MIRROR_NEVER */
	int64 tag;       /* differs when what the window holds does */
} PublishWindow;

/* What topk.publisher tells. */
typedef struct PublishStatus
{
	const char *state;
	const char *error; /* NULL: none */
	int64 keys_published;
	bool published;      /* something, since the last time */
	const char *mode;    /* single, cluster, sentinel */
	const char *address; /* NULL: not known */
	int n_waiting;       /* windows with changes that Redis has not got */
	int64 waiting_since; /* us since 1970; 0: none waits */
	int64 resynced_at;   /* us since 1970; 0: not by this process */
	int64 n_lost;        /* keys that Redis had lost, since the last time */
} PublishStatus;

/* Gets each key that is read.  The key's memory is gone afterwards. */
typedef void (*PublishKeyReader)(void *arg, const MirrorKey *key);

/* False if the sink, or the extension, is gone or disabled.  The texts are in `context`. */
extern bool publish_store_read_sink(int32 sink_id, PublishSink *sink, MemoryContext context);

/* An array in `context`: final windows first, newest first. */
extern int publish_store_read_windows(int32 sink_id, PublishWindow **windows, MemoryContext context);

/* Orders what is read by later calls of the same step after all that was read under smaller numbers. */
extern int64 publish_store_draw_sequence(void);

extern void publish_store_read_window(int32 sink_id, const PublishWindow *window, PublishKeyReader reader,
									  void *arg);
extern void publish_store_read_global(int32 sink_id, PublishKeyReader reader, void *arg);
extern void publish_store_read_items(int32 sink_id, PublishKeyReader reader, void *arg);

/* Notes that the sink holds these final windows. */
extern void publish_store_save_windows(int32 sink_id, const PublishWindow *const *windows, int n);

/* The sink's Redis is empty or another one: it holds no window. */
extern void publish_store_forget_windows(int32 sink_id);

extern void publish_store_save_status(int32 sink_id, const PublishStatus *status);

#endif

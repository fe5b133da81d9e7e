/*
 * publish_memory.h - what a publisher believes that its Redis holds.
 *
 * Only a saving: what it does not know is published (again).  Keys belong to groups, which are read as a
 * whole: a window, the global lists, the items.  A key is known by a digest of its contents, a window by the
 * change tag that it was last published with.  Bounded: beyond MEMORY_MAX_KEYS, further keys are not
 * remembered.
 */
#ifndef TK_PUBLISH_MEMORY_H
#define TK_PUBLISH_MEMORY_H

#include "postgres.h"

#include "nodes/pg_list.h"

#include "mirror.h"

#define MEMORY_MAX_KEYS 262144

typedef struct PublishMemory PublishMemory;

/* Names a group. */
typedef struct GroupName
{
	int64 window_id; /* 64 bits wide, so that there is no padding: it is hashed as bytes */
	int64 start;
} GroupName;

#define GLOBAL_GROUP ((GroupName){-1, 0})
#define ITEM_GROUP ((GroupName){-2, 0})
#define INDEX_GROUP ((GroupName){-3, 0}) /* the list of item keys that is kept in Redis */

/* A key as it was last written. */
typedef struct KeyNote
{
	uint64 id;     /* of the hash's name */
	uint64 digest; /* 0: unknown contents */
	int64 expire_at;
	int64 sequence; /* under which it was written, with so many ... */
	uint32 n_fields;
	uint32 n_members;
	uint32 reading; /* of its group, that it was last seen in */
	struct GroupNote *group;
	struct KeyNote *next; /* of the group */
	MirrorKey names;      /* without contents; owned by the note */
} KeyNote;

typedef struct GroupNote
{
	GroupName name;
	bool sent;  /* completely, by this process, at `sent_at`, with the tag `tag` */
	bool stale; /* Redis may hold something else */
	int64 tag;
	int64 sent_at;   /* us since 1970 */
	int64 expire_at; /* of its keys in Redis, as far as known */
	int64 due_since; /* when a change was noticed that Redis has not got; 0: none */
	int64 looked_at; /* when Redis was last known to hold its keys; 0: not by this process */
	uint32 listing;  /* of windows, that it was last seen in */
	KeyNote *keys;
} GroupNote;

extern PublishMemory *publish_memory_create(MemoryContext parent);

/* Redis may hold something else under all these keys, or nothing. */
extern void publish_memory_distrust(PublishMemory *memory);

/* A number for a listing or a reading that no earlier one had. */
extern uint32 publish_memory_next(PublishMemory *memory);

/* The note of a group, made if there is none; *found tells. */
extern GroupNote *publish_memory_group(PublishMemory *memory, GroupName name, bool *found);

/* The windows that were not in a listing: a List of GroupNote in the current memory context. */
extern List *publish_memory_unlisted(PublishMemory *memory, uint32 listing);

/* The groups that were looked at before a time, the longest unseen first. */
extern List *publish_memory_unseen(PublishMemory *memory, int64 before);

/* Forgets a group and its keys. */
extern void publish_memory_remove_group(PublishMemory *memory, GroupNote *group);

/* The note of the key whose hash has this name, or NULL. */
extern KeyNote *publish_memory_key(PublishMemory *memory, MirrorText hash);

/* Remembers a key as it was written.  The key is copied.  NULL: there are too many. */
extern KeyNote *publish_memory_remember(PublishMemory *memory, GroupNote *group, const MirrorKey *key,
										uint64 digest, uint32 reading);

extern void publish_memory_remove_key(PublishMemory *memory, KeyNote *note);

/* Of all that is written, except the expiry. */
extern uint64 mirror_digest(const MirrorKey *key);

/* A copy of a key and all that it points to, in one block of the current memory context; *size of it. */
extern MirrorKey mirror_copy(const MirrorKey *key, size_t *size);

#endif

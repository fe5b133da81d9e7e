/*
 * mirror.h - one Redis key as it should be: what the store reads from SQL and the client writes to Redis.
 *
 * The two edges do not know each other; this is all they share.  A key is a hash, or a zset and the hash
 * beside it.  The hash always exists, because the fence that orders writers is kept in it.
 */
#ifndef TK_MIRROR_H
#define TK_MIRROR_H

#include <stddef.h>
#include <stdint.h>

/* Any bytes; not terminated. */
typedef struct MirrorText
{
	const char *data;
	size_t len;
} MirrorText;

#define MIRROR_NEVER INT64_MAX

/* Owns nothing: whoever fills it says how long the texts live. */
typedef struct MirrorKey
{
	MirrorText zset; /* data NULL: there is none */
	MirrorText hash;
	size_t n_members;
	const MirrorText *members;
	const int64_t *scores;
	size_t n_fields;
	const MirrorText *fields; /* n_fields names, each followed by its value */
	int64_t expire_at;        /* us since 1970, or MIRROR_NEVER */
} MirrorKey;

#endif

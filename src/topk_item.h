/*
 * topk_item.h
 *		Items as SQL has them, and as the keys of a sketch.
 *
 * The keys of text items are UTF-8 whatever the database's encoding, so that a stored sketch means the
 * same in every database. In a UTF-8 database nothing is converted or copied: a key points into the Datum.
 */
#ifndef TOPK_ITEM_H
#define TOPK_ITEM_H

#include "compat.h"

#include "mb/pg_wchar.h"
#include "utils/uuid.h"

#include "sketch/sketch.h"

/* A key: bytes that somebody else owns. */
typedef struct TopkKey
{
	const void *data;
	size_t len;
} TopkKey;

/* Room for the key of a number, which is no part of its Datum. */
typedef uint8 TopkKeyRoom[sizeof(int64)];

/* topk_item.c */
extern int TopkDatabaseEncoding; /* -1: nobody has asked yet */
extern TopkKey TopkKeyConvert(TopkKey key);
extern text *TopkItemText(TkKind kind, const TkItem *item);
extern char *TopkItemString(TkKind kind, const TkItem *item, int *len);
extern Datum TopkItemDatum(TkKind kind, const TkItem *item);

/* GetDatabaseEncoding, without a call for each row. A process never changes its database. */
static inline bool
TopkDatabaseIsUtf8(void)
{
	if (unlikely(TopkDatabaseEncoding < 0))
		TopkDatabaseEncoding = GetDatabaseEncoding();
	return TopkDatabaseEncoding == PG_UTF8;
}

/* The key of a text, which it may point into. */
static inline TopkKey
TopkKeyFromText(Datum item)
{
	struct varlena *string = (struct varlena *) DatumGetPointer(item);
	TopkKey key;

	/* DatumGetTextPP, without its call for each row */
	if (unlikely(VARATT_IS_COMPRESSED(string) || VARATT_IS_EXTERNAL(string)))
		string = pg_detoast_datum_packed(string);
	key.data = VARDATA_ANY(string);
	key.len = VARSIZE_ANY_EXHDR(string);
	return likely(TopkDatabaseIsUtf8()) ? key : TopkKeyConvert(key);
}

/* The key of an item that is not NULL; it may point into `room`. `kind` is a constant in all callers. */
static inline TopkKey
TopkKeyFromDatum(TkKind kind, Datum item, TopkKeyRoom room)
{
	TopkKey key;

	if (kind == TK_KIND_TEXT)
		return TopkKeyFromText(item);
	if (kind == TK_KIND_BIGINT)
	{
		tk_bigint_key(DatumGetInt64(item), room);
		key.data = room;
	}
	else
		key.data = DatumGetUUIDP(item)->data;
	key.len = kind == TK_KIND_BIGINT ? sizeof(TopkKeyRoom) : UUID_LEN;
	return key;
}

#endif /* TOPK_ITEM_H */

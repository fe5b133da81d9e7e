/*
 * topk_item.h
 *		Items as SQL has them, and as the keys of a sketch.
 *
 * The keys of text items are UTF-8 whatever the database's encoding, so that a stored sketch means the same in
 * every database. In a UTF-8 database nothing is converted or copied: a key points into the Datum.
 */
#ifndef TOPK_ITEM_H
#define TOPK_ITEM_H

#include "compat.h"

#include "mb/pg_wchar.h"
#include "utils/uuid.h"

#include "sketch/sketch.h"

/* A key, and room for those that are not bytes of the Datum. Points into itself: never copy one. */
typedef struct TopkKey
{
	const void *data;
	size_t		len;
	uint8		number[sizeof(int64)];
} TopkKey;

/* topk_item.c */
extern int	TopkDatabaseEncoding; /* -1: nobody has asked yet */
extern void TopkKeyConvert(TopkKey *key);
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

/* The key of an item. `item` must not be NULL in SQL's sense. Inline: `kind` is a constant in every caller. */
static inline void
TopkKeyFromDatum(TopkKey *key, TkKind kind, Datum item)
{
	if (kind == TK_KIND_TEXT)
	{
		struct varlena *string = (struct varlena *) DatumGetPointer(item);

		/* DatumGetTextPP, without its call for each row */
		if (unlikely(VARATT_IS_COMPRESSED(string) || VARATT_IS_EXTERNAL(string)))
			string = pg_detoast_datum_packed(string);
		key->data = VARDATA_ANY(string);
		key->len = VARSIZE_ANY_EXHDR(string);
		if (unlikely(!TopkDatabaseIsUtf8()))
			TopkKeyConvert(key);
	}
	else if (kind == TK_KIND_BIGINT)
	{
		tk_bigint_key(DatumGetInt64(item), key->number);
		key->data = key->number;
		key->len = sizeof(key->number);
	}
	else
	{
		key->data = DatumGetUUIDP(item)->data;
		key->len = UUID_LEN;
	}
}

#endif /* TOPK_ITEM_H */

/*
 * topk_item.c
 *		Items of a sketch as SQL values: as text whatever their kind, or in their own type.
 */
#include "topk_item.h"

#include "utils/builtins.h"

int TopkDatabaseEncoding = -1;

/* A text key in the database's encoding becomes UTF-8, in the current memory context. */
TopkKey
TopkKeyConvert(TopkKey key)
{
	char *converted = pg_server_to_any(key.data, (int) key.len, PG_UTF8);

	if (converted != key.data)
	{
		key.data = converted;
		key.len = strlen(converted);
	}
	return key;
}

/*
 * An item as text in the database's encoding, not terminated by a zero byte. The bytes may be the key's own,
 * or live in the current memory context.
 */
char *
TopkItemString(TkKind kind, const TkItem *item, int *len)
{
	char *string;

	if (kind == TK_KIND_TEXT)
	{
		string = pg_any_to_server((const char *) item->key, (int) item->key_len, PG_UTF8);
		*len = string == (const char *) item->key ? (int) item->key_len : (int) strlen(string);
		return string;
	}
	if (kind == TK_KIND_BIGINT)
		string = DatumGetCString(DirectFunctionCall1(int8out, TopkItemDatum(kind, item)));
	else
		string = DatumGetCString(DirectFunctionCall1(uuid_out, TopkItemDatum(kind, item)));
	*len = (int) strlen(string);
	return string;
}

text *
TopkItemText(TkKind kind, const TkItem *item)
{
	int len;
	char *string = TopkItemString(kind, item, &len);

	return cstring_to_text_with_len(string, len);
}

/* An item in its own type: text, bigint or uuid. A uuid points to the key's bytes. */
Datum
TopkItemDatum(TkKind kind, const TkItem *item)
{
	if (kind == TK_KIND_BIGINT)
		return Int64GetDatum(tk_bigint_value(item->key));
	if (kind == TK_KIND_UUID)
		return UUIDPGetDatum((const pg_uuid_t *) item->key);
	return PointerGetDatum(TopkItemText(kind, item));
}

/*
 * path.c - parses the paths that say where in an event a field stands.
 *
 * A path is keys joined by dots: payload.url.  A key in double quotes may hold anything, a quote in it being
 * doubled: payload."a.b".  Unquoted keys are taken as they are, spaces included, but hold no quote and are
 * not empty.  The parser runs once for each path of a configuration, so it is written for its messages.
 */
#include <stddef.h>

#include "decode.h"

/* Where the parser reads and writes. */
typedef struct PathCursor
{
	const char *in;
	char *out;
} PathCursor;

/* Reads a key after its opening quote, up to and with the closing one. */
static const char *
read_quoted_key(PathCursor *cursor)
{
	for (;;)
	{
		if (*cursor->in == '\0')
			return "a quoted key has no closing quote";
		if (*cursor->in == '"')
		{
			cursor->in++;
			if (*cursor->in != '"')
				break;
		}
		*cursor->out++ = *cursor->in++;
	}
	if (*cursor->in != '.' && *cursor->in != '\0')
		return "only a dot may follow a quoted key";
	return NULL;
}

static const char *
read_plain_key(PathCursor *cursor)
{
	const char *begin = cursor->in;

	while (*cursor->in != '.' && *cursor->in != '\0')
	{
		if (*cursor->in == '"')
			return "a quote may stand only around a whole key";
		*cursor->out++ = *cursor->in++;
	}
	return cursor->in == begin ? "a key is empty" : NULL;
}

static const char *
read_key(PathCursor *cursor)
{
	if (*cursor->in != '"')
		return read_plain_key(cursor);
	cursor->in++;
	return read_quoted_key(cursor);
}

/*
 * Every key is ended by a NUL in `buffer`, for debugging.  That fits into strlen(text) + 1: each key but the
 * last has its dot, and the last one the text's own end.
 */
const char *
tk_path_parse(const char *text, char *buffer, TkPath *path)
{
	PathCursor cursor = {text, buffer};

	path->depth = 0;
	if (*text == '\0')
		return "the path is empty";
	for (;;)
	{
		char *key = cursor.out;
		const char *error;

		if (path->depth == TK_MAX_PATH_DEPTH)
			return "the path has more than 16 keys";
		error = read_key(&cursor);
		if (error != NULL)
			return error;
		path->key[path->depth].name = key;
		path->key[path->depth].len = (size_t) (cursor.out - key);
		path->depth++;
		*cursor.out++ = '\0';
		if (*cursor.in == '\0')
			return NULL;
		cursor.in++; /* the dot */
	}
}

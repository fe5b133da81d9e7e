/*
 * decode.h - the interface that every event format stands behind.
 *
 * A decoder is made for a fixed set of paths; it reads one message at a time and then answers what stands at
 * each path.  JSON is the only format today (decode_json.cc); another format is one more file with the same
 * functions behind TkDecoderMethods.  No function throws, longjmps or prints.  C++ files include this header
 * in an extern "C" block.
 */
#ifndef TK_DECODE_H
#define TK_DECODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TK_MAX_PATH_DEPTH 16

/* A parsed path: the keys from the document's root, as views into the text that was parsed. */
typedef struct TkPath
{
	int depth;
	struct
	{
		const char *name;
		size_t len;
	} key[TK_MAX_PATH_DEPTH];
} TkPath;

/*
 * Parses "a.b" or "a.\"x.y\".b": keys joined by dots; a key in double quotes may hold dots, and a quote
 * inside it is doubled.  `buffer` (at least strlen(text) + 1 bytes) receives the unquoted keys and must live
 * as long as the path.  Returns NULL, or a static English phrase that says what is wrong.
 */
const char *tk_path_parse(const char *text, char *buffer, TkPath *path);

typedef enum TkValueKind
{
	TK_VALUE_MISSING, /* no such key, or something on the way is no object */
	TK_VALUE_NULL,
	TK_VALUE_STRING, /* UTF-8, may hold U+0000 */
	TK_VALUE_NUMBER, /* text: as JSON text; a float in the shortest form that reads back the same */
	TK_VALUE_BOOL,   /* text: true, false */
	TK_VALUE_OBJECT,
	TK_VALUE_ARRAY
} TkValueKind;

typedef struct TkText
{
	const char *data;
	size_t len;
} TkText;

/* `text` is NULL for what has none: missing, null, an object, an array.  It is valid until the decoder's next
 * message; a number's in an array, until the next element. */
typedef struct TkValue
{
	TkValueKind kind;
	const char *text;
	size_t len;
	double number;   /* for numbers */
	int64_t integer; /* for numbers that are whole and fit */
	bool is_integer;
} TkValue;

static inline bool
tk_value_is_absent(const TkValue *value)
{
	return value->kind == TK_VALUE_MISSING || value->kind == TK_VALUE_NULL;
}

typedef enum TkDecodeStatus
{
	TK_DECODE_OK,
	TK_DECODE_BAD,      /* not a document of this format, or its root is no object */
	TK_DECODE_NO_MEMORY /* nothing is wrong with the message: try again */
} TkDecodeStatus;

typedef enum TkEachStatus
{
	TK_EACH_NONE,     /* the path meets no array */
	TK_EACH_TOO_MANY, /* the array has more elements than were asked for; none was visited */
	TK_EACH_DONE      /* every element was visited, or `visit` said that it is enough */
} TkEachStatus;

typedef struct TkDecoder TkDecoder;

/*
 * read: takes the next message in.
 * get: what stands at a path.
 * each: calls `visit` for each element of the first array that a path meets, at its end or on its way, while
 * it returns true.  During a visit `get` answers for every path that leads to or through this array from the
 * element alone, and for all others as ever; `each` must not be called.  A string's text stays valid until
 * the next message also then.
 */
typedef struct TkDecoderMethods
{
	TkDecodeStatus (*read)(TkDecoder *decoder, const char *payload, size_t len);
	void (*get)(TkDecoder *decoder, int path, TkValue *value);
	TkEachStatus (*each)(TkDecoder *decoder, int path, size_t most, bool (*visit)(void *arg), void *arg);
	void (*free)(TkDecoder *decoder);
} TkDecoderMethods;

/* What every decoder begins with. */
struct TkDecoder
{
	const TkDecoderMethods *methods;
};

/*
 * Makes a decoder of JSON documents for n paths, which it copies.  max_bytes is the largest document it will
 * read.  Of duplicate keys the first one wins.  After a read that failed every path is missing.  Returns NULL
 * when out of memory.  Free with decoder->methods->free.
 */
TkDecoder *tk_decode_json_create(const TkPath *paths, int n, size_t max_bytes);

#endif

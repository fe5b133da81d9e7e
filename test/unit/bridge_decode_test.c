/*
 * bridge_decode_test.c - paths, and the JSON decoder: kinds, numbers, broken documents, limits.
 */
#include <stdlib.h>
#include <string.h>

#include "../../bridge/decode.h"
#include "bridge_paths.h"
#include "bridge_tap.h"

#define MAX_MESSAGE 100000

/* ---- paths ---- */

static void
check_path(const char *text, const char *expected)
{
	char buffer[256];
	char *exact = malloc(strlen(text) + 1);
	char found[256] = "";
	TkPath path;
	const char *error = tk_path_parse(text, exact, &path);

	for (int i = 0; error == NULL && i < path.depth; i++)
	{
		snprintf(buffer, sizeof(buffer), "[%.*s]", (int) path.key[i].len, path.key[i].name);
		strcat(found, buffer);
	}
	tap_ok(strcmp(error != NULL ? error : found, expected) == 0, "path %s: %s", text, error ? error : found);
	free(exact);
}

static void
check_paths(void)
{
	check_path("a", "[a]");
	check_path("payload.url", "[payload][url]");
	check_path("a.b c.d-e", "[a][b c][d-e]");
	check_path("\"a.b\"", "[a.b]");
	check_path("x.\"a.b\".y", "[x][a.b][y]");
	check_path("\"a\"\"b\"", "[a\"b]");
	check_path("\"\"", "[]");
	check_path("\"\"\"\".\"\"", "[\"][]");
	check_path("a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p", "[a][b][c][d][e][f][g][h][i][j][k][l][m][n][o][p]");
	check_path("a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.q", "the path has more than 16 keys");
	check_path("", "the path is empty");
	check_path(".", "a key is empty");
	check_path("a.", "a key is empty");
	check_path(".a", "a key is empty");
	check_path("a..b", "a key is empty");
	check_path("\"a", "a quoted key has no closing quote");
	check_path("\"a\"\"", "a quoted key has no closing quote");
	check_path("\"a\"b", "only a dot may follow a quoted key");
	check_path("a\"b\"", "a quote may stand only around a whole key");
}

/* ---- the decoder ---- */

/* Reads one document from a block of exactly its length, and shows what it has at "a" (and the status). */
static const char *
show(const char *json, size_t len)
{
	static const char *const kinds[] = {"missing", "null", "string", "number", "bool", "object", "array"};
	static char shown[512];
	PathSet paths = {.n = 0};
	int path = add_path(&paths, "a");
	TkDecoder *decoder = tk_decode_json_create(paths.path, paths.n, MAX_MESSAGE);
	char *exact = malloc(len + (len == 0));
	TkDecodeStatus status;
	TkValue value;

	memcpy(exact, json, len);
	status = decoder->methods->read(decoder, exact, len);
	decoder->methods->get(decoder, path, &value);
	free(exact);
	if (status == TK_DECODE_BAD)
		snprintf(shown, sizeof(shown), value.kind == TK_VALUE_MISSING ? "bad" : "bad, but has a value");
	else
		snprintf(shown, sizeof(shown), "%s%s%.*s%s", kinds[value.kind], value.len > 0 ? " " : "",
				 (int) value.len, value.text != NULL ? value.text : "", value.is_integer ? " whole" : "");
	decoder->methods->free(decoder);
	return shown;
}

static void
check_show(const char *json, const char *expected)
{
	const char *shown = show(json, strlen(json));

	tap_ok(strcmp(shown, expected) == 0, "%.60s: %s", json, shown);
}

static void
check_values(void)
{
	check_show("{\"a\": \"x\"}", "string x");
	check_show("{\"a\": \"\"}", "string");
	check_show("{\"a\": \"\\u00e9\\n\"}", "string \xC3\xA9\n");
	check_show("{\"a\": null}", "null");
	check_show("{\"a\": true}", "bool true");
	check_show("{\"a\": false}", "bool false");
	check_show("{\"a\": {\"a\": 1}}", "object");
	check_show("{\"a\": [1]}", "array");
	check_show("{\"b\": {\"a\": 1}}", "missing");
	check_show("{}", "missing");
	check_show("{\"\\u0061\": 1}", "number 1 whole");
	check_show("\xEF\xBB\xBF{\"a\": 1}", "number 1 whole");
	check_show(" \n\t{\"a\": 1}\r\n", "number 1 whole");
	check_show("{\"a\": 1, \"a\": 2}", "number 1 whole");
	check_show("{\"a\": null, \"a\": 2}", "null");
}

static void
check_numbers(void)
{
	check_show("{\"a\": 0}", "number 0 whole");
	check_show("{\"a\": -0}", "number 0 whole");
	check_show("{\"a\": -12}", "number -12 whole");
	check_show("{\"a\": 9223372036854775807}", "number 9223372036854775807 whole");
	check_show("{\"a\": -9223372036854775808}", "number -9223372036854775808 whole");
	check_show("{\"a\": 9223372036854775808}", "number 9223372036854775808");
	check_show("{\"a\": 18446744073709551615}", "number 18446744073709551615");
	check_show("{\"a\": 18446744073709551616}", "bad");
	check_show("{\"a\": -9223372036854775809}", "bad");
	check_show("{\"a\": 1.0}", "number 1 whole");
	check_show("{\"a\": 1e3}", "number 1000 whole");
	check_show("{\"a\": 1.5}", "number 1.5");
	check_show("{\"a\": 0.1}", "number 0.1");
	check_show("{\"a\": 0.30000000000000004}", "number 0.30000000000000004");
	check_show("{\"a\": 100e-3}", "number 0.1");
	check_show("{\"a\": 5e-324}", "number 5e-324");
	check_show("{\"a\": -1.7976931348623157e308}", "number -1.7976931348623157e+308");
	check_show("{\"a\": 1e19}", "number 1e+19");
	check_show("{\"a\": 9223372036854775808.0}", "number 9223372036854775808");
	check_show("{\"a\": 1e400}", "bad");
	check_show("{\"a\": 01}", "bad");
	check_show("{\"a\": +1}", "bad");
	check_show("{\"a\": NaN}", "bad");
}

static void
check_broken(void)
{
	check_show("", "bad");
	check_show(" ", "bad");
	check_show("1", "bad");
	check_show("[]", "bad");
	check_show("\"a\"", "bad");
	check_show("null", "bad");
	check_show("{\"a\": 1", "bad");
	check_show("{\"a\": 1}}", "bad");
	check_show("{\"a\": 1} {\"a\": 1}", "bad");
	check_show("{\"a\": 1,}", "bad");
	check_show("{'a': 1}", "bad");
	check_show("{\"a\": \"x}", "bad");
	check_show("{\"a\": \"\xC3\x28\"}", "bad");
	check_show("{\"a\": 1, \"b\": \"\xFF\"}", "bad");
	check_show("{\"a\": \"\xED\xA0\x80\"}", "bad");
	check_show("{\"a\": \"\\ud800\"}", "bad");
	check_show("{\"a\": \"\\x\"}", "bad");
	check_show("{\"a\": \"\n\"}", "bad");
	check_show("\xEF\xBB\xBF", "bad");
	tap_ok(strcmp(show("{\"a\": 1}\0", 9), "bad") == 0, "a NUL after the document: bad");
	tap_ok(strcmp(show("{\"a\": \"x\\u0000y\"}", 17), "string x") == 0, "U+0000 in a string is kept");
}

static void
check_cut_document(void)
{
	static const char json[] = "{\"b\": {\"c\": [1, 2.5, \"x\\u00e9\"]}, \"a\": true}";
	int read = 0;

	for (size_t len = 0; len < strlen(json); len++)
		read += strcmp(show(json, len), "bad") != 0;
	tap_ok(read == 0, "every truncation of a document is bad");
}

/* {"a":[[[...]]]} with this many brackets, or 0 bytes if it would not fit. */
static size_t
nest(char *json, int depth)
{
	char *out = json;

	memcpy(out, "{\"a\":", 5);
	memset(out + 5, '[', (size_t) depth);
	memset(out + 5 + depth, ']', (size_t) depth);
	out[5 + 2 * depth] = '}';
	return (size_t) (6 + 2 * depth);
}

static void
check_limits(void)
{
	char *json = malloc(MAX_MESSAGE + 1);

	tap_ok(strcmp(show(json, nest(json, 1000)), "array") == 0, "1,000 levels are read");
	tap_ok(strcmp(show(json, nest(json, 1100)), "bad") == 0, "1,100 levels are refused");
	tap_ok(strcmp(show(json, nest(json, 40000)), "bad") == 0, "40,000 levels are refused");
	memset(json, ' ', MAX_MESSAGE + 1);
	memcpy(json, "{\"a\":1}", 7);
	tap_ok(strcmp(show(json, MAX_MESSAGE), "number 1 whole") == 0, "a message of max_message_bytes is read");
	tap_ok(strcmp(show(json, MAX_MESSAGE + 1), "bad") == 0, "one byte more is refused");
	free(json);
}

/* One decoder over many paths and many messages of changing size. */
static void
check_tree(void)
{
	PathSet paths = {.n = 0};
	int b = add_path(&paths, "a.b");
	int a = add_path(&paths, "a");
	int c = add_path(&paths, "a.c.d");
	int again = add_path(&paths, "a.b");
	int e = add_path(&paths, "e");
	int x = add_path(&paths, "\"a.b\"");
	TkDecoder *decoder = tk_decode_json_create(paths.path, paths.n, MAX_MESSAGE);
	const TkDecoderMethods *methods = decoder->methods;
	const char *json =
		"{\"e\":1,\"a\":{\"z\":{\"b\":9},\"c\":{\"d\":\"two\"},\"b\":\"one\"},\"a.b\":3,\"a\":{\"b\":4}}";
	TkValue v[6];
	int wrong = 0;

	tap_ok(methods->read(decoder, json, strlen(json)) == TK_DECODE_OK, "a document with many paths");
	for (int i = 0; i < paths.n; i++)
		methods->get(decoder, i, &v[i]);
	tap_ok(v[b].len == 3 && memcmp(v[b].text, "one", 3) == 0, "a.b");
	tap_ok(v[again].len == 3 && memcmp(v[again].text, "one", 3) == 0, "a.b, asked for twice");
	tap_ok(v[a].kind == TK_VALUE_OBJECT, "a, an inner node of other paths");
	tap_ok(v[c].len == 3 && memcmp(v[c].text, "two", 3) == 0, "a.c.d");
	tap_ok(v[e].integer == 1 && v[x].integer == 3, "e and \"a.b\", numbers with a text each");
	tap_ok(v[e].len == 1 && v[x].len == 1 && v[e].text[0] == '1' && v[x].text[0] == '3',
		   "which do not collide");
	json = "{\"a\":{},\"a\":{\"b\":4}}";
	methods->read(decoder, json, strlen(json));
	methods->get(decoder, b, &v[b]);
	tap_ok(v[b].kind == TK_VALUE_MISSING, "the first of two objects wins, even if it lacks the key");
	json = "{\"a\":[{\"b\":4}],\"e\":2}";
	methods->read(decoder, json, strlen(json));
	methods->get(decoder, b, &v[b]);
	tap_ok(v[b].kind == TK_VALUE_MISSING, "a path through an array finds nothing, nor what was there before");
	for (int i = 0; i < 300; i++)
	{
		int len = (i * 7919) % 90000;
		char *message = malloc((size_t) len + 32);

		len = sprintf(message, "{\"p\":\"%*s\",\"e\":%d}", len, "", i);
		wrong += methods->read(decoder, message, (size_t) len) != TK_DECODE_OK;
		free(message);
		methods->get(decoder, e, &v[e]);
		wrong += v[e].integer != i;
		wrong += methods->read(decoder, "{\"e\":", 5) != TK_DECODE_BAD;
	}
	tap_ok(wrong == 0, "messages of changing size, good and bad in turn");
	methods->free(decoder);
}

int
main(void)
{
	check_paths();
	check_values();
	check_numbers();
	check_broken();
	check_cut_document();
	check_limits();
	check_tree();
	return tap_done();
}

/*
 * sketch_text_fuzz.c
 *		libFuzzer target: text input. What is read as bytes must be what the digits say, and a sketch
 *		made of it must come out as the same text.
 */
#include <string.h>

#include "sketch_fuzz.h"

static uint8_t
lower_case(uint8_t c)
{
	return c >= 'A' && c <= 'F' ? (uint8_t) (c - 'A' + 'a') : c;
}

/* The text must be "\x" and these bytes. */
static void
check_same_text(const uint8_t *text, size_t len, const uint8_t *bytes, size_t bytes_len)
{
	REQUIRE(len == 2 + 2 * bytes_len && memcmp(text, "\\x", 2) == 0);
	for (size_t i = 0; i < bytes_len; i++)
	{
		REQUIRE(lower_case(text[2 + 2 * i]) == "0123456789abcdef"[bytes[i] >> 4]);
		REQUIRE(lower_case(text[3 + 2 * i]) == "0123456789abcdef"[bytes[i] & 15]);
	}
}

static void
check_sketch(const uint8_t *text, size_t len, const uint8_t *bytes, size_t bytes_len)
{
	TkSketch *s;
	void *block;
	size_t block_len;

	if (tk_sketch_decode(&fuzz_heap, bytes, bytes_len, &s) != TK_OK)
		return;
	REQUIRE(tk_sketch_encode(s, TK_PARTIAL, NULL, 0, &block, &block_len) == TK_OK);
	check_same_text(text, len, block, block_len);
	fuzz_check_promises(s);
	free(block);
	tk_sketch_free(s);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* just the room that is promised to be enough */
	uint8_t *bytes = malloc(size / 2);
	size_t bytes_len;

	if (tk_hex_read((const char *) data, size, bytes, &bytes_len))
	{
		check_same_text(data, size, bytes, bytes_len);
		check_sketch(data, size, bytes, bytes_len);
	}
	free(bytes);
	return 0;
}

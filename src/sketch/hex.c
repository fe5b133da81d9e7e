/*
 * hex.c
 *		The text form of a sketch: "\x" and the bytes of its stored form, each as two hexadecimal digits.
 */
#include "sketch.h"

#define PREFIX_CHARS 2

/* The value of a digit, or -1. */
static int
digit_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

bool
tk_hex_read(const char *text, size_t len, uint8_t *bytes, size_t *bytes_len)
{
	size_t read = 0;

	if (len < PREFIX_CHARS || len % 2 != 0 || text[0] != '\\' || text[1] != 'x')
		return false;
	for (size_t at = PREFIX_CHARS; at < len; at += 2)
	{
		int high = digit_value(text[at]);
		int low = digit_value(text[at + 1]);

		if (high < 0 || low < 0)
			return false;
		bytes[read++] = (uint8_t) (high << 4 | low);
	}
	*bytes_len = read;
	return true;
}

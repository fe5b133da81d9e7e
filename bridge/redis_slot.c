/*
 * redis_slot.c - which of a Redis Cluster's slots a key belongs to (see redis_slot.h).
 */
#include <stdio.h>
#include <string.h>

#include "redis_slot.h"

/* Bit by bit: a key is some dozen bytes, and is sent over a network. */
uint16_t
redis_crc16(const char *data, size_t len)
{
	uint16_t crc = 0;

	for (size_t i = 0; i < len; i++)
	{
		crc ^= (uint16_t) ((unsigned char) data[i] << 8);
		for (int bit = 0; bit < 8; bit++)
			crc = (uint16_t) (crc & 0x8000 ? (crc << 1) ^ 0x1021 : crc << 1);
	}
	return crc;
}

int
redis_slot_of(const char *key, size_t len)
{
	const char *open = memchr(key, '{', len);
	const char *close = open == NULL ? NULL : memchr(open, '}', len - (size_t) (open - key));

	if (close != NULL && close > open + 1)
	{
		key = open + 1;
		len = (size_t) (close - key);
	}
	return redis_crc16(key, len) % REDIS_SLOTS;
}

void
redis_slot_tag(int slot, char tag[REDIS_TAG_LEN])
{
	unsigned n = 0;

	do
		snprintf(tag, REDIS_TAG_LEN, "%u", n++);
	while (redis_crc16(tag, strlen(tag)) % REDIS_SLOTS != slot);
}

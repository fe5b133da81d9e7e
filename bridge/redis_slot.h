/*
 * redis_slot.h - which of a Redis Cluster's 16,384 slots a key belongs to.  Pure.
 *
 * The slot is CRC16 (polynomial 0x1021, from 0, no reflection) of the key modulo 16,384; of a key that has a
 * non-empty text between its first '{' and the next '}', only that text, the hash tag, counts.
 */
#ifndef TK_REDIS_SLOT_H
#define TK_REDIS_SLOT_H

#include <stddef.h>
#include <stdint.h>

#define REDIS_SLOTS 16384
#define REDIS_TAG_LEN 16

uint16_t redis_crc16(const char *data, size_t len);

int redis_slot_of(const char *key, size_t len);

/* The smallest number whose text belongs to the slot: a hash tag for it. */
void redis_slot_tag(int slot, char tag[REDIS_TAG_LEN]);

#endif

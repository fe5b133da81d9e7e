/*
 * bridge_paths.h - a set of parsed paths with the memory of their keys, for the tests of decoder and
 * extractor.
 */
#ifndef BRIDGE_PATHS_H
#define BRIDGE_PATHS_H

#include <stdlib.h>

#include "../../bridge/decode.h"

typedef struct PathSet
{
	TkPath path[16];
	char text[16][64];
	int n;
} PathSet;

static inline int
add_path(PathSet *set, const char *text)
{
	if (tk_path_parse(text, set->text[set->n], &set->path[set->n]) != NULL)
		abort();
	return set->n++;
}

#endif

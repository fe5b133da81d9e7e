/*
 * property.h - a named setting of a client library, as the configuration holds it and an edge takes it.
 */
#ifndef TK_PROPERTY_H
#define TK_PROPERTY_H

#include <stdbool.h>

typedef struct Property
{
	const char *name;
	const char *value;
	bool secret; /* never shown in a message */
} Property;

#endif

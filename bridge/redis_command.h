/*
 * redis_command.h - a Redis command under construction: its arguments, and the texts of those that are
 * numbers.
 *
 * Inside the edge to Redis only.  The arrays grow to the largest command and are kept for the next.
 */
#ifndef TK_REDIS_COMMAND_H
#define TK_REDIS_COMMAND_H

#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Room for a 64-bit number in text. */
#define NUMBER_LEN 24

/* All arrays have room for the whole command before the first argument
 * comes. */
typedef struct Command
{
	const char **args;
	size_t *lens;
	char (*numbers)[NUMBER_LEN];
	size_t room;
	size_t n;
	size_t n_numbers;
	size_t bytes;
} Command;

static inline void
free_command(Command *command)
{
	free(command->args);
	free(command->lens);
	free(command->numbers);
}

/* Begins a command of at most `room` arguments. */
static inline bool
begin_command(Command *command, size_t room)
{
	if (room > command->room)
	{
		free_command(command);
		command->args = malloc(room * sizeof(*command->args));
		command->lens = malloc(room * sizeof(*command->lens));
		command->numbers = malloc(room * sizeof(*command->numbers));
		command->room = 0;
		if (command->args == NULL || command->lens == NULL || command->numbers == NULL)
			return false;
		command->room = room;
	}
	command->n = command->n_numbers = command->bytes = 0;
	return true;
}

static inline void
add_bytes(Command *command, const char *data, size_t len)
{
	command->args[command->n] = data;
	command->lens[command->n++] = len;
	command->bytes += len + 16; /* the protocol's own bytes */
}

static inline void
add_text(Command *command, const char *text)
{
	add_bytes(command, text, strlen(text));
}

static inline void
add_number(Command *command, int64_t number)
{
	char *text = command->numbers[command->n_numbers++];

	snprintf(text, NUMBER_LEN, "%" PRId64, number);
	add_text(command, text);
}

#endif

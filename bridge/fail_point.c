/*
 * fail_point.c - fail points of test builds (see fail_point.h); empty in release builds.
 *
 * The file is rewritten under a lock of its own, since several processes may pass a fail point at once and a
 * count must not be used twice.
 */
#include "postgres.h"

#include "fail_point.h"

#ifdef TOPK_FAIL_POINTS

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "miscadmin.h"

#define FAIL_POINT_FILE "topk.fail_points" /* in the data directory, where every process is */
#define MAX_FILE 8192

/* Reads the file, locked, into `text`.  Returns its descriptor, or -1 if there is nothing in it. */
static int
open_locked(char *text)
{
	int fd = open(FAIL_POINT_FILE, O_RDWR | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -1;
	(void) flock(fd, LOCK_EX);
	n = read(fd, text, MAX_FILE - 1);
	text[Max(n, 0)] = '\0';
	if (n > 0)
		return fd;
	close(fd);
	return -1;
}

/* The line of a fail point, or NULL. */
static char *
find_line(char *text, const char *name)
{
	size_t len = strlen(name);

	for (char *line = text; line != NULL && *line != '\0'; line = strchr(line, '\n'))
	{
		line += *line == '\n';
		if (strncmp(line, name, len) == 0 && line[len] == '=')
			return line;
	}
	return NULL;
}

/* Writes the text without this line, or with its count lowered. */
static void
count_down(int fd, char *text, char *line, const char *action, int times)
{
	char *rest = strchr(line, '\n');
	char changed[MAX_FILE + 64];
	int n;

	*line = '\0';
	n = snprintf(changed, sizeof(changed), "%s", text);
	if (times > 1)
		n += snprintf(changed + n, sizeof(changed) - n, "%s*%d\n", action, times - 1);
	n += snprintf(changed + n, sizeof(changed) - n, "%s", rest != NULL ? rest + 1 : "");
	if (ftruncate(fd, 0) != 0 || pwrite(fd, changed, n, 0) != n)
		elog(PANIC, "could not write \"%s\": %m", FAIL_POINT_FILE);
}

/* What to do at this fail point now, taken out of the file.  False: nothing. */
static bool
take_action(const char *name, char *action, size_t size)
{
	char text[MAX_FILE];
	int fd = open_locked(text);
	char *line;
	char *star;

	if (fd < 0)
		return false;
	line = find_line(text, name);
	if (line != NULL)
	{
		strlcpy(action, line, Min(size, strcspn(line, "\n") + 1));
		star = strchr(action, '*');
		if (star != NULL)
		{
			*star = '\0';
			count_down(fd, text, line, action, atoi(star + 1));
		}
		memmove(action, strchr(action, '=') + 1, strlen(strchr(action, '=')));
	}
	close(fd);
	return line != NULL;
}

void
fail_point(const char *name)
{
	char action[128];

	if (!take_action(name, action, sizeof(action)))
		return;
	ereport(LOG, errmsg("fail point %s: %s", name, action));
	if (strcmp(action, "crash") == 0)
		kill(getpid(), SIGKILL);
	else if (strcmp(action, "error") == 0)
		ereport(ERROR, errcode(ERRCODE_IO_ERROR), errmsg("fail point %s", name));
	else if (strcmp(action, "exit") == 0)
		ereport(FATAL, errcode(ERRCODE_ADMIN_SHUTDOWN), errmsg("fail point %s", name));
	else if (strncmp(action, "delay:", 6) == 0)
		pg_usleep(atol(action + 6) * 1000);
	else
		elog(WARNING, "fail point %s: unknown action \"%s\"", name, action);
}

#endif

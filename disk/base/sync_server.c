/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sync_server.c - the unix socket through which tests drive the sync points (test builds only).
 * One thread accepts, one detached thread serves each connection, since "wait" blocks while another
 * client releases. The socket file is replaced if it is there; the server lives as long as the
 * process.
 */
#include "disk/base/sync_point.h"

#ifdef BTRFUSE_TEST

#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "disk/base/log.h"

static void *serve_client(void *arg)
{
	FILE *in = arg;
	char line[256], reply[2048];

	while (fgets(line, sizeof(line), in)) {
		size_t len;

		sync_point_command(line, reply, sizeof(reply) - 1);
		len = strlen(reply);
		reply[len++] = '\n';
		if (send(fileno(in), reply, len, MSG_NOSIGNAL) != (ssize_t)len)
			break;
	}
	fclose(in);
	return NULL;
}

static void start_detached(void *(*run)(void *), void *arg)
{
	pthread_attr_t attr;
	pthread_t thread;

	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	if (pthread_create(&thread, &attr, run, arg))
		log_fault("sync points: no thread");
	pthread_attr_destroy(&attr);
}

static void *serve(void *arg)
{
	int listener = (int)(intptr_t)arg;

	for (;;) {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		FILE *in = fd < 0 ? NULL : fdopen(fd, "r");

		if (in)
			start_detached(serve_client, in);
		else if (fd >= 0)
			close(fd);
		else if (errno != EINTR && errno != ECONNABORTED)
			break;
	}
	return NULL;
}

int sync_point_start(void)
{
	const char *path = getenv("BTRFUSE_TEST_SOCKET");
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd;

	if (!path || !*path)
		return 0;
	if (strlen(path) >= sizeof(addr.sun_path))
		return -ENAMETOOLONG;
	strcpy(addr.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	unlink(path);
	if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)) || listen(fd, 8)) {
		int err = -errno;

		close(fd);
		log_fault("sync points: %s: %s", path, strerror(-err));
		return err;
	}
	start_detached(serve, (void *)(intptr_t)fd);
	return 0;
}

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ioctl_balance.c - balance over the ioctls of the kernel. The caller of BALANCE_V2 is answered by
 * the balance's own thread, so no request thread is held.
 *
 * A caller who is killed sits in the kernel until it is answered: that is done at once with EINTR, and
 * the balance ends. FUSE says only once that a signal came, and not which: one that the caller
 * handles or ignores does not end a balance, as with the kernel's btrfs, so from then on a thread
 * looks whether the caller dies. Whoever takes `req` out of struct balance_wait answers it.
 */
#include <linux/btrfs.h>

#include <pthread.h>
#include <unistd.h>

#include "disk/base/sync_point.h"
#include "fuse/caller.h"
#include "fuse/ioctl.h"
#include "relocation/balance.h"

/* The waiting request, for the one who gets it; @only: if it is that one. */
static fuse_req_t take_waiting(struct balance_wait *w, fuse_req_t only)
{
	MUTEX_SCOPE(&w->lock);
	fuse_req_t req = w->req;

	if (!req || (only && req != only))
		return NULL;
	w->req = NULL;
	return req;
}

static void on_done(void *ctx, int err, const struct btrfs_ioctl_balance_args *args)
{
	struct edge *e = ctx;
	fuse_req_t req = take_waiting(&e->balance, NULL);
	struct btrfs_ioctl_balance_args reply = *args;

	/* progs say "canceled by user" if this is set */
	if (err == -ECANCELED && !(reply.state & BTRFS_BALANCE_STATE_PAUSE_REQ))
		reply.state |= BTRFS_BALANCE_STATE_CANCEL_REQ;
	if (req)
		fuse_reply_ioctl(req, err, &reply, sizeof(reply));
}

#define WATCH_US 50000

struct watch {
	struct edge *e;
	unsigned serial;
	pid_t pid;
};

/* Ends the balance and the wait for it. */
static void give_up(struct edge *e, unsigned serial)
{
	struct balance_wait *w = &e->balance;
	fuse_req_t req;

	mutex_lock(&w->lock);
	req = w->serial == serial ? TAKE(w->req) : NULL;
	w->interrupted = req != NULL;
	if (req)
		balance_request_stop(e->fs);
	mutex_unlock(&w->lock);
	if (req)
		edge_reply(req, -EINTR);
}

static bool still_waits(struct balance_wait *w, unsigned serial)
{
	MUTEX_SCOPE(&w->lock);
	return w->req && w->serial == serial;
}

static void *watch_main(void *arg)
{
	_cleanup_free_ struct watch *watch = arg;

	while (still_waits(&watch->e->balance, watch->serial)) {
		if (caller_is_dying(watch->pid))
			give_up(watch->e, watch->serial);
		else
			usleep(WATCH_US);
	}
	return NULL;
}

/* False: without it. */
static bool watch_caller(struct edge *e, unsigned serial, pid_t pid)
{
	struct watch *watch = malloc(sizeof(*watch));
	pthread_t thread;

	if (!watch)
		return false;
	*watch = (struct watch){e, serial, pid};
	if (pthread_create(&thread, NULL, watch_main, watch)) {
		free(watch);
		return false;
	}
	pthread_detach(thread);
	return true;
}

static void on_interrupt(fuse_req_t req, void *ctx)
{
	struct edge *e = ctx;
	struct balance_wait *w = &e->balance;
	pid_t pid = fuse_req_ctx(req)->pid;
	unsigned serial;
	bool waits;

	mutex_lock(&w->lock);
	waits = w->req == req;
	serial = w->serial;
	mutex_unlock(&w->lock);
	if (waits && (caller_is_dying(pid) || !watch_caller(e, serial, pid)))
		give_up(e, serial);
}

static bool enter(struct balance_wait *w, fuse_req_t req)
{
	MUTEX_SCOPE(&w->lock);
	if (w->req && GUARD(exclop))
		return false;
	w->req = req;
	w->serial++;
	w->interrupted = false;
	return true;
}

static bool was_interrupted(struct balance_wait *w)
{
	MUTEX_SCOPE(&w->lock);
	return w->interrupted;
}

int ioctl_balance_v2(struct ioctl_call *c)
{
	struct edge *e = c->e;
	struct btrfs_ioctl_balance_args args;
	int err;

	memcpy(&args, c->in, sizeof(args));
	if (!enter(&e->balance, c->req))
		return -EINPROGRESS;
	fuse_req_interrupt_func(c->req, on_interrupt, e);
	if (was_interrupted(&e->balance))
		return IOCTL_LATER;
	err = balance_start(e->fs, &args, on_done, e);
	if (!err && was_interrupted(&e->balance))
		balance_request_stop(e->fs); /* it came before there was something to stop */
	if (err && take_waiting(&e->balance, c->req))
		return err;
	while (!GUARD(own_thread) && still_waits(&e->balance, e->balance.serial))
		usleep(WATCH_US); /* the mistake: as if the request's thread did the work */
	return IOCTL_LATER;
}

int ioctl_balance_ctl(struct ioctl_call *c)
{
	int what;

	memcpy(&what, c->in, sizeof(what));
	if (what == BTRFS_BALANCE_CTL_CANCEL)
		return balance_cancel(c->e->fs);
	return what == BTRFS_BALANCE_CTL_PAUSE ? balance_pause(c->e->fs) : -EINVAL;
}

int ioctl_balance_progress(struct ioctl_call *c)
{
	int err = balance_progress(c->e->fs, c->out);

	if (!err)
		c->out_len = sizeof(struct btrfs_ioctl_balance_args);
	return err;
}

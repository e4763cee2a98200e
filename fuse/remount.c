/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * remount.c - the daemon's part of a remount. Read-only: requests that are being served end (a deletion
 * goes on behind its answer), what runs is paused and everything is committed; the kernel has shut
 * writers out before. What the kernel forgets from then on is deleted later. Read-write: a file system that was opened for
 * reading alone is closed and opened anew, with all other requests held back; open files find
 * their inodes again by number, since nothing can have changed meanwhile.
 */
#include "fuse/remount.h"

#include <linux/btrfs.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mount.h>
#include <unistd.h>

#include "core/inode/orphan.h"
#include "core/quota/qgroup.h"
#include "core/subvol/cleaner.h"
#include "core/trans/transaction.h"
#include "disk/base/log.h"
#include "fuse/ioctl.h"
#include "fuse/options.h"
#include "relocation/balance.h"

/* How long others are held back for the sake of one request that does not end. */
#define REOPEN_WAIT_MS 5000u
#define SETTLE_WAIT_MS 20000u /* a large deletion */

/* ---- opening anew ---- */

static void handles_let_go(struct edge *e)
{
	struct handle *h;

	LIST_FOREACH(h, &e->handles, link)
	{
		h->root_id = edge_root_id(h->inode);
		h->ino = h->inode->ino;
		inode_put(TAKE(h->inode));
	}
}

static int handles_take_up(struct edge *e)
{
	struct handle *h;
	int err = 0;

	LIST_FOREACH(h, &e->handles, link)
	if (!err)
		err = inode_get(e->fs, h->root_id, h->ino, &h->inode);
	return err;
}

static int open_anew(struct edge *e, bool readonly, struct reason *why)
{
	struct fs_options opt = e->options->fs;
	int err;

	opt.readonly = readonly;
	err = fs_open(&opt, &e->fs, why);
	if (!err)
		err = balance_create(e->fs);
	return err ? err : handles_take_up(e);
}

/* Other requests are held back. */
static int exchange(struct edge *e, struct reason *why)
{
	struct reason again = {""};
	int err;

	handles_let_go(e);
	balance_shutdown(e->fs);
	if (fs_close(TAKE(e->fs)))
		log_fault("%s: not closed cleanly", e->source);
	err = open_anew(e, false, why);
	if (!err)
		return balance_recover(e->fs, e->options->skip_balance);
	if (e->fs || open_anew(e, true, &again)) {
		/* what was mounted cannot be had back: a dead mount is better than a wrong one */
		log_fault("%s: lost while remounting: %s", e->source, again.text);
		_exit(1);
	}
	return err;
}

static int hold_requests(struct edge *e, unsigned ms, struct reason *why)
{
	int err = session_pause(e->session, ms);

	if (err)
		reason_set(why, "busy: a request does not end");
	return err;
}

static int open_for_writing(struct edge *e, struct reason *why)
{
	const struct fs_options *opt = &e->options->fs;
	int err;

	if (opt->rescue || opt->nologreplay) {
		reason_set(why, "mounted with rescue options or nologreplay: only read-only");
		return -EINVAL;
	}
	err = hold_requests(e, REOPEN_WAIT_MS, why);
	if (err)
		return err;
	err = exchange(e, why);
	session_resume(e->session);
	return err;
}

/* ---- the two ways ---- */

static int resume_balance(struct edge *e)
{
	const struct btrfs_ioctl_balance_args resume = {.flags = BTRFS_BALANCE_RESUME};
	int err = e->options->skip_balance ? 0 : balance_start(e->fs, &resume, NULL, NULL);

	return err == -ENOTCONN || err == -EINPROGRESS ? 0 : err;
}

/* What works in the background and was stopped. */
static int go_on_working(struct edge *e)
{
	int err;

	if (e->fs->readonly)
		return 0;
	atomic_store(&e->fs->shut, false);
	quota_rescan_hold(e->fs, false);
	err = orphan_cleanup(e->fs, e->fs->mount_root_id);
	if (!err)
		err = cleaner_start(e->fs);
	return err ? err : resume_balance(e);
}

/* No other request is being served, so nothing is begun meanwhile. */
static int stop_working(struct edge *e)
{
	int err;

	if (fs_error(e->fs) || e->fs->readonly)
		return 0;
	if (balance_pause(e->fs) == 0)
		log_info("%s: balance paused by remount", e->source);
	cleaner_stop(e->fs);
	quota_rescan_hold(e->fs, true);
	err = fs_sync(e->fs);
	if (!err) {
		atomic_store(&e->fs->shut, true);
		return 0;
	}
	if (go_on_working(e))
		log_fault("%s: background work does not go on", e->source);
	return err;
}

static int go_readonly(struct edge *e, struct reason *why)
{
	bool was = atomic_exchange(&e->shut, true);
	int err = hold_requests(e, SETTLE_WAIT_MS, why);

	if (!err) {
		err = stop_working(e);
		session_resume(e->session);
	}
	if (err)
		atomic_store(&e->shut, was);
	return err;
}

static int go_readwrite(struct edge *e, struct reason *why)
{
	int err = fs_error(e->fs);

	if (err < 0 && !e->options->fs.readonly) {
		reason_set(why, "it has stopped writing after an error");
		return err;
	}
	if (e->fs->readonly)
		err = open_for_writing(e, why);
	else
		err = go_on_working(e);
	if (!err) {
		e->options->fs.readonly = false;
		atomic_store(&e->shut, false);
	}
	return err;
}

static int remount(struct edge *e, const struct ioctl_call *c, const char *list, struct reason *why)
{
	const struct remount_order *order = c->in;
	unsigned long flags = 0;
	int err = options_check_remount(e->options, list, &flags, why);

	if (err || order->only_check)
		return err;
	err = flags & MS_RDONLY ? go_readonly(e, why) : go_readwrite(e, why);
	if (!err) {
		e->options->mount_flags = flags;
		atomic_store(&e->atime_flags, flags);
	}
	return err;
}

int ioctl_remount(struct ioctl_call *c)
{
	const struct remount_order *order = c->in;
	struct remount_order *reply = c->out;
	struct reason why = {""};
	char list[REMOUNT_TEXT];
	int err;

	snprintf(list, sizeof(list), "%.*s", REMOUNT_TEXT - 1, order->text);
	if (!mutex_trylock(&c->e->reopen_lock))
		return -EBUSY;
	err = remount(c->e, c, list, &why);
	mutex_unlock(&c->e->reopen_lock);
	snprintf(reply->text, sizeof(reply->text), "%s", why.text);
	c->out_len = sizeof(*reply);
	return err;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * op_dir.c - reading directories. Offset 0 is before ".", 1 before "..", and from 2 on offsets are
 * the directory's own indices, which stay good whatever happens to other names. A reader ends at
 * the index that was the last when it began, or two threads renaming would keep it for ever.
 */
#include <stdatomic.h>
#include <stdio.h>

#include "core/inode/dir.h"
#include "core/trans/transaction.h"
#include "fuse/edge.h"
#include "fuse/inode_number.h"
#include "fuse/request.h"

struct dir_handle {
	_Atomic u64 end;
};

struct dir_fill {
	fuse_req_t req;
	struct edge *e;
	struct inode *dir;
	char *buf;
	size_t size, used;
	bool plus;
	u64 end;
	int err;
};

static struct dir_handle *dir_handle_of(const struct fuse_file_info *fi)
{
	return (struct dir_handle *)(uintptr_t)fi->fh;
}

void op_opendir(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
	struct dir_handle *h = calloc(1, sizeof(*h));

	if (!h) {
		edge_reply(req, -ENOMEM);
		return;
	}
	atomic_init(&h->end, UINT64_MAX);
	fi->fh = (uintptr_t)h;
	if (fuse_reply_open(req, fi) == -ENOENT)
		free(h);
}

void op_releasedir(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
	free(dir_handle_of(fi));
	edge_reply(req, 0);
}

void op_fsyncdir(fuse_req_t req, fuse_ino_t node, int datasync, struct fuse_file_info *fi)
{
	edge_reply(req, trans_commit(edge_of(req)->fs));
}

/* ---- filling a reply ---- */

static bool room_for(struct dir_fill *f, size_t name_len)
{
	char probe[256];
	size_t need;

	memset(probe, 'x', MIN(name_len, sizeof(probe) - 1));
	probe[MIN(name_len, sizeof(probe) - 1)] = 0;
	need = f->plus ? fuse_add_direntry_plus(f->req, NULL, 0, probe, NULL, 0)
		       : fuse_add_direntry(f->req, NULL, 0, probe, NULL, 0);
	return f->used + need <= f->size;
}

static void add(struct dir_fill *f, const char *name, const struct fuse_entry_param *entry,
		u64 next_off)
{
	char *at = f->buf + f->used;
	size_t room = f->size - f->used;

	f->used += f->plus ? fuse_add_direntry_plus(f->req, at, room, name, entry, (off_t)next_off)
			   : fuse_add_direntry(f->req, at, room, name, &entry->attr,
					       (off_t)next_off);
}

/* 1: no room any more. */
static int add_dots(struct dir_fill *f, u64 *off)
{
	struct edge *e = f->e;
	struct fuse_entry_param entry = {0};
	u64 root_id = edge_root_id(f->dir), ino = f->dir->ino;
	bool top = ino == BTRFS_FIRST_FREE_OBJECTID && root_id == e->fs->mount_root_id;

	for (; *off < 2; ++*off) {
		if (*off == 1 && !top && dir_parent(f->dir, &root_id, &ino))
			ino = f->dir->ino, root_id = edge_root_id(f->dir);
		if (!room_for(f, *off + 1))
			return 1;
		entry.attr.st_mode = S_IFDIR;
		entry.attr.st_ino = inode_number(e->fs->mount_root_id, root_id, ino);
		add(f, *off ? ".." : ".", &entry, *off + 1);
	}
	return 0;
}

/* Without attributes: number and type are in the record. A subvolume that cannot be read is still a
 * name. */
static void describe(struct dir_fill *f, const struct dir_record *rec,
		     struct fuse_entry_param *entry)
{
	u64 root_id, ino;

	if (dir_child_id(f->dir, rec, &root_id, &ino)) {
		root_id = edge_root_id(f->dir);
		ino = rec->objectid | INODE_STUB_BIT;
	}
	entry->attr.st_ino = inode_number(f->e->fs->mount_root_id, root_id, ino);
	entry->attr.st_mode = (mode_t)dir_ftype_dtype(rec->ftype) << 12;
}

static int describe_fully(struct dir_fill *f, const struct dir_record *rec,
			  struct fuse_entry_param *entry)
{
	_cleanup_inode_ struct inode *child = NULL;
	int err = dir_child(f->dir, rec, &child);

	/* A child that cannot be read is still a name; stat(2) will say what is wrong with it. */
	if (!err)
		return edge_entry(f->e, child, entry);
	describe(f, rec, entry);
	return 0;
}

static int fill_one(void *ctx, const struct dir_record *rec)
{
	struct dir_fill *f = ctx;
	struct fuse_entry_param entry = {0};
	char name[256];

	if (rec->next_off > f->end || !room_for(f, rec->name.len))
		return 1;
	snprintf(name, sizeof(name), "%.*s", (int)rec->name.len, rec->name.s);
	if (f->plus)
		f->err = describe_fully(f, rec, &entry);
	else
		describe(f, rec, &entry);
	if (f->err)
		return 1;
	add(f, name, &entry, rec->next_off);
	return 0;
}

/* A new reading begins: what is there now is what it gets to see. */
static int dir_begin(struct inode *dir, struct dir_handle *h)
{
	u64 end;
	int err = dir_index_end(dir, &end);

	if (!err)
		atomic_store(&h->end, end);
	return err;
}

static int fill(struct dir_fill *f, struct dir_handle *h, u64 off)
{
	int err = off ? 0 : dir_begin(f->dir, h);

	f->end = atomic_load(&h->end);
	if (err || add_dots(f, &off))
		return err;
	err = dir_read(f->dir, off, fill_one, f);
	if (!err && !f->used)
		err = f->err;
	return err;
}

static void read_dir(fuse_req_t req, fuse_ino_t node, size_t size, off_t off,
		     struct fuse_file_info *fi, bool plus)
{
	_cleanup_inode_ struct inode *dir = NULL;
	struct dir_fill f = {
		.req = req,
		.e = edge_of(req),
		.buf = (char *)request_now.reply_buf,
		.size = MIN(size, (size_t)REPLY_BUF_BYTES),
		.plus = plus,
	};
	int err = edge_inode(f.e, node, &dir);

	if (!err) {
		f.dir = dir;
		err = fill(&f, dir_handle_of(fi), (u64)off);
	}
	if (err) {
		edge_reply(req, err);
		return;
	}
	if (!off)
		edge_touch_atime(f.e, dir); /* who has the answer may ask for the time */
	fuse_reply_buf(req, f.buf, f.used);
}

void op_readdir(fuse_req_t req, fuse_ino_t node, size_t size, off_t off,
		struct fuse_file_info *fi)
{
	read_dir(req, node, size, off, fi, false);
}

void op_readdirplus(fuse_req_t req, fuse_ino_t node, size_t size, off_t off,
		    struct fuse_file_info *fi)
{
	read_dir(req, node, size, off, fi, true);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * session.c - see session.h.
 *
 * Each thread reads a request into its own buffer, placed so that the payload of a WRITE is 4 KiB
 * aligned (an O_DIRECT write then needs no copy), notes what libfuse would drop, and hands it to
 * libfuse, whose handlers answer in the same thread or keep the fuse_req_t for later.
 * fuse_session_custom_io() routes every reply through session_writev(), which adds flags to INIT
 * and OPEN replies. Threads block in read(); to stop them they are woken by a signal until all
 * have seen the stop flag.
 *
 * DESTROY: the thread that gets it waits until no other thread is inside a handler (late FORGETs
 * are possible), calls destroy and answers. `busy` of each thread is the only cost of that.
 */
#include "fuse/session.h"

#include <linux/fuse.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "disk/base/lock.h"
#include "disk/base/log.h"
#include "fuse/request.h"
#include "fuse/stats.h"

#define WAKE_SIGNAL SIGUSR2
#define PAGE KIB(4)
#define WRITE_HEADER (sizeof(struct fuse_in_header) + sizeof(struct fuse_write_in))
#define RECEIVE_BYTES (REQUEST_MAX_DATA + PAGE)

/* From <linux/fuse.h> of newer kernels than Debian 12 has headers for. */
#define INIT_DIRECT_IO_ALLOW_MMAP (1ULL << 36)
#define OPCODE_STATX 52

__thread struct request request_now;

struct thread {
	struct session *s;
	pthread_t id;
	_Atomic bool busy; /* inside a handler */
	_Atomic bool ended;
	u8 *receive; /* PAGE + RECEIVE_BYTES */
	u8 *reply;
} __attribute__((aligned(64)));

static __thread const struct thread *thread_now;

struct session {
	struct session_params p;
	struct fuse_session *se;
	struct thread *threads;
	_Atomic unsigned started; /* threads from the first on that have an id */
	_Atomic bool stop;
	_Atomic bool destroying;
	_Atomic bool unmounted; /* DESTROY came */
	_Atomic bool paused; /* requests wait */
	_Atomic u64 init_unique;
	u64 init_offered; /* flags of the kernel's INIT */
	bool setxattr_ext;

	struct mutex lock;
	struct cond changed;
	/* under lock */
	bool init_done;
	bool destroy_called;
	unsigned running;
	int error;
};

/* ---- replies ---- */

static void *reply_tail(const struct iovec *iov, int count, size_t want)
{
	const struct iovec *last = &iov[count - 1];

	if (count < 2 || last->iov_len < want)
		return NULL;
	return (u8 *)last->iov_base + last->iov_len - want;
}

/* What we want beside what libfuse 3.14 asks for, as far as the kernel offers it. */
static void init_patch(struct session *s, struct fuse_init_out *out)
{
	const u64 want = FUSE_PARALLEL_DIROPS | FUSE_HANDLE_KILLPRIV_V2 | FUSE_EXPLICIT_INVAL_DATA |
			 FUSE_POSIX_ACL | FUSE_DONT_MASK | FUSE_CACHE_SYMLINKS |
			 FUSE_SETXATTR_EXT | FUSE_INIT_EXT | INIT_DIRECT_IO_ALLOW_MMAP;
	u64 flags = out->flags | (want & s->init_offered);

	flags &= ~(u64)(FUSE_AUTO_INVAL_DATA | FUSE_WRITEBACK_CACHE | FUSE_HANDLE_KILLPRIV);
	if (!(flags & FUSE_INIT_EXT))
		flags &= UINT32_MAX;
	s->setxattr_ext = flags & FUSE_SETXATTR_EXT;
	out->flags = (u32)flags;
	out->flags2 = (u32)(flags >> 32);
	out->max_background = 64;
	out->congestion_threshold = 48;
}

static void init_announce(struct session *s)
{
	MUTEX_SCOPE(&s->lock);
	s->init_done = true;
	cond_broadcast(&s->changed);
}

/* libfuse's structures are its own temporaries, so they may be changed in place. */
static void reply_patch(struct session *s, const struct iovec *iov, int count)
{
	const struct fuse_out_header *h = iov[0].iov_base;
	struct fuse_open_out *open;
	struct fuse_init_out *init;

	if (h->error || !h->unique)
		return;
	if (h->unique == atomic_load_explicit(&s->init_unique, memory_order_relaxed)) {
		init = reply_tail(iov, count, sizeof(*init));
		if (init)
			init_patch(s, init);
	} else if (request_now.open_flags && h->unique == request_now.unique) {
		open = reply_tail(iov, count, sizeof(*open));
		if (open)
			open->open_flags |= request_now.open_flags;
	}
}

static ssize_t session_writev(int fd, struct iovec *iov, int count, void *user)
{
	struct session *s = user;
	const struct fuse_out_header *h = iov[0].iov_base;
	ssize_t n;

	reply_patch(s, iov, count);
	n = writev(fd, iov, count);
	if (h->unique && h->unique == s->init_unique)
		init_announce(s);
	return n;
}

/* libfuse wants one, but our threads read by themselves. */
static ssize_t session_read(int fd, void *buf, size_t len, void *user)
{
	return read(fd, buf, len);
}

/* @data goes along unless @err says no. */
static void reply_raw(struct session *s, u64 unique, int err, void *data, size_t len)
{
	struct fuse_out_header h = {.error = err, .unique = unique};
	struct iovec iov[2] = {{&h, sizeof(h)}, {data, err ? 0 : len}};

	h.len = (u32)(sizeof(h) + iov[1].iov_len);
	if (writev(s->p.fd, iov, 2) < 0 && errno != ENOENT)
		log_fault("fuse: answer to request %llu not taken: %s", (unsigned long long)unique,
			  strerror(errno));
}

/* ---- requests ---- */

static void note_init(struct session *s, const struct fuse_in_header *h,
		      const struct fuse_init_in *in)
{
	s->init_offered = in->flags;
	if (in->flags & FUSE_INIT_EXT)
		s->init_offered |= (u64)in->flags2 << 32;
	atomic_store(&s->init_unique, h->unique);
}

/* Takes the extended fields out of a SETXATTR, which libfuse 3.14 does not know; the new length. */
static size_t setxattr_shorten(struct fuse_in_header *h, size_t len)
{
	struct fuse_setxattr_in *in = (void *)(h + 1);
	const size_t at = sizeof(*h) + FUSE_COMPAT_SETXATTR_IN_SIZE;
	const size_t cut = sizeof(*in) - FUSE_COMPAT_SETXATTR_IN_SIZE;

	if (h->opcode != FUSE_SETXATTR || len < sizeof(*h) + sizeof(*in))
		return len;
	request_now.kill_suidgid = in->setxattr_flags & FUSE_SETXATTR_ACL_KILL_SGID;
	memmove((u8 *)h + at, (u8 *)h + at + cut, len - at - cut);
	h->len -= (u32)cut;
	return len - cut;
}

/* Fills request_now from the raw message; @len covers the header. */
static void request_note(struct session *s, const struct fuse_in_header *h, size_t len)
{
	union {
		const void *raw;
		const struct fuse_write_in *write;
		const struct fuse_setattr_in *setattr;
		const struct fuse_open_in *open;
		const struct fuse_create_in *create;
	} in = {.raw = h + 1};
	size_t body = len - sizeof(*h);

	request_now.unique = h->unique;
	request_now.opcode = h->opcode;
	request_now.kill_suidgid = false;
	request_now.tmpfile = false;
	request_now.open_flags = 0;
	request_now.bytes = 0;
	if (h->opcode == FUSE_WRITE && body >= sizeof(*in.write))
		request_now.kill_suidgid = in.write->write_flags & FUSE_WRITE_KILL_SUIDGID;
	else if (h->opcode == FUSE_SETATTR && body >= sizeof(*in.setattr))
		request_now.kill_suidgid = in.setattr->valid & FATTR_KILL_SUIDGID;
	else if (h->opcode == FUSE_OPEN && body >= sizeof(*in.open))
		request_now.kill_suidgid = in.open->open_flags & FUSE_OPEN_KILL_SUIDGID;
	else if (h->opcode == FUSE_CREATE && body >= sizeof(*in.create))
		request_now.kill_suidgid = in.create->open_flags & FUSE_OPEN_KILL_SUIDGID;
	else if (h->opcode == FUSE_INIT && body >= 16)
		note_init(s, h, in.raw);
}

static bool others_busy(struct session *s, const struct thread *self)
{
	for (unsigned i = 0; i < s->p.threads; i++)
		if (&s->threads[i] != self && atomic_load(&s->threads[i].busy))
			return true;
	return false;
}

static void call_destroy(struct session *s, const struct thread *self)
{
	const struct timespec ms = {.tv_nsec = 1000000};

	mutex_lock(&s->lock);
	bool first = !s->destroy_called;
	s->destroy_called = true;
	mutex_unlock(&s->lock);
	if (!first)
		return;
	atomic_store(&s->destroying, true);
	while (others_busy(s, self))
		nanosleep(&ms, NULL);
	s->p.calls.destroy(s->p.user);
}

/* What libfuse 3.14 does not know; true: answered here. */
static bool serve_unknown(struct session *s, struct fuse_in_header *h)
{
	struct statx_reply reply = {};
	int err;

	switch (h->opcode) {
	case FUSE_SYNCFS:
		reply_raw(s, h->unique, s->p.calls.syncfs(s->p.user), NULL, 0);
		return true;
	case OPCODE_STATX:
		err = s->p.calls.statx(s->p.user, h->nodeid, &reply);
		reply_raw(s, h->unique, err, &reply, sizeof(reply));
		return true;
	case FUSE_TMPFILE: /* has the form of a CREATE, and of its answer */
		request_now.tmpfile = true;
		h->opcode = FUSE_CREATE;
		return false;
	default:
		return false;
	}
}

static void request_serve(struct thread *t, void *msg, size_t len)
{
	struct fuse_in_header *h = msg;
	struct session *s = t->s;
	struct fuse_buf buf = {.mem = msg};

	request_note(s, h, len);
	buf.size = s->setxattr_ext ? setxattr_shorten(h, len) : len;
	if (h->opcode == FUSE_DESTROY) {
		atomic_store(&s->unmounted, true);
		call_destroy(s, t);
		reply_raw(s, h->unique, 0, NULL, 0);
		return;
	}
	if (atomic_load(&s->destroying))
		return; /* a late FORGET; the kernel waits for nothing any more */
	if (!serve_unknown(s, h))
		fuse_session_process_buf(s->se, &buf);
}

/* A request has come while others are held back. */
static void wait_resumed(struct thread *t)
{
	struct session *s = t->s;

	MUTEX_SCOPE(&s->lock);
	atomic_store(&t->busy, false);
	while (atomic_load(&s->paused))
		cond_wait(&s->changed, &s->lock);
	atomic_store(&t->busy, true);
}

void session_resume(struct session *s)
{
	MUTEX_SCOPE(&s->lock);
	atomic_store(&s->paused, false);
	cond_broadcast(&s->changed);
}

int session_pause(struct session *s, unsigned ms)
{
	const struct timespec tick = {.tv_nsec = 1000000};
	u64 until = stats_clock_ns() + ms * 1000000ull;

	atomic_store(&s->paused, true);
	while (others_busy(s, thread_now)) {
		if (stats_clock_ns() > until) {
			session_resume(s);
			return -EBUSY;
		}
		nanosleep(&tick, NULL);
	}
	return 0;
}

/* False: the session is over. */
static bool request_next(struct thread *t)
{
	struct session *s = t->s;
	u8 *msg = t->receive + PAGE - WRITE_HEADER;
	ssize_t n = read(s->p.fd, msg, RECEIVE_BYTES);
	u64 start;

	if (n < 0) {
		if (errno == EINTR || errno == EAGAIN || errno == ENOENT)
			return true;
		if (errno != ENODEV) {
			MUTEX_SCOPE(&s->lock);
			s->error = -errno;
		}
		return false;
	}
	if ((size_t)n < sizeof(struct fuse_in_header))
		return false;
	atomic_store(&t->busy, true);
	start = stats_clock_ns();
	while (atomic_load(&s->paused))
		wait_resumed(t);
	request_serve(t, msg, (size_t)n);
	stats_note(s->p.stats, (unsigned)(t - s->threads), request_now.opcode,
		   stats_clock_ns() - start, request_now.bytes);
	atomic_store(&t->busy, false);
	return true;
}

static void *thread_main(void *arg)
{
	struct thread *t = arg;
	struct session *s = t->s;

	pthread_setname_np(pthread_self(), "btrfuse-req");
	request_now.reply_buf = t->reply;
	thread_now = t;
	while (!atomic_load(&s->stop) && request_next(t))
		;
	atomic_store(&t->ended, true);
	MUTEX_SCOPE(&s->lock);
	s->running--;
	cond_broadcast(&s->changed);
	return NULL;
}

/* ---- life ---- */

static void wake(int sig)
{
}

static int thread_start(struct session *s, struct thread *t)
{
	t->s = s;
	mutex_lock(&s->lock);
	s->running++;
	mutex_unlock(&s->lock);
	t->receive = mmap(NULL, PAGE + RECEIVE_BYTES + REPLY_BUF_BYTES, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (t->receive == MAP_FAILED) {
		t->receive = NULL;
		return -ENOMEM;
	}
	t->reply = t->receive + PAGE + RECEIVE_BYTES;
	return -pthread_create(&t->id, NULL, thread_main, t);
}

int session_create(const struct session_params *params, struct session **ret)
{
	const struct fuse_custom_io io = {.writev = session_writev, .read = session_read};
	char name[] = "btrfuse";
	char *argv[] = {name, NULL};
	struct fuse_args args = FUSE_ARGS_INIT(1, argv);
	struct session *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->p = *params;
	mutex_init(&s->lock, RANK_NONE);
	cond_init(&s->changed);
	s->threads = aligned_alloc(64, s->p.threads * sizeof(struct thread));
	if (s->threads)
		memset(s->threads, 0, s->p.threads * sizeof(struct thread));
	s->se = fuse_session_new(&args, s->p.ops, sizeof(*s->p.ops), s);
	fuse_opt_free_args(&args);
	if (!s->threads || !s->se || fuse_session_custom_io(s->se, &io, s->p.fd)) {
		session_free(s);
		return -ENOMEM;
	}
	*ret = s;
	return 0;
}

int session_start(struct session *s)
{
	struct sigaction sa = {.sa_handler = wake};
	int err = 0;

	sigaction(WAKE_SIGNAL, &sa, NULL);
	for (unsigned i = 0; !err && i < s->p.threads; i++) {
		err = thread_start(s, &s->threads[i]);
		s->started += !err;
	}
	if (err) {
		s->running--;
		session_stop(s);
		return err;
	}
	MUTEX_SCOPE(&s->lock);
	while (!s->init_done && s->running == s->started)
		cond_wait(&s->changed, &s->lock);
	if (s->init_done)
		return 0;
	return s->error ? s->error : -ENODEV;
}

void session_wait(struct session *s)
{
	mutex_lock(&s->lock);
	while (s->running == s->started && !s->stop)
		cond_wait(&s->changed, &s->lock);
	mutex_unlock(&s->lock);
	session_stop(s);
	for (unsigned i = 0; i < s->started; i++)
		pthread_join(s->threads[i].id, NULL);
	s->started = 0;
	call_destroy(s, NULL);
}

void session_forget_attr(struct session *s, u64 node)
{
	int err = fuse_lowlevel_notify_inval_inode(s->se, node, -1, 0);

	if (err && err != -ENOENT)
		log_fault("fuse: attributes of node %llu: %s", (unsigned long long)node, strerror(-err));
}

bool session_unmounted(const struct session *s)
{
	return s && atomic_load(&s->unmounted);
}

bool session_stops(const struct session *s)
{
	return s && atomic_load(&s->stop);
}

void session_stop(struct session *s)
{
	const struct timespec pause = {.tv_nsec = 2000000};
	bool all;

	atomic_store(&s->stop, true);
	mutex_lock(&s->lock);
	cond_broadcast(&s->changed);
	mutex_unlock(&s->lock);
	do { /* a signal between the test of the flag and read() is lost, so again */
		all = true;
		for (unsigned i = 0; i < s->started; i++) {
			if (atomic_load(&s->threads[i].ended))
				continue;
			all = false;
			pthread_kill(s->threads[i].id, WAKE_SIGNAL);
		}
		if (!all)
			nanosleep(&pause, NULL);
	} while (!all);
}

void *session_user(struct session *s)
{
	return s->p.user;
}

void session_free(struct session *s)
{
	if (!s)
		return;
	if (s->se)
		fuse_session_destroy(s->se); /* closes the descriptor */
	if (s->threads)
		for (unsigned i = 0; i < s->p.threads; i++)
			if (s->threads[i].receive)
				munmap(s->threads[i].receive,
				       PAGE + RECEIVE_BYTES + REPLY_BUF_BYTES);
	free(s->threads);
	cond_destroy(&s->changed);
	mutex_destroy(&s->lock);
	free(s);
}

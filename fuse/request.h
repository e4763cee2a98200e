/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * request.h - what a request says that libfuse 3.14 does not pass on, and what its reply shall say
 * that libfuse 3.14 cannot.
 *
 * One per request thread, filled by the loop from the raw message before libfuse parses it, and
 * looked at by the reply hook of the session. No locks: a request that is answered by its own
 * thread only.
 */
#ifndef FUSE_REQUEST_H
#define FUSE_REQUEST_H

#include "disk/base/types.h"

struct request {
	u64 unique;
	u32 opcode;
	bool kill_suidgid;   /* KILLPRIV_V2: the writer may not keep set-id bits */
	bool tmpfile;        /* a CREATE that was a TMPFILE */
	u32 open_flags;      /* FOPEN_* bits to add to the reply of OPEN and CREATE */
	u64 bytes;           /* out, for the statistics: read or written */
	u8 *reply_buf;       /* REPLY_BUF_BYTES, 4 KiB aligned; for READ and READDIR */
};

/* Largest READ and WRITE. */
#define REQUEST_MAX_DATA MIB(1)
#define REPLY_BUF_BYTES REQUEST_MAX_DATA

extern __thread struct request request_now;

#endif

"""The btrfs and file-attribute ioctls that tests use, straight from the ABI of <linux/btrfs.h>."""
import errno
import fcntl
import os
import signal
import struct
import threading

BALANCE_V2 = 0xC4009420
BALANCE_CTL = 0x40049421
BALANCE_PROGRESS = 0x84009422
SYNC = 0x00009408
GET_DEV_STATS = 0xC4089434
GETFLAGS, SETFLAGS = 0x80086601, 0x40086602
FS_NOCOW_FL = 0x00800000

DATA, SYSTEM, METADATA = 1, 2, 4
FLAG_OF = {"data": DATA, "system": SYSTEM, "metadata": METADATA}
FORCE = 8
RESUME = 16
ARGS_PROFILES, ARGS_USAGE, ARGS_DEVID, ARGS_DRANGE, ARGS_VRANGE, ARGS_LIMIT = 1, 1 << 1, 1 << 2, 1 << 3, 1 << 4, 1 << 5
ARGS_LIMIT_RANGE, ARGS_STRIPES_RANGE, ARGS_CONVERT, ARGS_SOFT, ARGS_USAGE_RANGE = 1 << 6, 1 << 7, 1 << 8, 1 << 9, 1 << 10
SINGLE, DUP, RAID1, RAID0 = 1 << 48, 1 << 5, 1 << 4, 1 << 3
STATE_RUNNING, STATE_PAUSE_REQ, STATE_CANCEL_REQ = 1, 2, 4
CTL_PAUSE, CTL_CANCEL = 1, 2


def either(value, single, ranged):
    """A filter that is a number or a range of two: its bytes and its flag."""
    if value is None:
        return bytes(8), 0
    return (struct.pack("<II", *value), ranged) if isinstance(value, tuple) else (struct.pack("<Q", value), single)


def filter_args(usage=None, devid=None, vrange=None, limit=None, drange=None, stripes=None, profiles=0, convert=0, soft=False):
    """struct btrfs_balance_args, 136 bytes packed. usage and limit: a number or (min, max)."""
    usage, usage_flag = either(usage, ARGS_USAGE, ARGS_USAGE_RANGE)
    limit, limit_flag = either(limit, ARGS_LIMIT, ARGS_LIMIT_RANGE)
    flags = usage_flag | limit_flag
    for given, flag in ((devid is not None, ARGS_DEVID), (vrange, ARGS_VRANGE), (drange, ARGS_DRANGE), (profiles, ARGS_PROFILES),
                        (stripes, ARGS_STRIPES_RANGE), (convert, ARGS_CONVERT), (soft, ARGS_SOFT)):
        flags |= flag if given else 0
    packed = struct.pack("<Q", profiles) + usage + struct.pack("<QQQQQQQ", devid or 0, *(drange or (0, 0)), *(vrange or (0, 0)),
                                                               convert, flags) + limit + struct.pack("<II", *(stripes or (0, 0)))
    return packed + bytes(136 - len(packed))


class BalanceResult:
    def __init__(self, raw, error):
        self.flags, self.state = struct.unpack_from("<QQ", raw, 0)
        self.expected, self.considered, self.completed = struct.unpack_from("<QQQ", raw, 16 + 3 * 136)
        self.error = error

    def __repr__(self):
        name = errno.errorcode.get(self.error, self.error)
        return f"<balance error={name} expected={self.expected} considered={self.considered} completed={self.completed}>"


def balance(mnt, data=None, metadata=None, system=None, flags=0):
    """Starts a balance and waits for its end. Each of data/metadata/system is None (not asked for) or a dict of filters."""
    kinds = {"data": data, "metadata": metadata, "system": system}
    for kind, wanted in kinds.items():
        flags |= FLAG_OF[kind] if wanted is not None else 0
    if system is not None:
        flags |= FORCE
    raw = struct.pack("<QQ", flags, 0) + b"".join(filter_args(**(kinds[k] or {})) for k in ("data", "metadata", "system"))
    # struct order is data, meta, sys, as here
    buf = bytearray(raw + bytes(1024 - len(raw)))
    fd = os.open(mnt, os.O_RDONLY)
    # a test's children end while it waits here: their SIGCHLD may not pass for an interrupt of this call
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
    try:
        fcntl.ioctl(fd, BALANCE_V2, buf, True)
        return BalanceResult(buf, 0)
    except OSError as e:
        return BalanceResult(buf, e.errno)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        os.close(fd)


class BalanceThread(threading.Thread):
    """A balance in the background; `finish()` joins it and returns the result."""

    def __init__(self, mnt, **kw):
        super().__init__(daemon=True)
        self.mnt, self.kw, self.result = mnt, kw, None
        self.start()

    def run(self):
        self.result = balance(self.mnt, **self.kw)

    def finish(self, timeout=60):
        self.join(timeout)
        assert not self.is_alive(), f"balance did not end within {timeout} s"
        return self.result


def balance_ctl(mnt, cmd):
    """With a pointer to the int: by value the kernel would answer EFAULT before the daemon sees it."""
    fd = os.open(mnt, os.O_RDONLY)
    try:
        fcntl.ioctl(fd, BALANCE_CTL, struct.pack("<i", cmd))
        return 0
    except OSError as e:
        return e.errno
    finally:
        os.close(fd)


def balance_ctl_by_value(mnt, cmd):
    """As the kernel's own btrfs takes it, whatever the ioctl's number says."""
    fd = os.open(mnt, os.O_RDONLY)
    try:
        fcntl.ioctl(fd, BALANCE_CTL, cmd)
        return 0
    except OSError as e:
        return e.errno
    finally:
        os.close(fd)


def balance_cancel(mnt):
    """Cancels on FUSE (pointer to the int) and on the kernel's btrfs (the int by value)."""
    error = balance_ctl(mnt, CTL_CANCEL)
    return balance_ctl_by_value(mnt, CTL_CANCEL) if error == errno.EINVAL else error


def balance_pause(mnt):
    error = balance_ctl(mnt, CTL_PAUSE)
    return balance_ctl_by_value(mnt, CTL_PAUSE) if error == errno.EINVAL else error


def balance_progress(mnt):
    buf = bytearray(1024)
    fd = os.open(mnt, os.O_RDONLY)
    try:
        fcntl.ioctl(fd, BALANCE_PROGRESS, buf, True)
        return BalanceResult(buf, 0)
    except OSError as e:
        return BalanceResult(buf, e.errno)
    finally:
        os.close(fd)


def dev_stats(mnt, devid):
    """The five counters of a device."""
    buf = bytearray(struct.pack("<QQQ", devid, 5, 0) + bytes(1032 - 24))
    fd = os.open(mnt, os.O_RDONLY)
    try:
        fcntl.ioctl(fd, GET_DEV_STATS, buf, True)
    finally:
        os.close(fd)
    names = ("write_io_errs", "read_io_errs", "flush_io_errs", "corruption_errs", "generation_errs")
    return dict(zip(names, struct.unpack_from("<5Q", buf, 24)))


def sync_fs(mnt):
    """BTRFS_IOC_SYNC: durable on plain FUSE too, where syncfs(2) is not passed on."""
    fd = os.open(mnt, os.O_RDONLY)
    try:
        fcntl.ioctl(fd, SYNC)
    finally:
        os.close(fd)


def get_flags(path):
    fd = os.open(path, os.O_RDONLY)
    try:
        return struct.unpack("<l", fcntl.ioctl(fd, GETFLAGS, struct.pack("<l", 0)))[0] & 0xFFFFFFFF
    finally:
        os.close(fd)


def set_flags(path, flags):
    fd = os.open(path, os.O_RDONLY)
    try:
        fcntl.ioctl(fd, SETFLAGS, struct.pack("<l", flags))
    finally:
        os.close(fd)


def set_nocow(path):
    set_flags(path, get_flags(path) | FS_NOCOW_FL)


QUOTA_CTL, QGROUP_ASSIGN, QGROUP_CREATE, QGROUP_LIMIT = 0xC0109428, 0x40189429, 0x4010942A, 0x8030942B
QUOTA_RESCAN, QUOTA_RESCAN_STATUS, QUOTA_RESCAN_WAIT = 0x4040942C, 0x8040942D, 0x942E
QUOTA_ENABLE, QUOTA_DISABLE, QUOTA_ENABLE_SIMPLE = 1, 2, 4
LIMIT_MAX_RFER = 1


def on_folder(path, request, argument=0):
    fd = os.open(path, os.O_RDONLY)
    try:
        return fcntl.ioctl(fd, request, argument)
    finally:
        os.close(fd)


def quota_ctl(mnt, command):
    on_folder(mnt, QUOTA_CTL, struct.pack("<QQ", command, 0))


def qgroup_create(mnt, group):
    on_folder(mnt, QGROUP_CREATE, struct.pack("<QQ", 1, group))


def qgroup_destroy(mnt, group):
    on_folder(mnt, QGROUP_CREATE, struct.pack("<QQ", 0, group))


def qgroup_relate(mnt, on, child, parent):
    """0, or 1: a rescan is needed."""
    return on_folder(mnt, QGROUP_ASSIGN, bytearray(struct.pack("<QQQ", on, child, parent)))


def qgroup_assign(mnt, child, parent):
    return qgroup_relate(mnt, 1, child, parent)


def qgroup_unassign(mnt, child, parent):
    return qgroup_relate(mnt, 0, child, parent)


def qgroup_limit(mnt, group, most):
    on_folder(mnt, QGROUP_LIMIT, bytearray(struct.pack("<QQQQQQ", group, LIMIT_MAX_RFER, most, 0, 0, 0)))


def quota_rescan(mnt):
    on_folder(mnt, QUOTA_RESCAN, bytes(64))


def quota_rescan_wait(mnt):
    on_folder(mnt, QUOTA_RESCAN_WAIT)


def quota_rescan_status(mnt):
    """(1 if one runs, how far it is)"""
    raw = bytearray(64)
    on_folder(mnt, QUOTA_RESCAN_STATUS, raw)
    return struct.unpack_from("<QQ", raw)

#!/usr/bin/env python3
"""Side-by-side workloads over mounted file systems, one run, same image size, interleaved rounds. As root.

usage: bench.py [--rounds 3] [--size-mb 512] [--only wl,wl] [--json out] [CONTENDER...]
Without a contender: kernel ours=build-release/fuse/btrfuse. The control tool is expected beside the daemon;
OURS_BALANCE and OURS_BALANCE_M say another command for the balances ({mnt} is filled in).
CONTENDER: kernel | loopdio | btrfs-fuse=PATH | ours=PATH | fuse2fs | ntfs-3g
Images lie in memory (/dev/shm; BENCH_TMP for elsewhere), so that the disk of a shared machine does not decide.
Prints a table: median of each workload per contender and the ratio to `kernel`.
Figures are throughput (higher is better) unless the workload's name ends in _ms or _s.
"""
import argparse, json, os, re, shutil, statistics, subprocess, sys, tempfile, time

HERE = os.path.dirname(os.path.abspath(__file__))

def sh(cmd, check=True, quiet=True, timeout=600):
    r = subprocess.run(cmd, shell=isinstance(cmd, str), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=timeout)
    if check and r.returncode:
        raise RuntimeError(f"{cmd}: {r.returncode}: {r.stdout.decode(errors='replace')[-800:]}")
    return r.stdout.decode(errors='replace')

def drop():
    sh("sync; echo 3 > /proc/sys/vm/drop_caches")

class Contender:
    ro = False
    def __init__(self, spec, work):
        self.name, _, self.path = spec.partition('=')
        self.img = f"{work}/{self.name}.img"; self.mnt = f"{work}/{self.name}.mnt"; os.makedirs(self.mnt, exist_ok=True)
        self.ro = self.name == 'btrfs-fuse'
        self.btrfs = self.name in ('kernel', 'loopdio', 'btrfs-fuse', 'ours')
    def mkfs(self, size_mb, opts=''):
        if os.path.exists(self.img): os.unlink(self.img)
        sh(f"truncate -s {size_mb}M {self.img}")
        if self.btrfs: sh(f"mkfs.btrfs -q -f {opts} {self.img}")
        elif self.name == 'fuse2fs': sh(f"mke2fs -q -F -t ext4 {self.img}")
        elif self.name == 'ntfs-3g': sh(f"mkntfs -q -F -Q {self.img}")
    def mount(self, opts='', kernel=False):
        o = f"-o {opts}" if opts else ''
        if kernel or self.name == 'kernel': sh(f"mount -o loop{',' + opts if opts else ''} {self.img} {self.mnt}")
        elif self.name == 'loopdio':
            self.loop = sh(f"losetup -f --show --direct-io=on {self.img}").strip(); sh(f"mount {o} {self.loop} {self.mnt}")
        elif self.name == 'btrfs-fuse': sh(f"{self.path} {self.img} {self.mnt}")
        elif self.name == 'ours': sh(f"{self.path} {o} {self.img} {self.mnt}")
        elif self.name == 'fuse2fs': sh(f"fuse2fs {self.img} {self.mnt} -o fakeroot")
        elif self.name == 'ntfs-3g': sh(f"ntfs-3g {self.img} {self.mnt} -o big_writes")
        for _ in range(100):
            if os.path.ismount(self.mnt): return
            time.sleep(.02)
        raise RuntimeError(f"{self.name}: not mounted")
    def umount(self):
        for _ in range(50):
            if not os.path.ismount(self.mnt): break
            subprocess.run(["umount", self.mnt], stderr=subprocess.DEVNULL); time.sleep(.05)
        if getattr(self, 'loop', None): sh(f"losetup -d {self.loop}"); self.loop = None
        for _ in range(400):      # a FUSE daemon may still be flushing: wait for it to let go of the image
            if not sh(f"fuser {self.img} 2>/dev/null", check=False).strip(): break
            time.sleep(.05)

    def balance(self, kind, variable):
        tool = f"{os.path.dirname(self.path)}/btrfusectl" if self.name == 'ours' else 'btrfs'
        cmd = f"{tool} balance start {kind} {{mnt}}"
        return (os.environ.get(variable, cmd) if self.name == 'ours' else cmd).format(mnt=self.mnt)

def fio(mnt, name, **kw):
    a = dict(name=name, directory=mnt, thread=1, group_reporting=1, output_format='json'); a.update(kw)
    out = sh(["fio"] + [f"--{k.replace('_','-') if k=='output_format' else k}={v}" for k, v in a.items()])
    j = json.loads(out[out.index('{'):])['jobs'][0]
    side = 'read' if 'read' in kw['rw'] else 'write'
    return j[side]

def tree(mnt, n, size, dirs=50):
    buf = os.urandom(size)
    for d in range(dirs): os.makedirs(f"{mnt}/t/d{d}", exist_ok=True)
    for i in range(n):
        fd = os.open(f"{mnt}/t/d{i % dirs}/f{i}", os.O_CREAT | os.O_WRONLY, 0o644); os.write(fd, buf); os.close(fd)

def fill_text(path, mb):
    line = b''.join(b'%08d the quick brown fox jumps over lazy dogs %08x\n' % (i, i * 2654435761 & 0xffffffff) for i in range(20000))
    with open(path, 'wb') as f:
        for _ in range(mb * 1048576 // len(line)): f.write(line)

# each workload: (needs write?, prepare(c, size) with a kernel mount or own mount, run(c) -> figure)
def wl_seqread(c, mb, comp=None):
    c.mkfs(mb * 3)
    c.mount(kernel=c.btrfs, opts=f"compress-force={comp}" if comp else '')
    if comp: fill_text(f"{c.mnt}/big", mb)
    else: sh(f"dd if=/dev/urandom of={c.mnt}/big bs=1M count={mb} conv=fsync")
    c.umount(); c.mount(); drop()
    t = time.time(); sh(f"dd if={c.mnt}/big of=/dev/null bs=1M"); dt = time.time() - t
    c.umount(); return mb / dt
def wl_seqread_zstd(c, mb): return wl_seqread(c, mb, 'zstd') if c.btrfs else None
def wl_seqread_lzo(c, mb): return wl_seqread(c, mb, 'lzo') if c.btrfs else None
def wl_randread4k(c, mb):
    c.mkfs(mb * 3); c.mount(kernel=c.btrfs); sh(f"dd if=/dev/urandom of={c.mnt}/big bs=1M count={mb} conv=fsync"); c.umount(); c.mount(); drop()
    r = fio(c.mnt, 'rr', filename='big', rw='randread', bs='4k', direct=1, size=f'{mb}m', runtime=5, time_based=1, ioengine='psync', numjobs=4); c.umount(); return r['iops']
def wl_coldtree(c, mb):
    c.mkfs(1024); c.mount(kernel=c.btrfs); tree(c.mnt, 20000, 1024); c.umount(); c.mount(); drop()
    t = time.time(); sh(f"find {c.mnt}/t -type f -printf '%s' > /dev/null"); dt = time.time() - t; c.umount(); return 20000 / dt
def wl_coldcat(c, mb):
    c.mkfs(1024); c.mount(kernel=c.btrfs); tree(c.mnt, 20000, 3000); c.umount(); c.mount(); drop()
    t = time.time(); sh(f"tar cf - -C {c.mnt} t | cat > /dev/null"); dt = time.time() - t; c.umount(); return 20000 / dt
def wl_seqwrite(c, mb, opts=''):
    if c.ro: return None
    c.mkfs(mb * 3); c.mount(opts if c.btrfs else ''); drop()
    t = time.time(); sh(f"dd if=/dev/zero of={c.mnt}/big bs=1M count={mb} conv=fsync"); dt = time.time() - t; c.umount(); return mb / dt
def wl_seqwrite_zstd(c, mb):
    if c.ro or not c.btrfs: return None
    c.mkfs(mb * 3); c.mount('compress-force=zstd'); src = f"{c.img}.src"; fill_text(src, mb); sh(f"cat {src} > /dev/null")
    t = time.time(); sh(f"dd if={src} of={c.mnt}/big bs=1M conv=fsync"); dt = time.time() - t; c.umount(); os.unlink(src); return mb / dt
def wl_create(c, mb):
    if c.ro: return None
    c.mkfs(2048); c.mount(); t = time.time(); tree(c.mnt, 20000, 1024); sh(f"sync -f {c.mnt}"); dt = time.time() - t; c.umount(); return 20000 / dt
def wl_unlink(c, mb):
    if c.ro: return None
    c.mkfs(2048); c.mount(); tree(c.mnt, 20000, 1024); c.umount(); c.mount(); drop(); t = time.time(); sh(f"rm -rf {c.mnt}/t; sync -f {c.mnt}"); dt = time.time() - t; c.umount(); return 20000 / dt
def nocow(c, mb, **kw):
    if c.ro: return None
    c.mkfs(mb * 3); c.mount()
    open(f"{c.mnt}/nc", 'w').close()
    if c.btrfs: sh(f"chattr +C {c.mnt}/nc")
    sh(f"dd if=/dev/urandom of={c.mnt}/nc bs=1M count={mb} conv=fsync,notrunc"); drop()
    r = fio(c.mnt, 'nc', filename='nc', rw='randwrite', bs='4k', size=f'{mb}m', runtime=5, time_based=1, direct=1 if c.btrfs else 0, **kw); c.umount(); return r
def wl_nocow4k_qd1(c, mb):
    r = nocow(c, mb, ioengine='psync'); return r and r['iops']
def wl_nocow4k_qd16(c, mb):
    r = nocow(c, mb, ioengine='libaio', iodepth=16); return r and r['iops']
def wl_fsync4k(c, mb):
    if c.ro: return None
    c.mkfs(1024); c.mount(); r = fio(c.mnt, 'fs', filename='fs', rw='write', bs='4k', size='64m', fsync=1, runtime=5, time_based=1, ioengine='psync'); c.umount(); return r['iops']
def wl_balance(c, mb):
    """MiB/s of relocating all data groups of a file system holding mb MiB in mixed file sizes."""
    if c.ro or not c.btrfs: return None
    c.mkfs(mb * 4); c.mount(kernel=True)
    sh(f"dd if=/dev/urandom of={c.mnt}/big bs=1M count={mb // 2}"); tree(c.mnt, mb // 2 * 16, 65536); sh(f"sync -f {c.mnt}"); c.umount(); c.mount(); drop()
    cmd = c.balance('-d', 'OURS_BALANCE')
    t = time.time(); sh(cmd); sh(f"sync -f {c.mnt}"); dt = time.time() - t; c.umount(); return mb / dt
def wl_balance_meta(c, mb):
    """inodes/s of relocating the metadata groups of a 40,000-file tree with 50 snapshots."""
    if c.ro or not c.btrfs: return None
    c.mkfs(2048); c.mount(kernel=True); sh(f"btrfs subvolume create {c.mnt}/s"); tree(f"{c.mnt}/s", 20000, 1024)
    for i in range(50):
        sh(f"btrfs subvolume snapshot {c.mnt}/s {c.mnt}/snap{i}")
        for k in range(0, 200): open(f"{c.mnt}/s/t/d{k % 50}/f{(i * 397 + k) % 20000}", 'a').close(); os.utime(f"{c.mnt}/s/t/d{k % 50}")
    sh(f"sync -f {c.mnt}"); c.umount(); c.mount(); drop()
    cmd = c.balance('-m', 'OURS_BALANCE_M')
    t = time.time(); sh(cmd); sh(f"sync -f {c.mnt}"); dt = time.time() - t; c.umount(); return 20000 / dt
def wl_mount_ms(c, mb):
    c.mkfs(1024); c.mount(kernel=c.btrfs); tree(c.mnt, 5000, 1024); c.umount(); drop()
    t = time.time(); c.mount(); os.listdir(c.mnt); dt = time.time() - t; c.umount(); return dt * 1e3

WL = {k[3:]: v for k, v in globals().items() if k.startswith('wl_')}

def main():
    ap = argparse.ArgumentParser(); ap.add_argument('--rounds', type=int, default=3); ap.add_argument('--size-mb', type=int, default=512)
    ap.add_argument('--only'); ap.add_argument('--json'); ap.add_argument('contender', nargs='*', default=['kernel', f'ours={HERE}/../../build-release/fuse/btrfuse'])
    a = ap.parse_args()
    work = tempfile.mkdtemp(prefix='bench.', dir=os.environ.get('BENCH_TMP', '/dev/shm')); cs = [Contender(s, work) for s in a.contender]
    res = {}
    for w in (a.only.split(',') if a.only else WL):
        for r in range(a.rounds):
            for c in cs:
                try: v = WL[w](c, a.size_mb)
                except Exception as e:
                    print(f"!! {w} {c.name}: {str(e)[-300:]}", file=sys.stderr); v = None
                    try: c.umount()
                    except Exception: pass
                if v is not None: res.setdefault(w, {}).setdefault(c.name, []).append(v)
                if os.path.exists(c.img): os.unlink(c.img)
        row = res.get(w, {}); k = statistics.median(row['kernel']) if row.get('kernel') else None
        print(f"{w:16s} " + "  ".join(f"{c.name}={statistics.median(row[c.name]):.0f}" + (f" ({statistics.median(row[c.name])/k:.2f}x)" if k else '') if row.get(c.name) else f"{c.name}=-" for c in cs), flush=True)
    if a.json: json.dump(res, open(a.json, 'w'), indent=1)
    shutil.rmtree(work, ignore_errors=True)
if __name__ == '__main__':
    main()

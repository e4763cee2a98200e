"""The main job before your eyes; see ./demo. Argument: the build folder."""
import contextlib
import os
import sys

from harness import image as images, ioctls, places
from harness.kernel import KernelMount
from harness.shell import CommandFailed, output, run
from harness.subject import remove_scratch
from scenarios.workload import Writers

SECONDS = 10
KINDS = ("nocow", "prealloc", "cow", "buffered")
TOLD = {"nocow": "a nodatacow file, written in place with O_DIRECT",
        "prealloc": "a preallocated file, written in place with O_DIRECT",
        "cow": "a checksummed file, copied on write with O_DIRECT",
        "buffered": "a checksummed file, copied on write through the page cache with fsync"}


def say(line):
    print(line, flush=True)


def have_kernel_btrfs():
    with open("/proc/filesystems") as f:
        return os.geteuid() == 0 and "\tbtrfs\n" in f.read()


class Mount:
    """A mount as a user makes it: the command returns when it is usable, umount when the image is complete."""

    def __init__(self, build, image, path):
        self.build, self.path = build, path
        os.makedirs(path, exist_ok=True)
        self.mounted = False
        run(f"{build}/fuse/btrfuse", image, path)
        self.mounted = True

    def umount(self):
        run(f"{self.build}/fuse/btrfusectl", "umount", self.path)
        self.mounted = False

    def close(self):
        if self.mounted:
            run(*(["umount"] if os.geteuid() == 0 else ["fusermount3", "-u"]), self.path, check=False)


def balance_while_writing(mnt, writers):
    """How many balances ended, and how many block groups they relocated. A group that empties by itself is none of theirs."""
    balances = groups = 0
    while writers.running():
        result = ioctls.balance(mnt, data={}, metadata={}, system={})
        assert not result.error and result.completed, f"the balance ioctl answered {result}"
        balances, groups = balances + 1, groups + result.completed
    return balances, groups


def write_and_balance(build, image, mnt):
    """Steps 2 to 4: mount, write while balances run, unmount. Returns the writers, who know what was acknowledged."""
    with contextlib.closing(Mount(build, image, mnt)) as m:
        say(f"2. Mounted it with btrfuse. {len(KINDS)} writers start, each on a file of its own, block by block at random:")
        for kind in KINDS:
            say(f"   - {TOLD[kind]}")
        writers = Writers(mnt, len(KINDS), file_blocks=4096, kinds=KINDS)
        writers.prepare()
        say(f"3. Now for {SECONDS} s, while they write, the btrfs balance ioctl relocates all data, metadata and system groups:")
        writers.start(SECONDS)
        balances, groups = balance_while_writing(mnt, writers)
        count, _ = writers.finish()
        say(f"   {balances} balances relocated {groups} block groups, and {count} writes were acknowledged meanwhile.")
        writers.verify(mnt)
        say("   Read everything back: each block holds the last acknowledged write.")
        m.umount()
        say("4. Unmounted it.")
    return writers


def verify_everywhere(build, image, mnt, writers):
    images.check(image)
    say("5. `btrfs check --check-data-csum` finds nothing wrong.")
    with contextlib.closing(Mount(build, image, mnt)) as m:
        writers.verify(mnt)
        m.umount()
    say("6. Mounted it again with btrfuse: nothing is lost.")
    if not have_kernel_btrfs():
        say("7. Left out: the kernel's own mount (it needs root and a kernel with btrfs).")
        return
    with KernelMount(image) as kernel:
        writers.verify(kernel)
        images.scrub(kernel)
    say("7. The kernel's btrfs mounts it, reads the same blocks, scrubs it without an error and logs no warning.")


def demo(build, folder):
    image = images.make(os.path.join(folder, "demo.img"), 1024)
    say(f"1. Made a btrfs image of 1 GiB with mkfs.btrfs: {image}")
    mnt = os.path.join(folder, "mnt")
    verify_everywhere(build, image, mnt, write_and_balance(build, image, mnt))


def main(build):
    folder = places.make_scratch()
    try:
        demo(build, folder)
    except (AssertionError, CommandFailed, OSError, RuntimeError, TimeoutError) as failure:
        say(f"demo: failed: {failure}")
        return 1
    finally:
        remove_scratch(folder)
    say("demo: ok")
    return 0


sys.exit(main(sys.argv[1]))

"""Balances in a loop under four writers with O_DIRECT on nodatacow and preallocated files: no acknowledged block is lost."""
from harness import image as images, ioctls
from harness.kernel import KernelMount

from .workload import Writers


def test_no_block_is_lost(subject, image, full):
    m = subject.mount(image)
    writers = Writers(m.path, count=4, file_blocks=1024)
    writers.prepare()
    writers.start(seconds=20 if full else 6)
    balances = 0
    while writers.running():
        assert ioctls.balance(m.path, data={}, metadata={}).error == 0
        balances += 1
    total, per_second = writers.finish()
    writers.verify(m.path)
    m.umount()
    images.judge(image)
    with KernelMount(image, "ro") as mnt:
        writers.verify(mnt)
    assert balances >= (5 if full else 2)
    assert min(per_second) > 0, per_second
    assert total >= (10_000 if full else 1000), total

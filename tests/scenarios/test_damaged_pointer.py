"""A node behind a right checksum whose pointers lie: an error for what lies behind them, an answer for everything."""
import errno
import os
import re
import struct

import pytest

from harness import dump, files, image as images
from harness.crc32c import crc32c
from harness.kernel import KernelMount

pytestmark = pytest.mark.fuse_only
NODE, HEADER, POINTER = 16384, 101, 33
BLOCKPTR, GENERATION = 17, 25      # in a pointer


def change_pointer(image, field, change):
    """One pointer in the top node of the file tree, in every copy, the checksum put right."""
    logical = int(re.search(r"^node (\d+) level 1", images.dump_tree(image, "-t", "5"), re.M).group(1))
    with open(image, "r+b") as f:
        for at in dump.physical(image, logical):
            f.seek(at)
            node = bytearray(f.read(NODE))
            slot = struct.unpack_from("<I", node, 96)[0] // 2
            place = HEADER + POINTER * slot + field
            struct.pack_into("<Q", node, place, change(struct.unpack_from("<Q", node, place)[0]))
            struct.pack_into("<I", node, 0, crc32c(node[32:]))
            f.seek(at)
            f.write(node)


@pytest.mark.parametrize("field,change", [(GENERATION, lambda g: 0), (GENERATION, lambda g: g - 1), (GENERATION, lambda g: g + 9),
                                          (BLOCKPTR, lambda b: b + 16384), (BLOCKPTR, lambda b: 1 << 40)],
                         ids=["generation-0", "older", "newer", "neighbour", "nowhere"])
def test_lying_pointer(subject, image, field, change):
    with KernelMount(image) as mnt:
        for i in range(400):
            files.write(f"{mnt}/f{i:03}", b"x" * 1500)
    change_pointer(image, field, change)
    m = subject.mount(image, "noatime")
    answers = {}
    for i in range(400):
        try:
            answers[i] = len(files.read(m.join(f"f{i:03}")))
        except OSError as e:
            answers[i] = -e.errno
    assert -errno.EIO in answers.values() or -errno.EUCLEAN in answers.values()
    assert list(answers.values()).count(1500) > 300, "one pointer of many"
    m.umount()

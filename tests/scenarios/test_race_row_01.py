"""Race row 1, the seed of the project: the write that was acknowledged and is gone.

A nodatacow file is overwritten in place: the new bytes go to the old address, no pointer changes. That makes two decisions
out of one: first the writer looks where the block is (address A) and decides that it may be written there; a moment later
it writes. Relocation empties a block group: it makes the group read-only, copies each extent to a new place, and switches
the pointers to the copy. Now let both meet:

    writer                                   relocation
    looks: block 10 is at A, in group G
    decides: in place
                                             makes G read-only: nobody may start to write there
                                             copies A to B (the old bytes)
    writes the new bytes to A
    tells the program: done
                                             switches the file's pointer from A to B
                                             gives A back as free space

The program was told that its data is written. The file shows the old bytes, no checksum objects (nodatacow has none), no
message is logged. If somebody was given A in between, the late write even destroys a stranger's data. Being read-only does
not help: the writer had passed that door before it was closed.

The kernel had this bug until 4.7. The answer, there and here: a writer that decides to write in place takes a *token* of the
group in the same step in which it looks; it gives the token back when the I/O is done. Relocation closes the door and then
*drains*: it waits until no token is out. Whoever came through the door before it was closed is waited for; nobody comes
after. So the copy always sees the write.

In this test the writer is parked with its token in hand, before the I/O [wr.token]. With the guard `drain` on, relocation
must not get past its drain until the writer is let go, while everybody in other groups goes on. With the guard off
relocation does not wait, and the story above happens.
"""
import pytest

from .race import PATIENCE, Race, both_ways

pytestmark = [pytest.mark.fuse_only, pytest.mark.hooks]


@both_ways("drain")
def test_row_01(subject, image_cache, scratch, guard, how):
    race = Race(subject, image_cache, scratch, guard, how=how)

    race.arm("wr.token", ino=race.file.inode)
    writer = race.writer(block=10)
    race.must_park("wr.token")              # decided: in place, at the old address

    race.arm("rl.drained")
    race.relocate()
    if race.on:
        assert not race.parked("rl.drained", PATIENCE), "relocation did not wait for the writer"
        race.others_go_on()
        race.release("wr.token")            # the write lands before the copy is made
        race.must_park("rl.drained")
        race.release("rl.drained")
    else:
        race.must_park("rl.drained")        # nobody is waited for
        race.arm("rl.committed")
        race.release("rl.drained")
        race.must_park("rl.committed")      # copied, switched, durable
        race.release("rl.committed")
        race.release("wr.token")            # and only now the write lands, at the old place

    race.finish(writer)                     # acknowledged
    race.conclude(race.verdict(), "content")

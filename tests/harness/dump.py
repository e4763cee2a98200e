"""Facts read out of `btrfs inspect-internal dump-tree`: where a file's extents are, which chunks exist, who refers to what."""
import re
from dataclasses import dataclass, field

from .image import dump_tree


@dataclass(frozen=True)
class Extent:
    offset: int
    kind: str          # inline, regular, prealloc
    generation: int
    disk: int          # logical address, 0 for a hole
    disk_bytes: int
    extent_offset: int
    length: int
    ram: int


@dataclass
class Chunk:
    logical: int
    length: int
    type: str
    stripes: list = field(default_factory=list)     # physical offsets


_KEY = re.compile(r"^\titem \d+ key \((\S+) (\S+) (\S+)\)")


def items(image, tree):
    """(key as text triple, lines of the item) of one tree, in order."""
    key, lines = None, []
    for line in dump_tree(image, "-t", str(tree)).splitlines():
        found = _KEY.match(line)
        if found or line.startswith(("leaf ", "node ")):
            if key:
                yield key, lines
            key, lines = (found.groups(), []) if found else (None, [])
        elif key:
            lines.append(line.strip())
    if key:
        yield key, lines


def file_extents(image, inode, tree=5):
    """The file extent items of one inode."""
    found = []
    for (objectid, kind, offset), lines in items(image, tree):
        if objectid != str(inode) or kind != "EXTENT_DATA":
            continue
        text = " ".join(lines)
        generation, type_ = re.search(r"generation (\d+) type \d+ \((\w+)\)", text).groups()
        if type_ == "inline":
            size = int(re.search(r"data size (\d+)", text).group(1))
            found.append(Extent(int(offset), "inline", int(generation), 0, 0, 0, size, size))
            continue
        disk, disk_bytes = re.search(r"(?:extent|prealloc) data disk byte (\d+) nr (\d+)", text).groups()
        word = r"(?:prealloc|extent) data offset (\d+) nr (\d+)"
        at, length = re.search(word, text).groups()
        ram = re.search(r"ram (\d+)", text)
        found.append(Extent(int(offset), type_, int(generation), int(disk), int(disk_bytes), int(at), int(length),
                            int(ram.group(1)) if ram else int(disk_bytes)))
    return found


def chunks(image):
    found = []
    for (_, kind, offset), lines in items(image, "chunk"):
        if kind != "CHUNK_ITEM":
            continue
        text = "\n".join(lines)
        length, type_ = re.search(r"length (\d+) owner \d+ stripe_len \d+ type (\S+)", text).groups()
        stripes = [int(at) for at in re.findall(r"stripe \d+ devid \d+ offset (\d+)", text)]
        found.append(Chunk(int(offset), int(length), type_, stripes))
    return found


def physical(image, logical):
    """Every physical address of a logical one (one device)."""
    for chunk in chunks(image):
        if chunk.logical <= logical < chunk.logical + chunk.length:
            return [stripe + logical - chunk.logical for stripe in chunk.stripes]
    raise LookupError(f"no chunk holds {logical}")


def block_groups(image):
    """logical -> (length, used, flags)."""
    found = {}
    for (objectid, kind, length), lines in items(image, "extent"):
        if kind == "BLOCK_GROUP_ITEM":
            used, flags = re.search(r"block group used (\d+) chunk_objectid \d+ flags (\S+)", " ".join(lines)).groups()
            found[int(objectid)] = (int(length), int(used), flags)
    return found


def extent_refs(image):
    """logical -> (kind, refs) of every extent item."""
    found = {}
    for (objectid, kind, _), lines in items(image, "extent"):
        if kind in ("EXTENT_ITEM", "METADATA_ITEM"):
            refs, flags = re.search(r"refs (\d+) gen \d+ flags (\S+)", " ".join(lines)).groups()
            found[int(objectid)] = (flags, int(refs))
    return found


def without_headers(text):
    """A dump without what every commit changes: generations and addresses of nodes."""
    return "\n".join(l for l in text.splitlines() if not l.startswith(("leaf ", "node ", "fs uuid", "chunk uuid", "\tkey")))

"""The images of the corpus: on how many devices, how mkfs makes them, how the kernel mounts them to fill them, and what else
happens to them."""
from dataclasses import dataclass, field

OLD = ("-O", "^skinny-metadata,^extref,^no-holes", "-R", "^free-space-tree")
CSUMS = ("crc32c", "xxhash", "sha256", "blake2")
COMPRESSIONS = ("", "compress=zlib:9", "compress=lzo", "compress-force=zstd:3")
NODES = (4, 8, 16, 32, 64)
# devices, data, metadata
PROFILES = ((1, "single", "single"), (1, "dup", "dup"), (2, "single", "dup"), (2, "raid0", "raid1"), (2, "raid1", "raid1"),
            (3, "raid1c3", "raid1c3"), (3, "raid5", "raid1"), (3, "raid5", "raid5"), (4, "raid10", "raid10"),
            (4, "raid6", "raid1c3"), (4, "raid6", "raid6"), (4, "raid1c4", "raid1c4"))


@dataclass
class Recipe:
    mkfs: tuple = ()
    mount: str = ""
    devices: int = 1
    life: str = ""
    sample: bool = field(default=False)     # made in every test run, not in the long campaign alone


def recipes():
    found = {}
    for csum in CSUMS:
        for compression in COMPRESSIONS:
            found[f"{csum}-{compression or 'plain'}"] = Recipe(("--csum", csum), compression)
    for kib in NODES:
        for name, more in (("new", ()), ("old", OLD), ("mixed", ("-M",))):
            size = 4 if name == "mixed" else kib        # mixed groups need sectors and nodes of one size
            if name != "mixed" or kib == NODES[0]:
                found[f"node-{size}k-{name}"] = Recipe(("-n", f"{size}k", *more))
    for devices, data, meta in PROFILES:
        for compression in COMPRESSIONS[::3]:
            found[f"{devices}x-{data}-{meta}-{compression or 'plain'}"] = \
                Recipe(("-d", data, "-m", meta), compression, devices)
    for life in ("few_snapshots", "many_snapshots", "balanced", "shared_by_many", "fragmented", "flags"):
        for name, more in (("new", ()), ("old", OLD)):
            found[f"{life}-{name}"] = Recipe(more, "", 1, life)
    found["nodatacow"] = Recipe((), "nodatacow")
    found["nodatasum"] = Recipe((), "nodatasum")
    for name in ("blake2-compress-force=zstd:3", "node-4k-old", "4x-raid6-raid1c3-plain", "balanced-new", "flags-old"):
        found[name].sample = True
    return found


RECIPES = recipes()

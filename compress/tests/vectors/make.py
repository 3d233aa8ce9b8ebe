#!/usr/bin/env python3
"""Lets the running kernel write the vectors of this directory.

Needs root, a kernel with btrfs, and mkfs.btrfs:

    sudo ./make.py

Each vector is one extent as it stands on the disk, padding included, named
CODEC-KIND-LEN-SPREAD-SEED.bin after the source that tests/sources/mod.rs makes again. All of them
together stay below 150 KiB.
"""
import fcntl, os, pathlib, struct, subprocess, tempfile

HERE = pathlib.Path(__file__).resolve().parent
MASK = (1 << 64) - 1
SECTOR = 4096


def some_bytes(length, spread, seed):
    state, out = seed | 1, bytearray()
    while len(out) < length:
        state ^= (state << 13) & MASK
        state ^= state >> 7
        state ^= (state << 17) & MASK
        back = len(out) - 64
        out.append(out[back] if back >= 0 and state % spread else (state >> 32) & 0xFF)
    return bytes(out)


WORDS = b"delalloc ordered extent writeback folio uptodate dirty sector node chunk " \
    b"inline bookend prealloc hole quota snapshot".split()


def steps(seed):
    state = seed | 1
    while True:
        state ^= (state << 13) & MASK
        state ^= state >> 7
        state ^= (state << 17) & MASK
        yield state


def text(length, seed):
    out = bytearray()
    for state in steps(seed):
        if len(out) >= length:
            return bytes(out[:length])
        out += WORDS[state >> 32 & 15] + (b" " if state >> 40 & 15 else b".\n")


def binary(length, seed):
    out = bytearray()
    for number, state in enumerate(steps(seed)):
        if len(out) >= length:
            return bytes(out[:length])
        out += struct.pack("<IHBBQ", number * 40, state >> 32 & 0x3FF, state >> 48 & 3, 0,
                           0x400000 + (state >> 20 & 0xFFF) * 8)


def source(kind, length, spread, seed):
    if kind == "padded":
        # Zeros make room, so that the first segment ends near the boundary.
        data = bytes(seed) + some_bytes(4096 - seed, 1, seed)
        return data + some_bytes(length - 4096, spread, seed)
    if kind == "zeros":
        return bytes(length)
    if kind == "text":
        return text(length, seed)
    if kind == "binary":
        return binary(length, seed)
    return some_bytes(length, spread, seed)


def search(path, tree, objectids, kind):
    """Items of a tree as (offset of the key, body), by BTRFS_IOC_TREE_SEARCH."""
    found = bytearray(4096)
    struct.pack_into("=7Q4I4Q", found, 0, tree, *objectids, 0, MASK, 0, MASK, kind, kind, 64,
                     0, 0, 0, 0, 0)
    fd = os.open(path, os.O_RDONLY)
    try:
        fcntl.ioctl(fd, 0xD0009411, found)
    finally:
        os.close(fd)
    at = 104
    for _ in range(struct.unpack_from("=I", found, 64)[0]):
        _, _, offset, _, size = struct.unpack_from("=3Q2I", found, at)
        at += 32
        yield offset, bytes(found[at:at + size])
        at += size


def physical(path, bytenr):
    """Where a logical address of a single-profile chunk is on the device."""
    for start, chunk in search(path, 3, (256, 256), 228):
        if start <= bytenr < start + struct.unpack_from("=Q", chunk)[0]:
            return bytenr - start + struct.unpack_from("=Q", chunk, 48 + 8)[0]
    raise LookupError(bytenr)


def stored(image, path):
    """(compression, kind, bytes) of a file that is one extent."""
    ino = path.stat().st_ino
    [(_, item)] = search(path, 0, (ino, ino), 108)
    compression, kind = item[16], item[20]
    if kind == 0:
        return compression, "inline", item[21:]
    bytenr, num_bytes = struct.unpack_from("=2Q", item, 21)
    with open(image, "rb") as file:
        file.seek(physical(path, bytenr))
        return compression, "regular", file.read(num_bytes)


def left_before_boundary(packed):
    """Bytes left behind each segment of lzo, 0 for a whole sector."""
    total, at = struct.unpack_from("<I", packed)[0], 4
    while at < total:
        at += 4 + struct.unpack_from("<I", packed, at)[0]
        left = -at % SECTOR
        yield left
        at += left if left < 4 else 0


REGULAR = [(5000, 9, 2), (12345, 40, 3), (131072, 4000, 4)]
INLINE = [(1500, 20, 6), (4096, 60, 7)]
# 128 KiB and single bytes behind a sector among them.
OTHERS = [("zeros", 131072, 0, 0), ("text", 20001, 0, 11), ("text", 4097, 0, 12),
          ("binary", 12289, 0, 13), ("text", 300, 0, 14)]
INLINE_BELOW = 2048


def main():
    for old in HERE.glob("*.bin"):
        old.unlink()
    wanted_kind = lambda kind, length: (
        kind if kind in ("regular", "inline") else
        "inline" if length < INLINE_BELOW else "regular")
    for number, codec in [(1, "zlib"), (2, "lzo"), (3, "zstd")]:
        sources = [("regular", *s) for s in REGULAR] + [("inline", *s) for s in INLINE] + OTHERS
        if codec == "lzo":
            sources += [("padded", 9000, 9, zeros) for zeros in range(8, 80)]
        with tempfile.TemporaryDirectory() as work:
            work = pathlib.Path(work)
            image, mount = work / "image", work / "mount"
            mount.mkdir()
            with open(image, "wb") as file:
                file.truncate(512 << 20)
            subprocess.run(["mkfs.btrfs", "-q", "-d", "single", "-m", "single", str(image)],
                           check=True)
            subprocess.run(["mount", "-o", f"loop,compress-force={codec}", str(image), str(mount)],
                           check=True)
            try:
                paths = []
                for kind, length, spread, seed in sources:
                    path = mount / f"{kind}-{length}-{spread}-{seed}"
                    path.write_bytes(source(kind, length, spread, seed))
                    paths.append(path)
                os.sync()
                wanted = {0, 1, 2, 3, 4}
                for path in paths:
                    if not wanted:
                        break
                    kind, length = path.name.split("-")[:2]
                    compression, stored_kind, data = stored(image, path)
                    if kind == "padded":
                        if compression != number:
                            continue
                        left = next(left_before_boundary(data))
                        if left not in wanted:
                            continue
                        wanted.remove(left)
                    else:
                        if compression != number or stored_kind != wanted_kind(kind, int(length)):
                            print("not as wanted:", codec, path.name, compression, stored_kind)
                            continue
                    (HERE / f"{codec}-{path.name}.bin").write_bytes(data)
                print(codec, "left over:", wanted if codec == "lzo" else "")
            finally:
                subprocess.run(["umount", str(mount)], check=True)


main()

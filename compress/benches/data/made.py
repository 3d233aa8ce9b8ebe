#!/usr/bin/env python3
"""Makes files on which the heuristics were not tuned: ./made.py DIR; the same every time."""
import os, random, sqlite3, struct, sys, zlib

random.seed(7)
os.makedirs(sys.argv[1], exist_ok=True)
os.chdir(sys.argv[1])


def write(name, parts):
    with open(name, "wb") as file:
        for part in parts:
            file.write(part)


def pictures():
    for number in range(60):
        rows = bytearray()
        for y in range(400):
            rows += b"\1" + bytes((x * number + y * 3 + random.randrange(-3, 4)) & 255
                                  for x in range(1200))
        data = zlib.compress(bytes(rows))
        yield b"\x89PNG\r\n\x1a\n" + struct.pack(">I", len(data)) + b"IDAT" + data


def memory():
    for number in range(6000):
        yield (bytes(4096), random.randbytes(4096),
               struct.pack("<512Q", *(0x7f0000000000 + random.randrange(1 << 24) * 8
                                      for _ in range(512))),
               (b"string %d in memory\0" % number * 300)[:4096])[random.choice((0, 0, 1, 2, 2, 3))]


if os.path.exists("database"):
    os.remove("database")
database = sqlite3.connect("database")
database.execute("create table t(id integer primary key, name text, hash blob, value real)")
database.executemany("insert into t values(?, ?, ?, ?)", (
    (n, f"user{random.randrange(10 ** 6)}@example.org", random.randbytes(20), random.random())
    for n in range(120_000)))
database.execute("create index i on t(hash)")
database.commit()
write("encrypted", (random.randbytes(1 << 20) for _ in range(40)))
write("encrypted-with-holes", (random.randbytes(4096) if random.random() < 0.7 else bytes(4096)
                               for _ in range(4000)))
again = [random.randbytes(random.randrange(3000, 9000)) for _ in range(200)]
write("noise-again", (random.choice(again) for _ in range(3000)))
write("pictures", pictures())
write("core", memory())
write("floats", (struct.pack("<4096d", *(random.random() for _ in range(4096)))
                 for _ in range(300)))
write("sound", (struct.pack("<4096h", *(int(random.gauss(0, 6000)) for _ in range(4096)))
                for _ in range(500)))
write("hashes", sorted(random.randbytes(20) for _ in range(800_000)))

#!/usr/bin/env python3
"""Bodies compressed by Python's zlib, for the decoder in Sources/HTTP/Inflate.swift.

Writes protocol/vectors/http/content-coding.json; --check only compares. Another build of zlib may compress
to other bytes, so --check holds the stored bytes against the data instead of making them again.
"""
import base64, gzip, io, json, pathlib, random, struct, sys, zlib

PATH = pathlib.Path(__file__).resolve().parents[2] / "protocol/vectors/http/content-coding.json"


def text(seed, count):
    chance = random.Random(seed)
    rows = [{"age": chance.randrange(120), "chol": round(chance.uniform(100, 400), 1)} for _ in range(count)]
    return json.dumps({"rows": rows}).encode()


def plain():
    chance = random.Random(7)
    yield "empty", b"", 1
    yield "one byte", b"a", 1
    yield "short text", b'{"row": {"age": 63}}', 1
    yield "rows", text(1, 40), 1
    yield "noise", chance.randbytes(700), 1
    yield "run", b"a", 70_000
    yield "far match", chance.randbytes(200) + b"x" * 10, 160
    yield "all bytes", bytes(range(256)), 2


def zlib_forms(data):
    for name, level, strategy in [
        ("stored", 0, zlib.Z_DEFAULT_STRATEGY), ("fast", 1, zlib.Z_DEFAULT_STRATEGY),
        ("best", 9, zlib.Z_DEFAULT_STRATEGY), ("fixed", 9, zlib.Z_FIXED),
        ("literals", 9, zlib.Z_HUFFMAN_ONLY), ("runs", 9, zlib.Z_RLE),
    ]:
        packer = zlib.compressobj(level, zlib.DEFLATED, 15, 9, strategy)
        yield name, packer.compress(data) + packer.flush()
    packer = zlib.compressobj(6)
    half = len(data) // 2
    yield "flushed", packer.compress(data[:half]) + packer.flush(zlib.Z_FULL_FLUSH) + packer.compress(data[half:]) + packer.flush()


def gzip_forms(data):
    yield "plain", gzip.compress(data, mtime=0)
    buffer = io.BytesIO()
    with gzip.GzipFile("rows.json", "wb", fileobj=buffer, mtime=1) as file:
        file.write(data)
    yield "named", buffer.getvalue()
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    raw = packer.compress(data) + packer.flush()
    head = b"\x1f\x8b\x08\x1e" + b"\0\0\0\0\x02\x03" + struct.pack("<H", 3) + b"abc" + b"name\0" + b"comment\0"
    head += struct.pack("<H", zlib.crc32(head) & 0xFFFF)
    yield "every field", head + raw + struct.pack("<II", zlib.crc32(data), len(data))


def make():
    vectors = []
    for name, unit, times in plain():
        data = unit * times
        for coding, forms in (("deflate", zlib_forms), ("gzip", gzip_forms)):
            for form, packed in forms(data):
                if len(packed) > 6000:
                    continue
                vectors.append({"name": f"{name}, {coding} {form}", "coding": coding,
                                "unit": base64.b64encode(unit).decode(), "times": times,
                                "packed": base64.b64encode(packed).decode()})
    return vectors


def check(vectors):
    for vector in vectors:
        data = base64.b64decode(vector["unit"]) * vector["times"]
        packed = base64.b64decode(vector["packed"])
        unpacked = gzip.decompress(packed) if vector["coding"] == "gzip" else zlib.decompress(packed)
        assert unpacked == data, vector["name"]


if __name__ == "__main__":
    if "--check" in sys.argv:
        vectors = json.loads(PATH.read_text())
    else:
        vectors = make()
        PATH.write_text(json.dumps(vectors, indent=0) + "\n")
    check(vectors)
    print(f"content coding: {len(vectors)} vectors agree with Python's zlib")

#!/usr/bin/env python3
"""Writes zfec.json: what zfec, the erasure code of Tahoe-LAFS, makes of known data.

Run once with zfec 1.6.0.0 from PyPI (pip install zfec), which the tests do not need:

    python3 vectors.py > zfec.json

The data of a case is the first k*len bytes of SHA-256(be64(0)) SHA-256(be64(1)) ..., cut into k blocks. "parity" is the
SHA-256 of blocks k..n-1 one after the other, "first" the hexadecimal of the first 16 bytes of block k.
"""
import hashlib
import json
import sys

import zfec

CASES = [(1, 2, 1), (1, 2, 64), (1, 256, 33), (2, 3, 1), (2, 3, 100), (2, 4, 17), (3, 4, 64), (3, 5, 1), (3, 10, 1),
         (3, 10, 31), (3, 10, 4096), (4, 5, 64), (7, 8, 9), (10, 16, 64), (10, 16, 4096), (16, 32, 64), (20, 30, 100),
         (25, 100, 7), (32, 64, 64), (50, 256, 3), (100, 256, 16), (127, 128, 5), (128, 256, 64),
         (255, 256, 16)]


def pattern(n):
    out = b""
    for i in range(n // 32 + 1):
        out += hashlib.sha256(i.to_bytes(8, "big")).digest()
    return out[:n]


def case(k, n, length):
    data = pattern(k * length)
    blocks = [data[i * length:(i + 1) * length] for i in range(k)]
    parity = zfec.Encoder(k, n).encode(blocks, list(range(k, n)))
    return {"k": k, "n": n, "len": length, "first": parity[0][:16].hex(),
            "parity": hashlib.sha256(b"".join(parity)).hexdigest()}


print("[\n" + ",\n".join(json.dumps(case(*c)) for c in CASES) + "\n]", file=sys.stdout)

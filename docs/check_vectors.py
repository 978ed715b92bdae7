#!/usr/bin/env python3
"""Checks docs/vectors against docs/formats.md with nothing but Python's standard library.

It shares no code with the program: it reads the stored shares back to plaintext with every kind of subset of them, makes
every golden file anew from its plaintext, reads and diminishes every capability, reads pages of directories, makes whole
directories anew, and works out who the members of a roster are. It is slow and clear on purpose.

    python3 docs/check_vectors.py [--quick | --roster | --account | --inbox] [DIRECTORY]

leaves out large files with --quick, all but the roster with --roster, all but recovery phrases with --account, and all but inboxes with --inbox. It prints one line and exits with 0 when all
agree, otherwise one line for each difference, and exits with 1.
"""
import base64
import functools
import hashlib
import hmac
import itertools
import json
import os
import string
import sys
import unicodedata


class Malformed(Exception):
    """A text or block that is not in the one accepted form."""


class Version(Malformed):
    """A root of a later version of the format."""


class TooLarge(Malformed):
    """A block beyond the limits."""


class Corrupt(Exception):
    """A share, or the use of a key, that does not verify."""


def sha256(data):
    return hashlib.sha256(data).digest()


# Keys

def hkdf(secret, salt, info, length):
    """RFC 5869 with SHA-256."""
    extracted = hmac.new(salt or bytes(32), secret, hashlib.sha256).digest()
    out = previous = b""
    counter = 1
    while len(out) < length:
        previous = hmac.new(extracted, previous + info.encode() + bytes([counter]), hashlib.sha256).digest()
        out += previous
        counter += 1
    return out[:length]


def convergent_key(secret, plaintext, k, n, block):
    salt = sha256(plaintext) + k.to_bytes(2, "big") + n.to_bytes(2, "big") + block.to_bytes(4, "big")
    return hkdf(secret, salt, "cairn/v1/file/convergent", 16)


# AES-256 in counter mode (FIPS 197)

def aes_tables():
    """Returns the S-box and the four tables that do SubBytes, ShiftRows and MixColumns of one byte at once."""
    power, log = [0] * 256, [0] * 256
    x = 1
    for i in range(255):
        power[i], log[x] = x, i
        x ^= (x << 1) ^ (0x11b if x & 0x80 else 0)
        x &= 0xff
    sbox = []
    for value in range(256):
        inverse = power[(255 - log[value]) % 255] if value else 0
        result = 0x63
        for shift in range(5):
            result ^= (inverse << shift | inverse >> (8 - shift)) & 0xff
        sbox.append(result)
    tables = [[], [], [], []]
    for value in range(256):
        s = sbox[value]
        double = (s << 1) ^ (0x11b if s & 0x80 else 0)
        word = double << 24 | s << 16 | s << 8 | (double ^ s)
        for table in tables:
            table.append(word)
            word = word >> 8 | (word & 0xff) << 24
    return sbox, tables


SBOX, TABLES = aes_tables()


def aes256_schedule(key):
    words = [int.from_bytes(key[i:i + 4], "big") for i in range(0, 32, 4)]
    constant = 1
    for i in range(8, 60):
        word = words[-1]
        if i % 8 == 0:
            word = (word << 8 | word >> 24) & 0xffffffff
        if i % 4 == 0:
            word = int.from_bytes(bytes(SBOX[b] for b in word.to_bytes(4, "big")), "big")
        if i % 8 == 0:
            word ^= constant << 24
            constant <<= 1
        words.append(words[i - 8] ^ word)
    return words


def aes256_block(words, counter):
    """Encrypts be64(0) || be64(counter)."""
    t0, t1, t2, t3 = TABLES
    a, b = words[0], words[1]
    c, d = counter >> 32 ^ words[2], counter & 0xffffffff ^ words[3]
    for i in range(4, 56, 4):
        a, b, c, d = (
            t0[a >> 24] ^ t1[b >> 16 & 255] ^ t2[c >> 8 & 255] ^ t3[d & 255] ^ words[i],
            t0[b >> 24] ^ t1[c >> 16 & 255] ^ t2[d >> 8 & 255] ^ t3[a & 255] ^ words[i + 1],
            t0[c >> 24] ^ t1[d >> 16 & 255] ^ t2[a >> 8 & 255] ^ t3[b & 255] ^ words[i + 2],
            t0[d >> 24] ^ t1[a >> 16 & 255] ^ t2[b >> 8 & 255] ^ t3[c & 255] ^ words[i + 3])
    s = SBOX
    out = 0
    for i, (w, x, y, z) in enumerate(((a, b, c, d), (b, c, d, a), (c, d, a, b), (d, a, b, c))):
        word = s[w >> 24] << 24 | s[x >> 16 & 255] << 16 | s[y >> 8 & 255] << 8 | s[z & 255]
        out = out << 32 | word ^ words[56 + i]
    return out.to_bytes(16, "big")


def xor(a, b):
    return (int.from_bytes(a, "big") ^ int.from_bytes(b, "big")).to_bytes(len(a), "big")


@functools.lru_cache(maxsize=2)
def key_stream(key, blocks):
    words = aes256_schedule(key)
    return b"".join(aes256_block(words, i) for i in range(blocks))


def encrypt(key, salt, data):
    """Encrypts or decrypts a whole file."""
    stream = key_stream(hkdf(key, salt, "cairn/v1/file/encryption", 32), (len(data) + 15) // 16)
    return xor(data, stream[:len(data)])


def commitment(key, salt):
    return hkdf(key, salt, "cairn/v1/file/commitment", 32)


# Erasure code

POWER, LOG = [0] * 255, [0] * 256
_x = 1
for _i in range(255):
    POWER[_i], LOG[_x] = _x, _i
    _x <<= 1
    if _x > 255:
        _x ^= 0x11d


def gf_mul(a, b):
    return POWER[(LOG[a] + LOG[b]) % 255] if a and b else 0


def gf_inverse(a):
    return POWER[-LOG[a] % 255]


TIMES = [bytes(gf_mul(a, b) for b in range(256)) for a in range(256)]  # for bytes.translate


def scale(block, factor):
    return block.translate(TIMES[factor])


def invert(matrix):
    n = len(matrix)
    rows = [bytes(row) + bytes(int(i == r) for i in range(n)) for r, row in enumerate(matrix)]
    for c in range(n):
        pivot = next(r for r in range(c, n) if rows[r][c])
        rows[c], rows[pivot] = rows[pivot], rows[c]
        rows[c] = scale(rows[c], gf_inverse(rows[c][c]))
        for r in range(n):
            if r != c and rows[r][c]:
                rows[r] = xor(rows[r], scale(rows[c], rows[r][c]))
    return [row[n:] for row in rows]


def combine(coefficients, blocks):
    out = bytes(len(blocks[0]))
    for factor, block in zip(coefficients, blocks):
        if factor:
            out = xor(out, scale(block, factor))
    return out


GENERATORS = {}


def generator(k, n):
    if (k, n) not in GENERATORS:
        v = [bytes([1] + [0] * (k - 1))]
        v += [bytes(POWER[(r - 1) * c % 255] for c in range(k)) for r in range(1, n)]
        top = invert(v[:k])
        identity = [bytes(int(i == r) for i in range(k)) for r in range(k)]
        GENERATORS[k, n] = identity + [combine(v[r], top) for r in range(k, n)]
    return GENERATORS[k, n]


def decode(k, n, blocks):
    """Returns the k data blocks from a dictionary of any k blocks."""
    numbers = sorted(blocks)[:k]
    if len(numbers) < k:
        raise Corrupt("%d blocks, %d are needed" % (len(numbers), k))
    if numbers == list(range(k)):
        return [blocks[j] for j in numbers]
    inverse = invert([generator(k, n)[j] for j in numbers])
    return [combine(row, [blocks[j] for j in numbers]) for row in inverse]


# Encoded file

class Shape:
    def __init__(self, k, n, block, size):
        self.k, self.n, self.block, self.size = k, n, block, size
        self.segments = max(1, -(-size // (k * block)))

    def segment_len(self, i):
        return min(self.k * self.block, self.size - i * self.k * self.block)

    def block_len(self, i):
        return -(-self.segment_len(i) // self.k)

    def parts(self):
        """Returns the offset of the rows, of each level below the top, and of the root."""
        last = self.segments - 1
        rows = last * self.block + self.block_len(last)
        levels, offset, count = [], rows + self.segments * self.n * 32, self.segments
        while count > 1:
            levels.append((offset, count))
            offset += count * 32
            count = -(-count // 256)
        return rows, levels, offset


def link(codec, digest):
    return bytes([0xd8, 0x2a, 0x58, 37, 0, 1, codec, 0x12, 0x20]) + digest


def node(codec, digests):
    n = len(digests)
    head = bytes([0x80 + n]) if n < 24 else bytes([0x98, n]) if n < 256 else bytes([0x99, n >> 8, n & 255])
    return head + b"".join(link(codec, d) for d in digests)


def index_levels(rows):
    """Returns level 1, 2, ... up to the top, which has one digest."""
    levels = [[sha256(node(0x55, row)) for row in rows]]
    while len(levels[-1]) > 1:
        below = levels[-1]
        levels.append([sha256(node(0x71, below[i:i + 256])) for i in range(0, len(below), 256)])
    return levels


def cbor_uint(n):
    for limit, head in ((1 << 8, 0x18), (1 << 16, 0x19), (1 << 32, 0x1a), (1 << 64, 0x1b)):
        if n < 24:
            return bytes([n])
        if n < limit:
            return bytes([head]) + n.to_bytes((limit.bit_length() - 1) // 8, "big")
    raise ValueError(n)


def cbor_bytes(data):
    return (bytes([0x40 + len(data)]) if len(data) < 24 else bytes([0x58, len(data)])) + data


def cbor_key(text):
    return bytes([0x60 + len(text)]) + text.encode()


def write_root(shape, key, salt, index):
    entries = [("k", cbor_uint(shape.k)), ("n", cbor_uint(shape.n)), ("v", cbor_uint(1)), ("key", cbor_bytes(key))]
    if salt:
        entries.append(("salt", cbor_bytes(salt)))
    entries += [("size", cbor_uint(shape.size)), ("block", cbor_uint(shape.block)), ("index", link(0x71, index))]
    return bytes([0xa0 + len(entries)]) + b"".join(cbor_key(name) + value for name, value in entries)


class Reader:
    """Reads CBOR items one after the other; what is no canonical item is Malformed."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, n):
        if self.at + n > len(self.data):
            raise Malformed("cut short")
        self.at += n
        return self.data[self.at - n:self.at]

    def head(self, major):
        first = self.take(1)[0]
        if first >> 5 != major:
            raise Malformed("another type")
        value = first & 31
        if value < 24:
            return value
        if value > 27:
            raise Malformed("no definite length")
        value = int.from_bytes(self.take(1 << (value - 24)), "big")
        if cbor_uint(value)[0] != first & 31:
            raise Malformed("not in the shortest form")
        return value


def read_root(block):
    """Returns the shape, commitment, salt and index of a root."""
    if len(block) > 512:
        raise TooLarge()
    r = Reader(block)
    fields = {}
    names = []
    for _ in range(r.head(5)):
        name = r.take(r.head(3)).decode("ascii", "replace")
        names.append(name)
        if name in ("key", "salt"):
            fields[name] = r.take(r.head(2))
        elif name == "index":
            if r.head(6) != 42:
                raise Malformed("no link")
            fields[name] = r.take(r.head(2))
        elif name in ("k", "n", "v", "size", "block"):
            fields[name] = r.head(0)
        else:
            raise Malformed("unknown field")
        if name == "v" and fields["v"] > 1:
            raise Version()
    if names not in (["k", "n", "v", "key", "size", "block", "index"], ["k", "n", "v", "key", "salt", "size", "block", "index"]):
        raise Malformed("fields missing or out of order")
    if r.at != len(block) or fields["v"] != 1:
        raise Malformed("more behind the map, or version 0")
    shape = Shape(fields["k"] or 1, fields["n"], fields["block"] or 1, fields["size"])
    if not 1 <= fields["k"] <= shape.n <= 256 or not 0 <= shape.size <= 1 << 50:
        raise Malformed("k, n or size")
    if not 4096 <= fields["block"] <= 1 << 20 or shape.block & (shape.block - 1):
        raise Malformed("block size")
    if len(fields["key"]) != 32 or not 1 <= len(fields.get("salt", b"x")) <= 32:
        raise Malformed("commitment or salt")
    if len(fields["index"]) != 37 or fields["index"][:5] != bytes([0, 1, 0x71, 0x12, 0x20]):
        raise Malformed("no link to an index")
    return shape, fields["key"], fields.get("salt", b""), fields["index"][5:]


def encode(k, n, block, key, salt, plaintext):
    """Returns the root and the N shares."""
    shape = Shape(k, n, block, len(plaintext))
    ciphertext = encrypt(key, salt, plaintext)
    parity = generator(k, n)[k:]
    columns, rows = [[] for _ in range(n)], []
    for i in range(shape.segments):
        segment = ciphertext[i * k * block:][:shape.segment_len(i)]
        length = shape.block_len(i)
        segment += bytes(k * length - len(segment))
        blocks = [segment[j * length:(j + 1) * length] for j in range(k)]
        blocks += [combine(coefficients, blocks) for coefficients in parity]
        rows.append([sha256(b) for b in blocks])
        for column, b in zip(columns, blocks):
            column.append(b)
    levels = index_levels(rows)
    root = write_root(shape, commitment(key, salt), salt, levels[-1][0])
    tail = b"".join(b"".join(row) for row in rows) + b"".join(b"".join(level) for level in levels[:-1]) + root
    return root, [b"".join(column) + tail for column in columns]


def find_root(share, storage_index):
    """Returns the root at the end of a share."""
    for length in range(1, min(512, len(share)) + 1):
        if sha256(share[-length:]) == storage_index:
            return share[-length:]
    raise Corrupt("the share does not end in the root")


def check_share(share, storage_index):
    """Checks the index of a share from the root down. Returns the shape, commitment, salt and the rows."""
    root = find_root(share, storage_index)
    shape, key, salt, index = read_root(root)
    rows_at, levels_at, root_at = shape.parts()
    if len(share) != root_at + len(root):
        raise Corrupt("the share has the wrong length")
    rows = []
    for i in range(shape.segments):
        row = share[rows_at + i * shape.n * 32:][:shape.n * 32]
        rows.append([row[j * 32:(j + 1) * 32] for j in range(shape.n)])
    levels = index_levels(rows)
    for (offset, count), level in zip(levels_at, levels[:-1]):
        if share[offset:offset + count * 32] != b"".join(level):
            raise Corrupt("a level of the index does not match the one below")
    if levels[-1] != [index]:
        raise Corrupt("the index does not match the root")
    return shape, key, salt, rows


def read(storage_index, key, shares):
    """Returns the plaintext from a dictionary of shares, of which nothing is believed."""
    ciphertext, checked = b"", [check_share(share, storage_index) for share in shares.values()]
    shape, committed, salt, rows = checked[0]
    if not hmac.compare_digest(commitment(key, salt), committed):
        raise Corrupt("wrong key")
    for i in range(shape.segments):
        blocks = {}
        for j, share in shares.items():
            blocks[j] = share[i * shape.block:][:shape.block_len(i)]
            if sha256(blocks[j]) != rows[i][j]:
                raise Corrupt("a block does not match its digest")
        data = decode(shape.k, shape.n, blocks)
        if [sha256(block) for block in data] != rows[i][:shape.k]:
            raise Corrupt("the file was encoded inconsistently")
        ciphertext += b"".join(data)[:shape.segment_len(i)]
    return encrypt(key, salt, ciphertext)


# Capabilities

BASE32 = "abcdefghijklmnopqrstuvwxyz234567"
BASE36 = string.digits + string.ascii_lowercase
ROOT_PREFIX, NAME_PREFIX = bytes.fromhex("01711220"), bytes.fromhex("0172002408011220")
KINDS = {  # kind: fields, kind for reading, kind for verifying, authority
    "file": ("CR", "file", "file-verify", "read"),
    "file-verify": ("C", None, "file-verify", "verify"),
    "literal": ("D", "literal", None, "read"),
    "mutable": ("MW", "mutable-read", "mutable-verify", "write"),
    "mutable-read": ("MR", "mutable-read", "mutable-verify", "read"),
    "mutable-verify": ("M", None, "mutable-verify", "verify"),
    "dir": ("MW", "dir-read", "dir-verify", "write"),
    "dir-read": ("MR", "dir-read", "dir-verify", "read"),
    "dir-verify": ("M", None, "dir-verify", "verify"),
    "idir": ("CR", "idir", "idir-verify", "read"),
    "idir-verify": ("C", None, "idir-verify", "verify"),
}


def base32_encode(data):
    return base64.b32encode(data).decode().rstrip("=").lower()


def base32_decode(text):
    if set(text) - set(BASE32):
        raise Malformed("no base32")
    try:
        data = base64.b32decode(text.upper() + "=" * (-len(text) % 8))
    except ValueError:
        raise Malformed("no base32") from None
    if base32_encode(data) != text:
        raise Malformed("left-over bits")
    return data


def root_cid(digest):
    return "b" + base32_encode(ROOT_PREFIX + digest)


def name_text(public):
    number, out = int.from_bytes(NAME_PREFIX + public, "big"), ""
    while number:
        number, digit = divmod(number, 36)
        out = BASE36[digit] + out
    return "k" + out


def parse_field(what, text):
    if what == "C":
        data = base32_decode(text[1:])
        if text[:1] != "b" or len(data) != 36 or data[:4] != ROOT_PREFIX:
            raise Malformed("no root CID")
        return data[4:]
    if what == "M":
        if len(text) != 62 or text[0] != "k" or set(text) - set(BASE36):
            raise Malformed("no name")
        data = int(text[1:], 36).to_bytes(41, "big")[1:]
        if data[:8] != NAME_PREFIX or name_text(data[8:]) != text:
            raise Malformed("no name")
        return data[8:]
    data = base32_decode(text)
    if what == "D" and len(data) > 55 or what != "D" and len(data) != 16:
        raise Malformed("wrong length")
    return data


def parse_capability(text):
    """Returns the kind and its fields, as a dictionary by C, M, R, W and D."""
    if len(text) > 1024 or any(not 0x21 <= ord(c) <= 0x7e for c in text):
        raise Malformed("too long, or not printable ASCII")
    scheme, _, rest = text.partition(":")
    kind, colon, fields = rest.partition(":")
    if scheme != "cairn" or not colon or not 1 <= len(kind) <= 32 or set(kind) - set(BASE36 + "-"):
        raise Malformed("no capability")
    if kind not in KINDS:
        if not fields:
            raise Malformed("no fields")
        return kind, {}
    what, values = KINDS[kind][0], fields.split(":")
    if len(what) != len(values):
        raise Malformed("fields missing, or too many")
    out = {w: parse_field(w, value) for w, value in zip(what, values)}
    if "W" in out and ed25519_public(hkdf(out["W"], b"", "cairn/v1/mutable/sign", 32)) != out["M"]:
        raise Malformed("the write key of another name")
    return kind, out


def write_capability(kind, fields):
    values = []
    for what in KINDS[kind][0]:
        value = fields[what]
        values.append(root_cid(value) if what == "C" else name_text(value) if what == "M" else base32_encode(value))
    return ":".join(["cairn", kind] + values)


def diminish(kind, fields):
    """Returns the texts of the read and the verify capability, None where there is none."""
    if kind not in KINDS:
        return None, None
    fields = dict(fields)
    if "W" in fields:
        fields["R"] = hkdf(fields["W"], b"", "cairn/v1/mutable/read", 16)
    return tuple(write_capability(to, fields) if to else None for to in KINDS[kind][1:3])


# Ed25519 (RFC 8032, section 5.1), with points as (X, Y, Z, T) where x = X/Z, y = Y/Z and xy = T/Z

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P


def point_add(a, b):
    u, v = (a[1] - a[0]) * (b[1] - b[0]) % P, (a[1] + a[0]) * (b[1] + b[0]) % P
    s, t = 2 * a[3] * b[3] * D % P, 2 * a[2] * b[2] % P
    e, f, g, h = v - u, t - s, t + s, v + u
    return e * f % P, g * h % P, f * g % P, e * h % P


def point_mul(scalar, point):
    result = (0, 1, 1, 0)
    while scalar:
        if scalar & 1:
            result = point_add(result, point)
        point, scalar = point_add(point, point), scalar >> 1
    return result


def point_encode(point):
    inverse = pow(point[2], P - 2, P)
    x, y = point[0] * inverse % P, point[1] * inverse % P
    return (y | (x & 1) << 255).to_bytes(32, "little")


def point_decode(data):
    """Returns None for what is no point."""
    y = int.from_bytes(data, "little")
    sign, y = y >> 255, y & (1 << 255) - 1
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if x * x % P != square:
        x = x * pow(2, (P - 1) // 4, P) % P
    if x * x % P != square or y >= P or x == 0 and sign:
        return None
    if x & 1 != sign:
        x = P - x
    return x, y, 1, x * y % P


BASE = point_decode((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))


def ed25519_public(seed):
    scalar = int.from_bytes(hashlib.sha512(seed).digest()[:32], "little")
    return point_encode(point_mul(scalar & ((1 << 254) - 8) | 1 << 254, BASE))


def ed25519_verify(public, message, signature):
    if len(public) != 32 or len(signature) != 64:
        return False
    a, s = point_decode(public), int.from_bytes(signature[32:], "little")
    if a is None or s >= L:
        return False
    k = int.from_bytes(hashlib.sha512(signature[:32] + public + message).digest(), "little") % L
    minus = ((P - a[0]) % P, a[1], a[2], (P - a[3]) % P)
    return point_encode(point_add(point_mul(s, BASE), point_mul(k, minus))) == signature[:32]


# Heads

def cbor_string(data):
    """A byte string of any length."""
    return bytes([cbor_uint(len(data))[0] | 0x40]) + cbor_uint(len(data))[1:] + data


def varint(n):
    out = b""
    while n > 127:
        out, n = out + bytes([n & 127 | 128]), n >> 7
    return out + bytes([n])


def head_data(sequence, root, parents, ties, written, keep, ended):
    """The data of a head, of which the signature is made."""
    kept = [("_keep", cbor_string(keep[0].to_bytes(4, "big") + keep[1].to_bytes(8, "big")))] if keep != (0, 0) else []
    entries = [("TTL", cbor_uint(60_000_000_000)), ("Value", cbor_string(b"/ipfs/" + root_cid(root).encode())),
               ("_cairn", cbor_string(b"".join(parents))), ("Sequence", cbor_uint(sequence)),
               ("Validity", cbor_string(b"9999-12-31T23:59:59Z")), ("_written", cbor_uint(written)), ("ValidityType", cbor_uint(0))]
    entries[2:2] = kept + ([("_ended", b"\xf5")] if ended else []) + ([("_ties", cbor_string(ties))] if ties else [])
    entries.sort(key=lambda e: (len(e[0]), e[0]))
    return bytes([0xa0 + len(entries)]) + b"".join(cbor_key(key) + value for key, value in entries)


def read_head(name, record):
    """Returns sequence, root, parents, ties to them, time, retention and end of the head of a name."""
    if len(record) > 2048 or record[:2] != b"\x42\x40" or len(record) < 70 or record[66] != 0x4a:
        raise Malformed("no record")
    signature, data = record[2:66], record[68 if record[67] < 128 else 69:]
    if record[66:] != b"\x4a" + varint(len(data)) + data:
        raise Malformed("the length of the data")
    if not ed25519_verify(name, b"ipns-signature:" + data, signature):
        raise Malformed("the signature does not match")
    r, fields = Reader(data), {}
    for _ in range(r.head(5)):
        key = r.take(r.head(3)).decode("ascii", "replace")
        if key not in ("TTL", "Value", "_keep", "_cairn", "_ended", "_ties", "Sequence", "Validity", "_written", "ValidityType"):
            raise Version()
        if key == "_ended":
            fields[key] = r.take(1) == b"\xf5"
        else:
            fields[key] = r.take(r.head(2)) if key in ("Value", "_keep", "_ties", "_cairn", "Validity") else r.head(0)
    if "_cairn" not in fields or "_written" not in fields or len(fields.get("Value", b"")) != 65:
        raise Malformed("fields missing")
    root = parse_field("C", fields["Value"][6:].decode("ascii", "replace"))
    joined, sequence, written = fields["_cairn"], fields["Sequence"], fields["_written"]
    parents = [joined[i:i + 32] for i in range(0, len(joined), 32)]
    keep, ended = (0, 0), fields.get("_ended", False)
    if "_keep" in fields:
        keep = int.from_bytes(fields["_keep"][:4], "big"), int.from_bytes(fields["_keep"][4:], "big")
        if not 1 <= keep[0] <= 1000 or not 3_600_000 <= keep[1] <= 36500 * 86_400_000 or keep == (10, 604_800_000):
            raise Malformed("retention")
    ties = fields.get("_ties", b"")
    if ties and (len(ties) != len(parents) or not 1 <= max(ties) <= 2 or ties[0] == 2):
        raise Malformed("ties")
    if head_data(sequence, root, parents, ties, written, keep, ended) != data:
        raise Malformed("not in canonical form")
    if not 1 <= sequence < 1 << 63 or written > 253402300799000 or len(parents) > 8 or len(set(parents)) != len(parents):
        raise Malformed("fields out of range")
    if any(len(p) != 32 or p == bytes(32) for p in parents) or sequence == 1 and parents:
        raise Malformed("parents")
    return sequence, root, parents, ties, written, keep, ended


# Membership

class Denied(Exception):
    """A statement that is well-formed and about another grid."""


KEY, STRING, TEXT, CARD, NUMBER, TRUE = "key", "string", "text", "card", "number", "true"
ENVELOPE = {1: NUMBER, 2: STRING, 3: STRING, 4: STRING}
BODIES = {
    1: ("grant", {1: NUMBER, 2: KEY, 3: KEY, 4: KEY, 5: TEXT, 6: TRUE, 7: NUMBER, 8: NUMBER, 9: NUMBER, 10: NUMBER}, {3, 6, 7, 9}),
    2: ("device", {1: NUMBER, 2: KEY, 4: KEY, 5: TEXT, 6: TRUE, 7: KEY, 8: NUMBER, 9: NUMBER, 10: NUMBER}, {6, 9}),
    3: ("revocation", {1: NUMBER, 2: KEY, 3: KEY, 4: KEY, 5: TEXT, 8: NUMBER}, {3, 5}),
    4: ("settings", {1: NUMBER, 2: KEY, 3: KEY, 4: NUMBER, 5: NUMBER, 6: NUMBER, 7: NUMBER, 8: NUMBER, 9: NUMBER, 10: NUMBER,
                     11: NUMBER, 12: NUMBER, 13: NUMBER}, {3, 4, 5, 6, 7, 9, 11, 12, 13}),
    5: ("contact", {1: NUMBER, 2: KEY, 4: KEY, 5: CARD, 8: NUMBER, 10: NUMBER}, set()),
}
NO_ISSUER = bytes(32)


def read_map(data, kinds, optional):
    """Reads a map with ascending integer keys; what is optional is absent where it is empty, zero or false."""
    r, fields, previous = Reader(data), {}, 0
    for _ in range(r.head(5)):
        name = r.head(0)
        if name <= previous or name not in kinds:
            raise Malformed("keys are unknown or out of order")
        previous, kind = name, kinds[name]
        if kind == TRUE:
            value = r.take(1) == b"\xf5"
            if not value:
                raise Malformed("not true")
        elif kind == NUMBER:
            value = r.head(0)
        elif kind == TEXT:
            value = r.take(r.head(3))
            try:
                value = value.decode("utf-8")
            except UnicodeDecodeError:
                raise Malformed("no UTF-8") from None
            if not value.isprintable() or len(value.encode()) > (200 if name in optional else 64):
                raise Malformed("a text that is too long or does not print")
        elif kind == CARD:
            value = r.take(r.head(3))
            if not 1 <= len(value) <= 256 or not all(b" "[0] < b <= b"~"[0] for b in value):
                raise Malformed("no capability")
        else:
            value = r.take(r.head(2))
            if kind == KEY and (len(value) != 32 or value == NO_ISSUER):
                raise Malformed("no key")
        if name in optional and not value:
            raise Malformed("an empty value")
        fields[name] = value
    if r.at != len(data) or set(kinds) - set(fields) - optional:
        raise Malformed("fields missing, or more behind the map")
    return fields


class Statement:
    """One statement about a grid, with its signatures verified."""

    def __init__(self, grid, data):
        if len(data) > 1024:
            raise TooLarge()
        outer = read_map(data, ENVELOPE, {4})
        if outer[1] not in BODIES:
            raise Version()
        self.kind, kinds, optional = BODIES[outer[1]]
        body = read_map(outer[2], kinds, optional)
        if body[1] != 1:
            raise Version()
        if body[2] != grid:
            raise Denied()
        removed = self.kind == "device" and 6 in body
        if (4 in outer) != (self.kind == "device" and not removed):
            raise Malformed("a signature too many or too few")
        self.body, self.data, self.digest = body, data, sha256(data)
        self.issuer = body[4] if self.kind in ("device", "contact") else body.get(3, NO_ISSUER)
        self.subject = {"device": body.get(7), "settings": NO_ISSUER, "contact": NO_ISSUER}.get(self.kind, body.get(4))
        self.issued, self.expires, self.seq = body[8], body.get(9, 0) if self.kind != "settings" else 0, body.get(10, 0)
        self.removed = removed
        signer = grid if self.issuer == NO_ISSUER else self.issuer
        if not ed25519_verify(signer, b"cairn/v1/" + self.kind.encode() + b"\0" + outer[2], outer[3]):
            raise Malformed("the signature does not match")
        if 4 in outer and not ed25519_verify(body[7], b"cairn/v1/device node\0" + outer[2], outer[4]):
            raise Malformed("the node's signature does not match")
        self.slot = bytes([outer[1]]) + self.issuer + self.subject

    def order(self):
        """What comes first in this order takes the place of the others of its slot."""
        return (self.issued if self.kind == "revocation" else -self.seq), self.digest

    def expired(self, now):
        return self.expires != 0 and self.expires <= now


class Account:
    """One account of a roster: its grant and what follows from it."""

    def __init__(self, grant, depth, state):
        self.grant, self.depth, self.state = grant, depth, state
        self.introducer = state == "member" and 6 in grant.body and depth < 16
        self.devices = []


class Roster:
    """What a set of statements means at one time."""

    def __init__(self, statements, now):
        newest = {}
        for s in sorted(statements, key=Statement.order, reverse=True):
            newest[s.slot] = s
        self.of = {kind: [s for s in newest.values() if s.kind == kind] for kind, _, _ in BODIES.values()}
        self.now, self.accounts = now, {}
        for depth in range(1, 17):
            self.place(depth, lambda s, d=depth: self.distance(s.issuer) == d - 1 and not s.expired(now), "member")
        reach = {}
        for s in self.of["grant"]:
            d = self.distance(s.issuer)
            if d is not None:
                reach[s.subject] = min(d + 1, reach.get(s.subject, 99))
        lapsed = {}
        for depth in range(1, 18):
            for account in [a for a, d in reach.items() if d == depth and a not in self.accounts]:
                lapsed[account] = self.make(account, depth, lambda s, d=depth: self.distance(s.issuer) == d - 1, "expired")
        for account in {s.subject for s in self.of["grant"]} - set(self.accounts) - set(lapsed):
            lapsed[account] = self.make(account, 0, lambda s: True, "unvouched")
        self.accounts.update(lapsed)
        self.find_devices()

    def distance(self, issuer):
        """How far an issuer is from the grid's key, None when it has no authority."""
        if issuer == NO_ISSUER:
            return 0
        account = self.accounts.get(issuer)
        return account.depth if account and account.introducer else None

    def place(self, depth, counts, state):
        found = {s.subject for s in self.of["grant"] if s.subject not in self.accounts and counts(s)}
        self.accounts.update({account: self.make(account, depth, counts, state) for account in found})

    def make(self, account, depth, counts, state):
        grants = [s for s in self.of["grant"] if s.subject == account and counts(s)]
        for s in self.of["revocation"]:
            d = self.distance(s.issuer)
            if s.subject == account and d is not None and (depth == 0 or d < depth):
                state = "revoked"
        return Account(min(grants, key=lambda s: (-s.issued, s.digest)), depth, state)

    def find_devices(self):
        owned = {}
        for account, a in self.accounts.items():
            claims = [s for s in self.of["device"] if s.issuer == account and not s.removed and not s.expired(self.now)]
            claims.sort(key=lambda s: (s.issued, s.digest))
            for s in claims[:32] if a.state == "member" else []:
                owned.setdefault(s.subject, []).append(s)
        winners = [min(claims, key=lambda s: (s.issued, s.digest)) for claims in owned.values()]
        for s in sorted(winners, key=lambda s: (s.issued, s.digest)):
            self.accounts[s.issuer].devices.append(peer_id(s.subject))

    def names(self):
        """The nicknames as they are shown: distinct among members."""
        members = [a for a in self.accounts.values() if a.state == "member"]
        members.sort(key=lambda a: (a.depth, a.grant.issued, a.grant.subject))
        shown, taken = {}, set()
        for a in self.accounts.values():
            shown[a.grant.subject] = a.grant.body[5]
        for a in members:
            if a.grant.body[5].lower() in taken:
                shown[a.grant.subject] += " (" + base32_encode(a.grant.subject)[:8] + ")"
            taken.add(a.grant.body[5].lower())
        return shown

    def settings(self):
        heeded = [s for s in self.of["settings"] if self.distance(s.issuer) is not None]
        return min(heeded, key=lambda s: (self.distance(s.issuer), -s.seq, s.digest), default=None)

    def digest(self):
        buckets = [[] for _ in range(256)]
        for kind, statements in self.of.items():
            for s in statements:
                holder = self.accounts.get(s.issuer)
                if holder and holder.state in ("member", "expired") if kind in ("device", "contact") else self.distance(s.issuer) is not None:
                    buckets[sha256(s.slot)[0]].append(s.digest)
        return sha256(b"".join(sha256(b"".join(sorted(b))) if b else bytes(32) for b in buckets))


def peer_id(key):
    """The text form of the libp2p id of an Ed25519 key."""
    digits, n = "", int.from_bytes(bytes.fromhex("002408011220") + key, "big")
    while n:
        digits, n = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"[n % 58] + digits, n // 58
    return "1" + digits


# Recovery phrases (BIP39)

WORDS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "node", "account", "english.txt")
WORDS_SHA256 = "2f5eed53a4727b4bf8880d8f3f199efc90e58503646d9ff8eff3a2ed3b24dbda"


def phrase_entropy(text):
    """Reads the 32 bytes that 24 words stand for."""
    with open(WORDS, "rb") as f:
        published = f.read()
    if sha256(published).hex() != WORDS_SHA256:
        raise Corrupt("the list of words is not the published one")
    words = published.decode().split()
    bits = "".join("{:011b}".format(words.index(word)) for word in text.split())
    if len(bits) != 264:
        raise Malformed("%d bits" % len(bits))
    entropy = int(bits[:256], 2).to_bytes(32, "big")
    if int(bits[256:], 2) != sha256(entropy)[0]:
        raise Malformed("the words do not belong together")
    return entropy


# The vectors

# Directories

def rotate(x, n):
    return (x << n | x >> (32 - n)) & 0xffffffff


def chacha20_rounds(state):
    """The twenty rounds of ChaCha20 (RFC 8439), without the addition at the end."""
    x = list(state)
    columns = ((0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15))
    diagonals = ((0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14))
    for _ in range(10):
        for a, b, c, d in columns + diagonals:
            for plus, by, turned, n in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
                x[plus] = (x[plus] + x[by]) & 0xffffffff
                x[turned] = rotate(x[turned] ^ x[plus], n)
    return x


def words(data):
    return [int.from_bytes(data[i:i + 4], "little") for i in range(0, len(data), 4)]


def unwords(values):
    return b"".join(v.to_bytes(4, "little") for v in values)


SIGMA = words(b"expand 32-byte k")


def xchacha20(key, nonce, data, counter):
    """draft-irtf-cfrg-xchacha: a key of its own for each nonce of 24 bytes."""
    x = chacha20_rounds(SIGMA + words(key) + words(nonce[:16]))
    key, out = x[:4] + x[12:], b""
    for i in range(0, len(data), 64):
        state = SIGMA + key + [counter + i // 64, 0] + words(nonce[16:])
        block = unwords((a + b) & 0xffffffff for a, b in zip(chacha20_rounds(state), state))
        out += xor(data[i:i + 64], block[:len(data[i:i + 64])])
    return out


def poly1305(key, message):
    r, s = int.from_bytes(key[:16], "little") & 0x0ffffffc0ffffffc0ffffffc0fffffff, int.from_bytes(key[16:], "little")
    total = 0
    for i in range(0, len(message), 16):
        total = (total + int.from_bytes(message[i:i + 16] + b"\1", "little")) * r % ((1 << 130) - 5)
    return ((total + s) & ((1 << 128) - 1)).to_bytes(16, "little")


def padded(data):
    return data + bytes(-len(data) % 16)


def unseal(key, sealed, bound):
    """Opens XChaCha20-Poly1305; the nonce stands in front."""
    nonce, box, tag = sealed[:24], sealed[24:-16], sealed[-16:]
    lengths = len(bound).to_bytes(8, "little") + len(box).to_bytes(8, "little")
    if poly1305(xchacha20(key, nonce, bytes(32), 0), padded(bound) + padded(box) + lengths) != tag:
        raise Corrupt("the seal does not fit")
    return xchacha20(key, nonce, box, 1)


def cbor_head(major, n):
    head = cbor_uint(n)
    return bytes([head[0] | major << 5]) + head[1:]


def write_cbor(value):
    """Writes a value as DAG-CBOR does: keys in the order of their length, then bytewise."""
    if isinstance(value, bool):
        return bytes([0xf4 + value])
    if isinstance(value, int):
        return cbor_head(0, value) if value >= 0 else cbor_head(1, -1 - value)
    if isinstance(value, bytes):
        return cbor_head(2, len(value)) + value
    if isinstance(value, str):
        data = value.encode()
        return cbor_head(3, len(data)) + data
    if isinstance(value, list):
        return cbor_head(4, len(value)) + b"".join(write_cbor(v) for v in value)
    items = sorted((len(k.encode()), k.encode(), v) for k, v in value.items())
    return cbor_head(5, len(items)) + b"".join(cbor_head(3, n) + k + write_cbor(v) for n, k, v in items)


def read_cbor(r, depth=0):
    """Reads a value, in whatever encoding; who wants one only encodes it again and compares."""
    if depth > 5 or r.at >= len(r.data):
        raise Malformed("too deep, or cut short")
    major = r.data[r.at] >> 5
    if r.data[r.at] in (0xf4, 0xf5):
        return r.take(1) == b"\xf5"
    n = r.head(major)
    if major == 0:
        return n
    if major == 1:
        return -1 - n
    if major == 2:
        return r.take(n)
    if major == 3:
        try:
            return r.take(n).decode()
        except UnicodeDecodeError:
            raise Malformed("no UTF-8") from None
    if n > len(r.data):
        raise Malformed("cut short")
    if major == 4:
        return [read_cbor(r, depth + 1) for _ in range(n)]
    if major != 5:
        raise Malformed("a type that no page has")
    out = {}
    for _ in range(n):
        key = read_cbor(r, depth + 1)
        if not isinstance(key, str) or key in out:
            raise Malformed("a key that is no text, or there already")
        out[key] = read_cbor(r, depth + 1)
    return out


def refuse(condition, why):
    if condition:
        raise Malformed(why)


def check_name(name):
    """The rule for names in pages."""
    refuse(not isinstance(name, str) or name in ("", ".", "..") or len(name.encode()) > 255, "no name")
    refuse(any(c == "/" or unicodedata.category(c) == "Cc" for c in name), "a name with a slash or control character")


def normalised(name):
    """Returns the name under which an entry is stored."""
    check_name(name if len(name.encode()) <= 255 else "n")
    marks = 0
    for c in unicodedata.normalize("NFD", name):
        marks = marks + 1 if unicodedata.combining(c) else 0
        refuse(marks > 30, "combining marks")
    nfc = unicodedata.normalize("NFC", name)
    check_name(nfc)
    return nfc


def weak(text):
    """Reports whether readers of a directory may have a capability."""
    kind, _ = parse_capability(text)
    return KINDS[kind][3] != "write" if kind in KINDS else kind.endswith(("-read", "-verify"))


ENTRY_TYPES = {"n": str, "c": str, "w": bytes, "s": int, "m": int, "b": int, "t": int, "y": str, "x": bool, "u": dict}


def check_entry(e):
    refuse(not isinstance(e, dict) or any(type(v) is not ENTRY_TYPES.get(k) for k, v in e.items()), "no entry")
    check_name(e.get("n"))
    refuse(any(not v for k, v in e.items() if k in "cwsyxu"), "a value that is left out")
    refuse(e.get("s", 0) < 0 or any(not -1 << 63 <= e.get(k, 0) < 1 << 63 for k in "smbt"), "a number out of range")
    refuse(len(e.get("y", "")) > 255 or any(not " " <= c <= "~" for c in e.get("y", "")), "content type")
    user = e.get("u", {})
    sizes = [(len(k.encode()), len(v.encode())) for k, v in user.items() if isinstance(v, str)]
    refuse(len(sizes) != len(user) or len(user) > 64 or sum(map(sum, sizes)) > 4096, "user data")
    refuse(any(not 1 <= k <= 255 for k, _ in sizes), "a key of user data")
    refuse("c" not in e and "w" not in e or "w" in e and not 40 < len(e["w"]) <= 1024 + 40, "no capability")
    if "c" in e:
        refuse(not weak(e["c"]), "a capability that is not sealed")
        refuse("w" in e and parse_capability(e["c"])[0] not in ("mutable-read", "dir-read"), "nothing to seal")


def read_page(data):
    """Returns the map of a page."""
    if len(data) > 65536:
        raise TooLarge()
    r = Reader(data)
    p = read_cbor(r)
    refuse(not isinstance(p, dict), "no map")
    if isinstance(p.get("v"), int) and p["v"] > 1 and r.at == len(data):
        raise Version()
    refuse(r.at != len(data) or write_cbor(p) != data, "not in canonical form")
    refuse(set(p) - set("velp") or p.get("v") != 1, "unknown field or version")
    level = p.get("l", 0)
    if level == 0:
        refuse("l" in p or "p" in p or p.get("e", [1]) == [], "no leaf")
        entries = p.get("e", [])
        for e in entries:
            check_entry(e)
        names = [e["n"].encode() for e in entries]
    else:
        refuse(type(level) is not int or not 1 <= level <= 15 or "e" in p or not p.get("p"), "no page above leaves")
        for ref in p["p"]:
            refuse(not isinstance(ref, dict) or set(ref) != set("nick"), "no reference")
            check_name(ref["n"])
            refuse(type(ref["c"]) is not int or not 1 <= ref["c"] <= 1 << 40, "a count")
            refuse(type(ref["i"]) is not bytes or type(ref["k"]) is not bytes, "no reference")
            refuse(len(ref["i"]) != 32 or len(ref["k"]) != 16, "no reference")
        refuse(sum(ref["c"] for ref in p["p"]) > 1 << 40, "too many entries")
        names = [ref["n"].encode() for ref in p["p"]]
    refuse(any(a >= b for a, b in zip(names, names[1:])), "names out of order")
    return p


def open_entry(e, write_key, name):
    """Returns what writers of the directory with this write key and name get of an entry."""
    if "w" not in e:
        return e["c"]
    bound = name + e["n"].encode() + b"\0" + e.get("c", "").encode()
    secret = unseal(hkdf(write_key, b"", "cairn/v1/dir/seal", 32), e["w"], bound)
    nonce = hmac.new(hkdf(write_key, b"", "cairn/v1/dir/nonce", 32), bound + b"\0" + secret, hashlib.sha256).digest()
    if nonce[:24] != e["w"][:24]:
        raise Corrupt("the nonce is another one than a writer makes")
    if "c" not in e:
        return secret.decode()
    kind, fields = parse_capability(e["c"])
    if hkdf(secret, b"", "cairn/v1/mutable/read", 16) != fields["R"]:
        raise Corrupt("the write key is that of something else")
    return write_capability({"mutable-read": "mutable", "dir-read": "dir"}[kind], {"M": fields["M"], "W": secret})


def page_ends(level, name, item, length):
    """Reports whether a writer ends a page behind an item of that many bytes, when all items have the given length."""
    if length < 4096 or length >= 32768:
        return length >= 32768
    scale = 65536 if length < 16384 else 4096
    return int.from_bytes(sha256(bytes([level]) + name.encode())[:4], "big") < min(item * (1 << 32) // scale, (1 << 32) - 1)


def cut_pages(level, items):
    """Returns the items of each page."""
    pages, length = [[]], 0
    for item in items:
        size = len(write_cbor(item))
        pages[-1].append(item)
        length += size
        if page_ends(level, item["n"], size, length):
            pages.append([])
            length = 0
    return pages[:-1] if len(pages) > 1 and not pages[-1] else pages


def immutable_directory(entries, secret, k, n, with_files):
    """Returns the capability of an immutable directory, the last names of its leaves and the number of its pages."""
    level, items, ends, count = 0, entries, None, 0
    while True:
        pages = cut_pages(level, items)
        count += len(pages)
        ends = ends or [page[-1]["n"] if page else "" for page in pages]
        refs = []
        for page in pages:
            data = write_cbor({"v": 1, **({"l": level, "p": page} if level else {"e": page} if page else {})})
            read_page(data)
            key = index = bytes(16)
            if with_files:
                key = convergent_key(secret, data, k, n, 131072)
                index = sha256(encode(k, n, 131072, key, b"", data)[0])
            else:
                index = sha256(data)
            below = sum(item["c"] for item in page) if level else len(page)
            refs.append({"n": page[-1]["n"] if page else "", "c": below, "i": index, "k": key})
        if len(pages) == 1:
            return write_capability("idir", {"C": refs[0]["i"], "R": refs[0]["k"]}), ends, count
        level, items = level + 1, refs


class Checker:
    def __init__(self, directory, limit):
        self.directory, self.limit = directory, limit
        self.count, self.skipped, self.problems = 0, 0, []

    def expect(self, what, got, want):
        self.count += 1
        if got != want:
            self.problems.append("%s: got %.100s, want %.100s" % (what, got, want))

    def expect_error(self, what, error, function, *arguments):
        self.count += 1
        try:
            function(*arguments)
        except error as e:
            if type(e) is not error and error is not Exception:
                self.problems.append("%s: refused as %r, want %s" % (what, e, error.__name__))
        else:
            self.problems.append("%s: accepted" % what)

    def attempt(self, check, vector):
        """Runs a check of which a wrong vector may end the decoding anywhere."""
        try:
            check(vector)
        except (Malformed, Corrupt, KeyError, ValueError, IndexError, OSError) as e:
            self.problems.append("%s: %s %s" % (vector.get("name") or vector.get("text"), type(e).__name__, e))

    def load(self, name):
        with open(os.path.join(self.directory, name), encoding="utf-8") as f:
            return json.load(f)

    def heads(self):
        v = self.load("heads.json")
        for h in v["heads"]:
            name, record = parse_field("M", h["name"]), bytes.fromhex(h["record"])
            parents = [bytes.fromhex(p) for p in h["parents"]]
            public = ed25519_public(hkdf(bytes.fromhex(h["write_key"]), b"", "cairn/v1/mutable/sign", 32))
            self.expect("head %d, name" % h["sequence"], name_text(public), h["name"])
            want = (h["sequence"], parse_field("C", h["root"]), parents, bytes(h["ties"]), h["written"], (h["keep_versions"], h["keep_ms"]), h["ended"])
            self.expect("head %d" % h["sequence"], read_head(name, record), want)
            self.expect("head %d, digest" % h["sequence"], sha256(record).hex(), h["digest"])
        for r in v["refused"]:
            error = {"corrupt": Malformed, "version": Version}[r["error"]]
            self.expect_error("head, " + r["about"], error, read_head, parse_field("M", r["name"]), bytes.fromhex(r["record"]))

    def run(self):
        self.roster()
        self.account()
        self.heads()
        self.inbox()
        for vector in self.load("encoded.json"):
            self.attempt(self.stored, vector)
            two_levels = vector["size"] == 256 * vector["block"] + 1  # the smallest file of that kind
            if vector["size"] * vector["n"] // vector["k"] > self.limit and not two_levels:
                self.skipped += 1
                continue
            self.attempt(self.encoded, vector)
        capabilities = self.load("capabilities.json")
        for vector in capabilities["valid"]:
            self.attempt(self.capability, vector)
        for vector in capabilities["malformed"]:
            self.expect_error("capability, " + vector["about"], Malformed, parse_capability, vector["text"])
        self.directories()
        for vector in self.load("directory_trees.json"):
            self.attempt(self.trees, vector)
        errors = {"corrupt": Malformed, "version": Version, "too large": TooLarge}
        for vector in self.load("roots.json"):
            self.expect_error("root, " + vector["about"], errors[vector["error"]], read_root, bytes.fromhex(vector["block"]))

    def directories(self):
        v = self.load("directories.json")
        key, name = bytes.fromhex(v["write_key"]), parse_field("M", v["name"])
        self.expect("seal key", hkdf(key, b"", "cairn/v1/dir/seal", 32).hex(), v["seal_key"])
        self.expect("nonce key", hkdf(key, b"", "cairn/v1/dir/nonce", 32).hex(), v["nonce_key"])
        for vector in v["pages"]:
            self.page(vector, key, name)
        errors = {"corrupt": Malformed, "version": Version}
        for vector in v["malformed"]:
            self.expect_error("page, " + vector["about"], errors[vector["error"]], read_page, bytes.fromhex(vector["page"]))
        for vector in v["names"]:
            if "nfc" in vector:
                self.expect("name " + vector["name"], normalised(vector["name"]), vector["nfc"])
            else:
                self.expect_error("name " + vector["name"], Malformed, normalised, vector["name"])

    def page(self, vector, key, name):
        about, p = "page, " + vector["about"], read_page(bytes.fromhex(vector["page"]))
        self.expect(about + " level", p.get("l", 0), vector["level"])
        self.expect(about + " count", sum(r["c"] for r in p.get("p", [])) + len(p.get("e", [])), vector["count"])
        refs = [{"last": r["n"], "count": r["c"], "index": root_cid(r["i"]), "key": r["k"].hex()} for r in p.get("p", [])]
        self.expect(about + " references", refs, vector.get("refs", []))
        words = {"n": "name", "c": "reader", "s": "size", "m": "modified", "b": "created", "t": "changed",
                 "y": "type", "x": "executable", "u": "user"}
        entries = []
        for e in p.get("e", []):
            entry = {words[k]: value for k, value in e.items() if k != "w"}
            entry["writer"] = open_entry(e, key, name)
            entries.append(entry)
            if "w" in e:
                for other, dir_name in ((dict(e, n="other"), name), (e, bytes(32)), (dict(e, w=e["w"][:-1] + b"x"), name)):
                    self.expect_error(about + " moved", Corrupt, open_entry, other, key, dir_name)
        self.expect(about + " entries", entries, vector.get("entries", []))

    def trees(self, v):
        names = ["file %05d" % i for i in range(v["count"])]
        entries = [dict({"n": n, "c": "cairn:literal:" + base32_encode(n.encode())}, **({"s": i} if i else {}))
                   for i, n in enumerate(names)]
        whole = v["count"] * 75 <= self.limit
        made, ends, pages = immutable_directory(entries, bytes.fromhex(v["convergence"]), v["k"], v["n"], whole)
        self.expect("%d entries, pages" % v["count"], (ends, pages), (v["ends"], v["pages"]))
        if whole:
            self.expect("%d entries, capability" % v["count"], made, v["capability"])
        else:
            self.skipped += 1

    def roster(self):
        v = self.load("roster.json")
        grid = base32_decode(v["grid"].partition(":")[2])
        outer = read_map(grid, {1: STRING, 2: STRING}, set())
        kinds = {1: NUMBER, 2: TEXT, 3: KEY, 4: NUMBER, 5: NUMBER, 6: NUMBER, 7: TRUE, 8: NUMBER}
        key = read_map(outer[1], kinds, {4, 5, 6, 7})[3]
        self.expect("grid", ed25519_verify(key, b"cairn/v1/grid descriptor\0" + outer[1], outer[2]), True)
        errors = {"corrupt": Malformed, "denied": Denied, "version": Version}
        for r in v["refused"]:
            self.expect_error("statement, " + r["about"], errors[r["error"]], Statement, key, bytes.fromhex(r["statement"]))
        statements = [Statement(key, bytes.fromhex(s["statement"])) for s in v["statements"]]
        for order in (statements, statements[::-1]):
            roster = Roster(order, v["time"])
            self.expect("roster digest", roster.digest().hex(), v["digest"])
            shown, accounts = roster.names(), {}
            for public, a in roster.accounts.items():
                accounts[base32_encode(public)] = (
                    shown[public], a.state, a.introducer, a.grant.body.get(7, 0), a.depth,
                    "" if a.grant.issuer == NO_ISSUER else base32_encode(a.grant.issuer), a.devices)
            self.expect("accounts", accounts, {a["account"]: (
                a["nickname"], a["state"], a.get("introducer", False), a.get("quota", 0), a.get("depth", 0),
                a.get("granted_by", ""), a.get("devices", [])) for a in v["accounts"]})
            about = [s["about"] for s in v["statements"] if bytes.fromhex(s["statement"]) == roster.settings().data]
            self.expect("settings", about, [v["settings"]])

    def account(self):
        for v in self.load("account.json"):
            entropy = phrase_entropy(v["phrase"])
            for name, length in (("key", 32), ("convergence", 32), ("root", 16), ("record", 32), ("founder", 32)):
                derived = hkdf(entropy, b"", "cairn/v1/account/" + name, length)
                self.expect("phrase, " + name, derived.hex(), v["account_seed" if name == "key" else name])
            self.expect("phrase, account", ed25519_public(bytes.fromhex(v["account_seed"])).hex(), v["account"])
            salt = v["founded"].to_bytes(8, "big") + v["grid"].encode()
            seed = hkdf(bytes.fromhex(v["founder"]), salt, "cairn/v1/account/grid", 32)
            self.expect("phrase, grid key", ed25519_public(seed).hex(), v["grid_key"])
            first, _, rest = v["phrase"].partition(" ")
            swapped = rest + " " + first
            if swapped != v["phrase"]:
                self.expect_error("phrase in another order", Malformed, phrase_entropy, swapped)

    def encoded(self, v):
        name, plaintext = v["name"], stream(v["size"])
        key, salt = bytes.fromhex(v["key"]), bytes.fromhex(v.get("salt", ""))
        self.expect(name + " plaintext", sha256(plaintext).hex(), v["plaintext_sha256"])
        if "convergence" in v:
            derived = convergent_key(bytes.fromhex(v["convergence"]), plaintext, v["k"], v["n"], v["block"])
            self.expect(name + " key", derived.hex(), v["key"])
        self.expect(name + " upload id", hkdf(key, b"", "cairn/v1/file/upload", 16).hex(), v["upload_id"])
        root, shares = encode(v["k"], v["n"], v["block"], key, salt, plaintext)
        self.expect(name + " root", root.hex(), v["root"])
        self.expect(name + " storage index", root_cid(sha256(root)), v["storage_index"])
        self.expect(name + " verify", write_capability("file-verify", {"C": sha256(root)}), v["verify_capability"])
        if "capability" in v:
            self.expect(name + " capability", write_capability("file", {"C": sha256(root), "R": key}), v["capability"])
        self.expect(name + " share size", len(shares[0]), v["share_size"])
        self.expect(name + " shares", [sha256(s).hex() for s in shares], v["shares_sha256"])
        last = {j: shares[j] for j in range(v["n"] - v["k"], v["n"])}
        self.expect(name + " decoded", read(sha256(root), key, last) == plaintext, True)

    def stored(self, v):
        """Reads the shares that lie in files, from every choice of k of them, from the capability alone."""
        shares = {}
        for j in v.get("stored", []):
            with open(os.path.join(self.directory, "shares", v["name"], "%d.share" % j), "rb") as f:
                shares[j] = f.read()
            self.expect("%s share %d" % (v["name"], j), sha256(shares[j]).hex(), v["shares_sha256"][j])
        if not shares:
            return
        if "capability" in v:
            fields = parse_capability(v["capability"])[1]
            index, key = fields["C"], fields["R"]
        else:
            index, key = parse_capability(v["verify_capability"])[1]["C"], bytes.fromhex(v["key"])
        plaintext = stream(v["size"])
        for choice in itertools.islice(itertools.combinations(shares, v["k"]), 130):
            chosen = {j: shares[j] for j in choice}
            self.expect("%s from %s" % (v["name"], choice), read(index, key, chosen) == plaintext, True)
        self.damage(v["name"], index, key, chosen)

    def damage(self, name, index, key, shares):
        """A wrong key and a flipped bit in any part of a share are errors."""
        wrong = bytes([key[0] ^ 1]) + key[1:]
        self.expect_error(name + " with a wrong key", Corrupt, read, index, wrong, shares)
        number, share = next(iter(shares.items()))
        for at in {0, len(share) // 3, len(share) // 2, len(share) - 200, len(share) - 1}:
            bad = dict(shares)
            bad[number] = share[:at] + bytes([share[at] ^ 0x10]) + share[at + 1:]
            self.expect_error("%s with byte %d changed" % (name, at), Corrupt, read, index, key, bad)

    def inbox(self):
        """Finds the place of a box from either account, and checks what the sender signed. HPKE is left to others."""
        with open(os.path.join(self.directory, "inbox.json"), encoding="utf-8") as f:
            v = json.load(f)
        grid, seeds = bytes.fromhex(v["grid"]), [bytes.fromhex(v["sender_seed"]), bytes.fromhex(v["receiver_seed"])]
        accounts = [ed25519_public(seed) for seed in seeds]
        for own, other in ((0, 1), (1, 0)):
            scalar = int.from_bytes(hashlib.sha512(seeds[own]).digest()[:32], "little") & ((1 << 254) - 8) | 1 << 254
            y = int.from_bytes(point_encode(point_mul(scalar, point_decode(accounts[other]))), "little") & (1 << 255) - 1
            secret = ((1 + y) * pow(1 - y, P - 2, P) % P).to_bytes(32, "little")
            key = hkdf(secret, grid + accounts[0] + accounts[1], "cairn/v1/inbox/box", 16)
            self.expect("box key of account %d" % own, key.hex(), v["box_key"])
        self.expect("card key", hkdf(seeds[1], grid, "cairn/v1/account/card", 16).hex(), v["card_key"])
        signed = bytes.fromhex(v["signed"])
        outer = read_map(signed, {1: STRING, 2: STRING}, set())
        self.expect("box signature", ed25519_verify(accounts[0], b"cairn/v1/inbox\0" + outer[1], outer[2]), True)
        box = read_map(bytes.fromhex(v["box"]), {1: NUMBER, 2: STRING, 3: STRING}, set())
        self.expect("box version and digest", (box[1], box[2]), (1, sha256(signed)))
        card = read_map(bytes.fromhex(v["card"]), {1: NUMBER, 2: NUMBER, 3: STRING}, set())
        self.expect("card", (card[1], card[2], len(card[3])), (1, 0x647a, 1216))

    def capability(self, v):
        kind, fields = parse_capability(v["text"])
        text = v["text"]
        self.expect(text + " kind", kind if kind in KINDS else "unknown", v["kind"])
        self.expect(text + " authority", KINDS[kind][3] if kind in KINDS else "none", v["authority"])
        if kind in KINDS:
            self.expect(text + " written", write_capability(kind, fields), text)
        read_text, verify_text = diminish(kind, fields)
        self.expect(text + " read", read_text, v.get("read"))
        self.expect(text + " verify", verify_text, v.get("verify"))
        if "C" in fields:
            self.expect(text + " storage index", root_cid(fields["C"]), v.get("storage_index"))
        for what, name in (("W", "write_key"), ("D", "data")):
            if what in fields and fields[what]:
                self.expect(text + " " + name, fields[what].hex(), v.get(name))
        if read_text and kind != "literal":
            self.expect(text + " read key", parse_capability(read_text)[1]["R"].hex(), v.get("read_key"))


def stream(size):
    """The plaintext of all vectors."""
    return b"".join(sha256(b"cairn vector" + i.to_bytes(8, "big")) for i in range(size // 32 + 1))[:size]


def main(arguments):
    quick = "--quick" in arguments
    roster, account, heads = "--roster" in arguments, "--account" in arguments, "--heads" in arguments
    inbox = "--inbox" in arguments
    arguments = [a for a in arguments if a not in ("--quick", "--roster", "--account", "--heads", "--inbox")]
    directory = arguments[0] if arguments else os.path.join(os.path.dirname(os.path.abspath(__file__)), "vectors")
    checker = Checker(directory, 400_000 if quick else 1 << 30)
    if roster:
        checker.roster()
    elif account:
        checker.account()
    elif heads:
        checker.heads()
    elif inbox:
        checker.inbox()
    else:
        checker.run()
    for problem in checker.problems:
        print(problem)
    print("%d checks, %d failed, %d large files skipped" % (checker.count, len(checker.problems), checker.skipped))
    return 1 if checker.problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

#!/usr/bin/env python3
"""Computes the known answers in keys_test.go from docs/formats.md alone, with the standard library only."""
import hashlib
import hmac


def hkdf(secret, salt, info, n):
    prk = hmac.new(salt or bytes(32), secret, hashlib.sha256).digest()
    out = block = b""
    for i in range(1, n // 32 + 2):
        block = hmac.new(prk, block + info + bytes([i]), hashlib.sha256).digest()
        out += block
    return out[:n]


key = bytes(range(16))
salt = b"a salt"
convergence = bytes(range(32))
plaintext = hashlib.sha256(b"plaintext").digest()
shape = (3).to_bytes(2, "big") + (10).to_bytes(2, "big") + (131072).to_bytes(4, "big")

print("convergent", hkdf(convergence, plaintext + shape, b"cairn/v1/file/convergent", 16).hex())
print("encryption", hkdf(key, b"", b"cairn/v1/file/encryption", 32).hex())
print("encryption, salted", hkdf(key, salt, b"cairn/v1/file/encryption", 32).hex())
print("commitment", hkdf(key, b"", b"cairn/v1/file/commitment", 32).hex())
print("commitment, salted", hkdf(key, salt, b"cairn/v1/file/commitment", 32).hex())
print("upload", hkdf(key, b"", b"cairn/v1/file/upload", 16).hex())
print("read", hkdf(key, b"", b"cairn/v1/mutable/read", 16).hex())
print("sign", hkdf(key, b"", b"cairn/v1/mutable/sign", 32).hex())

// Package keys derives every key from few secrets.
//
// Secrets in capabilities are 16 bytes. They are never used directly: HKDF-SHA256 (RFC 5869) expands them, with a
// distinct info string for each use (docs/formats.md, "Keys"). Secrets print as labels, never as their bytes.
package keys

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"log/slog"

	"cairn/share"
)

// Info strings of HKDF, one for each use.
const (
	infoConvergent = "cairn/v1/file/convergent"
	infoEncryption = "cairn/v1/file/encryption"
	infoCommitment = "cairn/v1/file/commitment"
	infoUpload     = "cairn/v1/file/upload"
	infoRead       = "cairn/v1/mutable/read"
	infoSign       = "cairn/v1/mutable/sign"
	infoSeal       = "cairn/v1/dir/seal"
	infoNonce      = "cairn/v1/dir/nonce"
)

// Size is the length of a secret in a capability, in bytes.
const Size = 16

// A ReadKey reads one file.
type ReadKey [Size]byte

// A WriteKey writes one mutable file or directory; the read key and the signing key follow from it.
type WriteKey [Size]byte

// A ConvergenceSecret makes the keys of one account's files depend on their contents and on nothing that others know.
type ConvergenceSecret [32]byte

const redacted = "[secret]"

func (ReadKey) String() string                 { return redacted }
func (ReadKey) GoString() string               { return redacted }
func (ReadKey) LogValue() slog.Value           { return slog.StringValue(redacted) }
func (WriteKey) String() string                { return redacted }
func (WriteKey) GoString() string              { return redacted }
func (WriteKey) LogValue() slog.Value          { return slog.StringValue(redacted) }
func (ConvergenceSecret) String() string       { return redacted }
func (ConvergenceSecret) GoString() string     { return redacted }
func (ConvergenceSecret) LogValue() slog.Value { return slog.StringValue(redacted) }

// NewReadKey returns a random read key.
func NewReadKey() ReadKey {
	var k ReadKey
	rand.Read(k[:]) // never fails: crypto/rand ends the program instead
	return k
}

// NewWriteKey returns a random write key.
func NewWriteKey() WriteKey {
	var k WriteKey
	rand.Read(k[:])
	return k
}

// NewConvergenceSecret returns a random convergence secret.
func NewConvergenceSecret() ConvergenceSecret {
	var s ConvergenceSecret
	rand.Read(s[:])
	return s
}

// Convergent returns the read key of a file from its SHA-256 digest and its encoding. The same account storing the
// same bytes the same way gets the same key and so the same shares; nobody without the secret can test for a file.
func (s ConvergenceSecret) Convergent(plaintext share.Digest, needed, total, blockSize int) ReadKey {
	salt := plaintext[:]
	salt = binary.BigEndian.AppendUint16(salt[:len(salt):len(salt)], uint16(needed))
	salt = binary.BigEndian.AppendUint16(salt, uint16(total))
	salt = binary.BigEndian.AppendUint32(salt, uint32(blockSize))
	return ReadKey(derive(s[:], salt, infoConvergent, Size))
}

// UploadID names the upload of the file with this key to the servers that take its shares.
func (k ReadKey) UploadID() share.UploadID {
	return share.UploadID(derive(k[:], nil, infoUpload, len(share.UploadID{})))
}

// VersionUploadID names the upload of the version with this salt of a mutable file.
func (k ReadKey) VersionUploadID(salt []byte) share.UploadID {
	return share.UploadID(derive(k[:], salt, infoUpload, len(share.UploadID{})))
}

// ReadKey returns the read key that the holder of the write key has: reading follows from writing, never back.
func (k WriteKey) ReadKey() ReadKey { return ReadKey(derive(k[:], nil, infoRead, Size)) }

// Signer returns the Ed25519 key that signs the heads of the mutable file; its public half is the file's name.
func (k WriteKey) Signer() ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(derive(k[:], nil, infoSign, ed25519.SeedSize))
}

// A LinkKeys seals the write capabilities that a directory holds.
type LinkKeys struct {
	Seal  [32]byte // of XChaCha20-Poly1305
	Nonce [32]byte // of HMAC-SHA256, which makes the nonces
}

// String returns a label.
func (LinkKeys) String() string       { return redacted }
func (LinkKeys) GoString() string     { return redacted }
func (LinkKeys) LogValue() slog.Value { return slog.StringValue(redacted) }

// Links returns the keys that seal the write capabilities in the directory with this write key.
func (k WriteKey) Links() LinkKeys {
	return LinkKeys{Seal: [32]byte(derive(k[:], nil, infoSeal, 32)), Nonce: [32]byte(derive(k[:], nil, infoNonce, 32))}
}

// A File encrypts and decrypts the bytes of one encoded file with AES-256 in counter mode. It is safe for
// concurrent use.
type File struct {
	block      cipher.Block
	commitment share.Digest
}

// File derives the keys of the encoded file from its read key and, for a version of a mutable file, its salt.
func (k ReadKey) File(salt []byte) File {
	block, err := aes.NewCipher(derive(k[:], salt, infoEncryption, 32))
	if err != nil {
		panic("keys: " + err.Error()) // 32 bytes are always a key
	}
	return File{block: block, commitment: share.Digest(derive(k[:], salt, infoCommitment, sha256.Size))}
}

// Commitment returns the value that the root carries to tell a wrong key from the right one.
func (f File) Commitment() share.Digest { return f.commitment }

// Commits reports whether the root's commitment is that of this key.
func (f File) Commits(commitment share.Digest) bool {
	return subtle.ConstantTimeCompare(f.commitment[:], commitment[:]) == 1
}

// XORKeyStream encrypts or decrypts src, which stands at offset off of the file, into dst; they may be the same.
func (f File) XORKeyStream(dst, src []byte, off int64) {
	var iv [aes.BlockSize]byte
	binary.BigEndian.PutUint64(iv[8:], uint64(off/aes.BlockSize))
	stream := cipher.NewCTR(f.block, iv[:])
	if skip := int(off % aes.BlockSize); skip > 0 {
		var discard [aes.BlockSize]byte
		stream.XORKeyStream(discard[:skip], discard[:skip])
	}
	stream.XORKeyStream(dst[:len(src)], src)
}

func derive(secret, salt []byte, info string, n int) []byte {
	out, err := hkdf.Key(sha256.New, secret, salt, info, n)
	if err != nil {
		panic("keys: " + err.Error()) // the lengths are constants within HKDF's bounds
	}
	return out
}

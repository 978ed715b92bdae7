package keys_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"cairn/share"
	"cairn/share/keys"
)

// sequence returns the bytes 0, 1, 2, …
func sequence(n int) []byte {
	out := make([]byte, n)
	for i := range out {
		out[i] = byte(i)
	}
	return out
}

func unhex(t testing.TB, text string) []byte {
	t.Helper()
	raw, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// TestKnownAnswers compares with what testdata/vectors.py computes from the specification.
func TestKnownAnswers(t *testing.T) {
	key := keys.ReadKey(sequence(keys.Size))
	convergent := keys.ConvergenceSecret(sequence(32)).Convergent(sha256.Sum256([]byte("plaintext")), 3, 10, 131072)
	upload := key.UploadID()
	read := keys.WriteKey(key).ReadKey()
	plain, salted := key.File(nil).Commitment(), key.File([]byte("a salt")).Commitment()
	for _, c := range []struct {
		what, want string
		got        []byte
	}{
		{"convergent", "c711f617db8a72f3a4048e940e736333", convergent[:]},
		{"commitment", "cbd8b060db4954de7bf7d06b279d6cc650f141c8a6891bddef0845d13692f2cf", plain[:]},
		{"commitment, salted", "f2ee1535c4ee8b887f0705d7f267997acfe6fe54dbec13a36bbec8a0fcebd2e5", salted[:]},
		{"upload", "279a9fb7182dcb1ef8d43c8c200f761a", upload[:]},
		{"read", "dad907cdc9b4c563019c59499405aadf", read[:]},
		{"sign", "49f603248c1a35ebc0fede9e2df5b9f1b05b28a21b122014f2f5f9aa3c459a89", keys.WriteKey(key).Signer().Seed()},
	} {
		if got := hex.EncodeToString(c.got); got != c.want {
			t.Errorf("%s: got %s, want %s", c.what, got, c.want)
		}
	}
	for salt, encryption := range map[string]string{
		"":       "1c0bba4f487f47aae4fd1361f5059ab9932996f4503a10d0d606d1a44f307f91",
		"a salt": "6f70f962f27c9d6a9df90f3d3e487d7426bfc0ad8982934838955f8a3d78fd6d",
	} {
		got := make([]byte, 100)
		key.File([]byte(salt)).XORKeyStream(got, got, 0)
		if want := keyStream(t, unhex(t, encryption), 100); !bytes.Equal(got, want) {
			t.Errorf("salt %q: another key stream", salt)
		}
	}
}

// keyStream is AES in counter mode from counter zero on.
func keyStream(t testing.TB, key []byte, n int) []byte {
	t.Helper()
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	out := make([]byte, n)
	cipher.NewCTR(block, make([]byte, aes.BlockSize)).XORKeyStream(out, out)
	return out
}

// TestAnyPieceDecrypts: pieces of a file, at any offset and in any order, decrypt to the same bytes as the whole.
func TestAnyPieceDecrypts(t *testing.T) {
	file := keys.ReadKey(sequence(keys.Size)).File(nil)
	plain := bytes.Repeat([]byte("piece by piece, "), 300)
	whole := make([]byte, len(plain))
	file.XORKeyStream(whole, plain, 0)
	rapid.Check(t, func(t *rapid.T) {
		off := rapid.IntRange(0, len(plain)).Draw(t, "off")
		n := rapid.IntRange(0, len(plain)-off).Draw(t, "n")
		piece := make([]byte, n)
		file.XORKeyStream(piece, whole[off:off+n], int64(off))
		if !bytes.Equal(piece, plain[off:off+n]) {
			t.Fatalf("%d bytes at %d decrypt to something else", n, off)
		}
	})
}

// TestFarOffsets: the counter does not wrap or repeat within the largest file.
func TestFarOffsets(t *testing.T) {
	file := keys.ReadKey(sequence(keys.Size)).File(nil)
	seen := map[string]int64{}
	for shift := range 51 {
		off := int64(1)<<shift - 1
		for _, off := range []int64{off, off + 1} {
			stream := make([]byte, 16)
			file.XORKeyStream(stream, stream, off)
			if before, ok := seen[string(stream)]; ok && before != off {
				t.Errorf("offsets %d and %d have the same key stream", before, off)
			}
			seen[string(stream)] = off
		}
	}
}

// TestDistinctUses: no two uses of one secret give the same bytes, and no derived secret is its source.
func TestDistinctUses(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		raw := [keys.Size]byte(rapid.SliceOfN(rapid.Byte(), keys.Size, keys.Size).Draw(t, "secret"))
		var secret keys.ConvergenceSecret
		copy(secret[:], raw[:])
		encryption := make([]byte, 16)
		keys.ReadKey(raw).File(nil).XORKeyStream(encryption, encryption, 0)
		commitment := keys.ReadKey(raw).File(nil).Commitment()
		upload := keys.ReadKey(raw).UploadID()
		read := keys.WriteKey(raw).ReadKey()
		convergent := secret.Convergent(share.Digest{}, 3, 10, 4096)
		seen := map[string]string{string(raw[:]): "the secret"}
		for what, b := range map[string][]byte{
			"encryption": encryption, "commitment": commitment[:16], "upload": upload[:], "read": read[:],
			"sign": keys.WriteKey(raw).Signer().Seed()[:16], "convergent": convergent[:],
		} {
			if other, ok := seen[string(b)]; ok {
				t.Fatalf("%s is the same as %s", what, other)
			}
			seen[string(b)] = what
		}
	})
}

func TestConvergentDependsOnEverything(t *testing.T) {
	secret, other := keys.ConvergenceSecret{1}, keys.ConvergenceSecret{2}
	digest := share.Digest{3}
	seen := map[keys.ReadKey]int{}
	all := []keys.ReadKey{
		secret.Convergent(digest, 3, 10, 4096),
		other.Convergent(digest, 3, 10, 4096),
		secret.Convergent(share.Digest{4}, 3, 10, 4096),
		secret.Convergent(digest, 4, 10, 4096),
		secret.Convergent(digest, 3, 11, 4096),
		secret.Convergent(digest, 3, 10, 8192),
		secret.Convergent(digest, 256, 256, 1<<20),
		secret.Convergent(digest, 1, 256, 1<<20),
	}
	for i, k := range all {
		if j, ok := seen[k]; ok {
			t.Errorf("cases %d and %d have the same key", i, j)
		}
		seen[k] = i
	}
	if again := secret.Convergent(digest, 3, 10, 4096); again != all[0] {
		t.Error("the same file has two keys")
	}
	if digest != (share.Digest{3}) {
		t.Error("Convergent changed its argument")
	}
}

// TestCommitment: only the right key with the right salt fits a root.
func TestCommitment(t *testing.T) {
	key := keys.NewReadKey()
	commitment := key.File(nil).Commitment()
	if !key.File(nil).Commits(commitment) {
		t.Fatal("a key does not fit its own commitment")
	}
	for bit := range keys.Size * 8 {
		wrong := key
		wrong[bit/8] ^= 1 << (bit % 8)
		if wrong.File(nil).Commits(commitment) {
			t.Errorf("a key that differs in bit %d fits", bit)
		}
	}
	if key.File([]byte("salt")).Commits(commitment) {
		t.Error("the salt does not matter")
	}
}

// TestSigner: the signing key follows from the write key, and what it signs verifies.
func TestSigner(t *testing.T) {
	key := keys.NewWriteKey()
	a, b := key.Signer(), key.Signer()
	if !a.Equal(b) {
		t.Fatal("one write key has two signing keys")
	}
	if !ed25519.Verify(a.Public().(ed25519.PublicKey), []byte("head"), ed25519.Sign(b, []byte("head"))) {
		t.Error("the signature does not verify")
	}
}

func TestRandomSecretsDiffer(t *testing.T) {
	if keys.NewReadKey() == keys.NewReadKey() || keys.NewWriteKey() == keys.NewWriteKey() || keys.NewConvergenceSecret() == keys.NewConvergenceSecret() {
		t.Error("two random secrets are the same")
	}
	if keys.NewReadKey() == (keys.ReadKey{}) || keys.NewWriteKey() == (keys.WriteKey{}) || keys.NewConvergenceSecret() == (keys.ConvergenceSecret{}) {
		t.Error("a random secret is zero")
	}
}

func TestPrintingHidesSecrets(t *testing.T) {
	raw := []byte("sixteen letters!")
	read, write := keys.ReadKey(raw), keys.WriteKey(raw)
	secret := keys.ConvergenceSecret([]byte("sixteen letters!sixteen letters!"))
	var log bytes.Buffer
	for _, h := range []slog.Handler{slog.NewTextHandler(&log, nil), slog.NewJSONHandler(&log, nil)} {
		slog.New(h).Info("x", "read", read, "write", write, "secret", secret)
	}
	printed := log.String() + fmt.Sprint(read, write, secret) + fmt.Sprintf("%v %+v %#v %s %q %x", read, write, secret, read, write, secret)
	for _, shown := range []string{"sixteen", hex.EncodeToString(raw)[:8], "c2l4dGVl", "115,105", "115 105", "0x73, 0x69"} {
		if strings.Contains(printed, shown) {
			t.Errorf("the secret shows as %q in %s", shown, printed)
		}
	}
}

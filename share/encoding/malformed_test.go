package encoding_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"cairn/share"
	"cairn/share/encoding"
)

// A malformedRoot is a block that is no root, and the error that it must cause.
type malformedRoot struct {
	about string
	block []byte
	want  error
	name  string // of want, in the vectors
}

// malformedRoots returns one block for each way to be wrong. Field by field, "a7 k 3 n 10 v 1 …" as in docs/formats.md.
func malformedRoots(t T) []malformedRoot {
	t.Helper()
	const (
		k, n, v   = "616b03", "616e0a", "617601"
		size      = "6473697a651838"
		block     = "65626c6f636b191000"
		salt      = "6473616c7441aa"
		linkTag   = "65696e646578d82a"
		linkStart = "5825000171" + "1220"
	)
	key := "636b65795820" + strings.Repeat("cc", 32)
	index := linkTag + linkStart + strings.Repeat("11", 32)
	good := "a7" + k + n + v + key + size + block + index
	if _, err := encoding.ParseRoot(unhex(t, good)); err != nil {
		t.Fatalf("the root that is changed is wrong itself: %v", err)
	}
	var out []malformedRoot
	add := func(about string, want error, parts ...string) {
		name := map[error]string{share.ErrCorrupt: "corrupt", share.ErrVersion: "version", share.ErrTooLarge: "too large"}[want]
		out = append(out, malformedRoot{about, unhex(t, strings.Join(parts, "")), want, name})
	}
	corrupt := func(about string, parts ...string) { add(about, share.ErrCorrupt, parts...) }
	swap := func(old, new string) string { return strings.Replace(good, old, new, 1) }

	corrupt("nothing")
	corrupt("an empty map", "a0")
	corrupt("a list", "80")
	corrupt("cut short", good[:len(good)-2])
	corrupt("one byte more", good, "00")
	corrupt("v missing", "a6", k, n, key, size, block, index)
	corrupt("size missing", "a6", k, n, v, key, block, index)
	corrupt("an unknown field", "a8", k, n, v, "617801", key, size, block, index)
	corrupt("k twice", "a8", k, k, n, v, key, size, block, index)
	corrupt("keys in bytewise order", "a7", block, index, k, key, n, size, v)
	corrupt("k and n exchanged", "a7", n, k, v, key, size, block, index)
	corrupt("an indefinite map", "bf", good[2:], "ff")
	corrupt("a key of another case", swap(size, "6453697a651838"))
	corrupt("k in a longer form than needed", swap(k, "616b1803"))
	corrupt("size as a float", swap(size, "6473697a65f95300"))
	corrupt("size as text", swap(size, "6473697a65623536"))
	corrupt("version 0", swap(v, "617600"))
	add("version 2", share.ErrVersion, swap(v, "617602"))
	add("version 2 with another field", share.ErrVersion, "a8", k, n, "617602", "617801", key, size, block, index)
	corrupt("k is 0", swap(k, "616b00"))
	corrupt("k above n", swap(k, "616b0b"))
	corrupt("k negative", swap(k, "616b20"))
	corrupt("n is 257", swap(n, "616e190101"))
	corrupt("block size no power of two", swap(block, "65626c6f636b191001"))
	corrupt("block size 2 KiB", swap(block, "65626c6f636b190800"))
	corrupt("block size 2 MiB", swap(block, "65626c6f636b1a00200000"))
	corrupt("size negative", swap(size, "6473697a6520"))
	corrupt("size above 1 PiB", swap(size, "6473697a651b0004000000000001"))
	corrupt("size above 64 bits", swap(size, "6473697a65c249010000000000000000"))
	corrupt("commitment of 31 bytes", swap(key, "636b6579581f"+strings.Repeat("cc", 31)))
	corrupt("an empty salt", "a8", k, n, v, key, "6473616c7440", size, block, index)
	corrupt("a salt of 33 bytes", "a8", k, n, v, key, "6473616c745821"+strings.Repeat("aa", 33), size, block, index)
	corrupt("salt behind size", "a8", k, n, v, key, size, salt, block, index)
	corrupt("index without the tag", swap(linkTag, "65696e646578"))
	corrupt("index with another tag", swap(linkTag, "65696e646578d82b"))
	corrupt("index as a link to a raw block", swap(linkStart, "58250001551220"))
	corrupt("index with another hash function", swap(linkStart, "58250001711320"))
	corrupt("index without the zero byte", swap(linkTag+linkStart, linkTag+"5824"+"01711220"))
	corrupt("index of 31 bytes", linkless(good, index), linkTag, "5824000171121f", strings.Repeat("11", 31))
	add("513 bytes", share.ErrTooLarge, good, strings.Repeat("00", encoding.MaxRootSize+1-len(good)/2))
	return out
}

func linkless(good, index string) string { return strings.TrimSuffix(good, index) }

func unhex(t T, text string) []byte {
	t.Helper()
	raw, err := hex.DecodeString(text)
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return raw
}

func TestMalformedRoots(t *testing.T) {
	for _, m := range malformedRoots(t) {
		t.Run(m.about, func(t *testing.T) {
			root, err := encoding.ParseRoot(m.block)
			if !errors.Is(err, m.want) {
				t.Fatalf("%x: got %v, want %v", m.block, err, m.want)
			}
			if !bytes.Equal(root.Marshal(), encoding.Root{}.Marshal()) {
				t.Error("a root came with the error")
			}
		})
	}
}

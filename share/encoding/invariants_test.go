package encoding_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"cairn/share"
	"cairn/share/encoding"
	"cairn/share/keys"
)

// The names of the tests in this file stand in docs/formats.md, "Invariants".

// honestBlocks returns the blocks of a file as the encoder makes them.
func honestBlocks(t T, l encoding.Layout, key keys.ReadKey, data []byte) [][][]byte {
	t.Helper()
	b := build(t, l.Needed, l.Total, l.BlockSize, key, nil, data)
	out := make([][][]byte, l.Segments())
	for i := range out {
		for j := range b.shares {
			off := l.BlockOffset(int64(i))
			out[i] = append(out[i], bytes.Clone(b.shares[j].data[off:][:l.BlockLen(int64(i))]))
		}
	}
	return out
}

// TestOneCapabilityOneFile is invariant 1 under a malicious uploader: he commits to blocks that are not a code word, any
// of them, data or parity. Readers who use different shares get the same bytes, namely those of the data
// blocks that he committed to, or an error.
func TestOneCapabilityOneFile(t *testing.T) {
	outcomes := map[bool]int{}
	rapid.Check(t, func(t *rapid.T) {
		total := rapid.IntRange(2, 12).Draw(t, "n")
		l := encoding.Layout{
			Needed: rapid.IntRange(1, total-1).Draw(t, "k"), Total: total, BlockSize: encoding.MinBlockSize,
		}
		l.Size = rapid.Int64Range(1, 3*l.SegmentSize()).Draw(t, "size")
		key := keys.ReadKey{1, 2, 3}
		blocks := honestBlocks(t, l, key, plaintext(int(l.Size)))
		for range rapid.IntRange(1, 4).Draw(t, "lies") {
			segment := blocks[rapid.IntRange(0, len(blocks)-1).Draw(t, "segment")]
			block := segment[rapid.IntRange(0, total-1).Draw(t, "share")]
			block[rapid.IntRange(0, len(block)-1).Draw(t, "byte")] ^= rapid.ByteRange(1, 255).Draw(t, "flip")
		}
		b := forge(t, l, key, blocks)
		committed := committedBytes(l, key, blocks)
		numbers := rapid.Permutation(seq(total))
		for _, reader := range []string{"one reader", "another reader"} {
			subset := numbers.Draw(t, reader)[:l.Needed]
			data, err := read(b.root.StorageIndex(), b.root.Marshal(), key, b.take(subset...))
			outcomes[err == nil]++
			if err == nil && !bytes.Equal(data, committed) {
				t.Fatalf("shares %v give other bytes than the committed ones", subset)
			}
			if err != nil && !errors.Is(err, share.ErrCorrupt) {
				t.Fatalf("shares %v: %v", subset, err)
			}
		}
		if data, err := read(b.root.StorageIndex(), b.root.Marshal(), key, b.take(seq(l.Needed)...)); err != nil || !bytes.Equal(data, committed) {
			t.Fatalf("the data blocks do not give the committed bytes: %v", err)
		}
	})
	if outcomes[true] == 0 || outcomes[false] == 0 {
		t.Errorf("%d readings succeeded, %d failed: the attack was not tried both ways", outcomes[true], outcomes[false])
	}
}

// committedBytes decrypts the data blocks.
func committedBytes(l encoding.Layout, key keys.ReadKey, blocks [][][]byte) []byte {
	var out []byte
	for i := range blocks {
		out = append(out, bytes.Join(blocks[i][:l.Needed], nil)[:l.SegmentLen(int64(i))]...)
	}
	key.File(nil).XORKeyStream(out, out, 0)
	return out
}

func seq(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
}

// TestForgedParity is the attack of invariant 1 in its plainest form: parity of another file behind honest data. A
// reader of the plain shares gets the file; a reader of the parity gets an error, and not the other file.
func TestForgedParity(t *testing.T) {
	l := encoding.Layout{Needed: 3, Total: 10, BlockSize: encoding.MinBlockSize, Size: 3*4096*2 + 5}
	key := keys.NewReadKey()
	good, other := plaintext(int(l.Size)), bytes.Repeat([]byte("other"), int(l.Size)/5+1)[:l.Size]
	blocks, otherBlocks := honestBlocks(t, l, key, good), honestBlocks(t, l, key, other)
	for i := range blocks {
		copy(blocks[i][l.Needed:], otherBlocks[i][l.Needed:])
	}
	b := forge(t, l, key, blocks)
	for j, s := range b.shares {
		if err := encoding.Verify(t.Context(), s, b.root.StorageIndex(), share.Number(j), b.root.Marshal()); err != nil {
			t.Fatalf("share %d is what the root commits to: %v", j, err)
		}
	}
	index, root := b.root.StorageIndex(), b.root.Marshal()
	if data, err := read(index, root, key, b.take(0, 1, 2)); err != nil || !bytes.Equal(data, good) {
		t.Errorf("from the plain shares: %v", err)
	}
	for _, numbers := range [][]int{{7, 8, 9}, {0, 1, 9}, {3, 1, 2}, {0, 5, 6}} {
		if data, err := read(index, root, key, b.take(numbers...)); !errors.Is(err, share.ErrCorrupt) {
			t.Errorf("shares %v: got %d bytes and %v, want ErrCorrupt", numbers, len(data), err)
		}
	}
}

// TestWrongKeyIsAnError: every key but the right one is refused before a byte is decrypted.
func TestWrongKeyIsAnError(t *testing.T) {
	key := keys.NewReadKey()
	b := build(t, 2, 3, encoding.MinBlockSize, key, nil, plaintext(5000))
	index, root := b.root.StorageIndex(), b.root.Marshal()
	if _, err := read(index, root, key, b.take(1, 2)); err != nil {
		t.Fatal(err)
	}
	for bit := range 8 * keys.Size {
		wrong := key
		wrong[bit/8] ^= 1 << (bit % 8)
		if data, err := read(index, root, wrong, b.take(1, 2)); err == nil {
			t.Fatalf("a key that differs in bit %d gives %d bytes", bit, len(data))
		}
	}
}

// TestSharesTellNothing is invariant 2 at this level: no piece of the plaintext, of the key or of what the key was made
// from is in what servers get.
func TestSharesTellNothing(t *testing.T) {
	secret := keys.NewConvergenceSecret()
	data := plaintext(30000)
	digest := sha256.Sum256(data)
	key := secret.Convergent(digest, 3, 10, encoding.MinBlockSize)
	b := build(t, 3, 10, encoding.MinBlockSize, key, nil, data)
	id := key.UploadID()
	var seen []byte
	for _, s := range b.shares {
		seen = append(seen, s.data...)
	}
	seen = append(seen, id[:]...)
	for what, hidden := range map[string][]byte{"plaintext": data, "its digest": digest[:], "key": key[:], "secret": secret[:]} {
		for i := 0; i+8 <= len(hidden); i += 8 {
			if bytes.Contains(seen, hidden[i:i+8]) {
				t.Errorf("bytes %d to %d of the %s are in the shares", i, i+8, what)
			}
		}
	}
}

// TestEveryBitOfAShareCounts is invariant 4: with any bit of a share flipped, Verify refuses the share, and a reader who
// uses it gets the right bytes or an error.
func TestEveryBitOfAShareCounts(t *testing.T) {
	key := keys.NewReadKey()
	data := plaintext(100)
	b := build(t, 2, 3, encoding.MinBlockSize, key, nil, data)
	index, root := b.root.StorageIndex(), b.root.Marshal()
	for _, number := range []int{0, 2} {
		good := b.shares[number].data
		for bit := range 8 * len(good) {
			bad := bytes.Clone(good)
			bad[bit/8] ^= 1 << (bit % 8)
			err := encoding.Verify(t.Context(), reader{bad}, index, share.Number(number), root)
			var blame *share.CorruptShareError
			if !errors.As(err, &blame) || blame.Number != share.Number(number) || blame.Index != index || !errors.Is(err, share.ErrCorrupt) {
				t.Fatalf("share %d with bit %d flipped: %v", number, bit, err)
			}
			shares := b.take(0, 1, 2)
			shares[share.Number(number)] = reader{bad}
			delete(shares, share.Number(2-number)) // so that the bad share is needed
			if got, err := read(index, root, key, shares); err == nil && !bytes.Equal(got, data) {
				t.Fatalf("share %d with bit %d flipped is read as other bytes", number, bit)
			}
		}
	}
}

// TestConsistentLies is invariant 4 against servers that know the format: blocks, rows and every level of the index are
// those of another file with the same key and shape, only the root is the one asked for.
func TestConsistentLies(t *testing.T) {
	key := keys.NewReadKey()
	for _, c := range []struct{ k, n, size int }{{1, 1, 100}, {2, 3, 20000}, {1, 1, 257 * encoding.MinBlockSize}} {
		data := plaintext(c.size)
		lie := bytes.Clone(data)
		lie[c.size-1] ^= 1
		b := build(t, c.k, c.n, encoding.MinBlockSize, key, nil, data)
		other := build(t, c.k, c.n, encoding.MinBlockSize, key, nil, lie)
		index, root := b.root.StorageIndex(), b.root.Marshal()
		l := b.root.Layout()
		for level := 0; level < l.Top(); level++ {
			// The lie reaches up to this level; above it the index is the honest one.
			end := l.RowOffset(l.Segments())
			if level > 0 {
				end = l.LevelOffset(level + 1)
			}
			shares := map[share.Number]reader{}
			for j := range other.shares {
				lying := append(bytes.Clone(other.shares[j].data[:end]), b.shares[j].data[end:]...)
				shares[share.Number(j)] = reader{lying}
				if err := encoding.Verify(t.Context(), reader{lying}, index, share.Number(j), root); !errors.Is(err, share.ErrCorrupt) {
					t.Errorf("%d-of-%d, lies up to level %d: Verify of share %d: %v", c.k, c.n, level, j, err)
				}
			}
			if got, err := read(index, root, key, shares); !errors.Is(err, share.ErrCorrupt) {
				t.Errorf("%d-of-%d, lies up to level %d: read %d bytes, %v", c.k, c.n, level, len(got), err)
			}
		}
	}
}

// TestVerifyRefuses: shares cut short, with more behind them, of another number or another file.
func TestVerifyRefuses(t *testing.T) {
	key := keys.NewReadKey()
	b := build(t, 2, 4, encoding.MinBlockSize, key, nil, plaintext(20000))
	other := build(t, 2, 4, encoding.MinBlockSize, keys.NewReadKey(), nil, plaintext(20000))
	index, root := b.root.StorageIndex(), b.root.Marshal()
	good := b.shares[1].data
	verify := func(data []byte, number share.Number, root []byte) error {
		return encoding.Verify(t.Context(), reader{data}, index, number, root)
	}
	if err := verify(good, 1, root); err != nil {
		t.Fatal(err)
	}
	for what, err := range map[string]error{
		"cut by a byte":            verify(good[:len(good)-1], 1, root),
		"with a byte more":         verify(append(bytes.Clone(good), 0), 1, root),
		"empty":                    verify(nil, 1, root),
		"under another number":     verify(good, 2, root),
		"under a number too large": verify(good, 4, root),
		"of another file":          verify(other.shares[1].data, 1, root),
		"with another root":        verify(good, 1, other.root.Marshal()),
		"without a root":           verify(good, 1, nil),
	} {
		if !errors.Is(err, share.ErrCorrupt) {
			t.Errorf("a share %s: %v, want ErrCorrupt", what, err)
		}
	}
	last := bytes.Clone(good)
	last[b.root.Layout().BlockOffset(2)] ^= 1
	blame, ok := errors.AsType[*share.CorruptShareError](verify(last, 1, root))
	if !ok || blame.Segment != 2 {
		t.Errorf("a bad block of segment 2 is blamed on %+v", blame)
	}
}

// TestDamagedSharesNeverLie reads with random damage of any size in any shares: the right bytes or an error.
func TestDamagedSharesNeverLie(t *testing.T) {
	key := keys.NewReadKey()
	data := plaintext(3*4096*3 + 100)
	b := build(t, 3, 5, encoding.MinBlockSize, key, nil, data)
	index, root := b.root.StorageIndex(), b.root.Marshal()
	rapid.Check(t, func(t *rapid.T) {
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		shares := b.take(rng.Perm(5)[:3]...)
		for number, s := range shares {
			if rng.IntN(2) == 0 {
				bad := bytes.Clone(s.data)
				off := rng.IntN(len(bad))
				for i := range bad[off:min(len(bad), off+1+rng.IntN(5000))] {
					bad[off+i] = byte(rng.Uint32())
				}
				shares[number] = reader{bad[:len(bad)-rng.IntN(2)*rng.IntN(len(bad))]}
			}
		}
		if got, err := read(index, root, key, shares); err == nil && !bytes.Equal(got, data) {
			t.Fatal("damaged shares are read as other bytes")
		}
	})
}

// TestVerifySegment flips a bit of every kind of place: the segments that it concerns are refused, and no others.
func TestVerifySegment(t *testing.T) {
	const segments = 2*encoding.Fanout + 3 // three levels
	b := build(t, 1, 2, encoding.MinBlockSize, keys.NewReadKey(), nil, plaintext(segments*encoding.MinBlockSize-7))
	index, root, l := b.root.StorageIndex(), b.root.Marshal(), b.root.Layout()
	data := b.shares[1].data
	good := func(segment int64) bool {
		err := encoding.VerifySegment(t.Context(), reader{data}, index, 1, root, segment)
		if err != nil && !errors.Is(err, share.ErrCorrupt) {
			t.Fatalf("segment %d: %v", segment, err)
		}
		return err == nil
	}
	for _, c := range []struct {
		what    string
		at      int64
		refused []int64
	}{
		{"a block", l.BlockOffset(5) + 17, []int64{5}},
		{"the last byte of the last block", l.RowOffset(0) - 1, []int64{segments - 1}},
		{"a row", l.RowOffset(7), []int64{7, share.NoSegment}},
		{"a digest of level 1", l.LevelOffset(1) + 300*int64(encoding.DigestSize), []int64{256, 300, 511, share.NoSegment}},
		{"a digest of level 2", l.LevelOffset(2), []int64{0, 5, 7, 255, 256, 300, 511, segments - 1, share.NoSegment}},
		{"the root", l.RootOffset() + 3, []int64{share.NoSegment}},
	} {
		data[c.at] ^= 4
		for _, segment := range []int64{share.NoSegment, 0, 5, 7, 255, 256, 300, 511, segments - 1} {
			if slices.Contains(c.refused, segment) == good(segment) {
				t.Errorf("%s is damaged, segment %d verifies: %v", c.what, segment, good(segment))
			}
		}
		data[c.at] ^= 4
		if !good(c.refused[0]) || !good(segments) {
			t.Errorf("%s is mended and refused", c.what)
		}
	}
	if data = data[:len(data)-1]; good(0) || good(share.NoSegment) {
		t.Error("a share that is cut verifies")
	}
}

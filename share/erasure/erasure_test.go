package erasure_test

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"

	"cairn/share/erasure"
)

// What zfec makes of known data; testdata/vectors.py says how it came about.
//
//go:embed testdata/zfec.json
var zfecVectors []byte

func pattern(n int) []byte {
	out := make([]byte, 0, n+sha256.Size)
	for i := uint64(0); len(out) < n; i++ {
		sum := sha256.Sum256(binary.BigEndian.AppendUint64(nil, i))
		out = append(out, sum[:]...)
	}
	return out[:n]
}

// encode returns the N blocks of data, which is k blocks long.
func encode(t testing.TB, k, n, blockLen int, data []byte) (*erasure.Code, [][]byte) {
	t.Helper()
	code, err := erasure.New(k, n)
	if err != nil {
		t.Fatal(err)
	}
	return code, encodeWith(t, code, blockLen, data)
}

// T is what tests and properties have in common.
type T interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

func encodeWith(t T, code *erasure.Code, blockLen int, data []byte) [][]byte {
	t.Helper()
	blocks := make([][]byte, code.Total())
	for j := range blocks {
		blocks[j] = make([]byte, blockLen)
		if j < code.Needed() {
			copy(blocks[j], data[j*blockLen:])
		}
	}
	if err := code.Encode(blocks); err != nil {
		t.Fatal(err)
	}
	return blocks
}

func TestKnownAnswersOfZfec(t *testing.T) {
	var vectors []struct {
		K, N, Len     int
		First, Parity string
	}
	if err := json.Unmarshal(zfecVectors, &vectors); err != nil {
		t.Fatal(err)
	}
	if len(vectors) < 20 {
		t.Fatalf("only %d vectors", len(vectors))
	}
	for _, v := range vectors {
		_, blocks := encode(t, v.K, v.N, v.Len, pattern(v.K*v.Len))
		if got := hex.EncodeToString(blocks[v.K][:min(16, v.Len)]); got != v.First {
			t.Errorf("%d-of-%d: block %d begins with %s, zfec's with %s", v.K, v.N, v.K, got, v.First)
		}
		sum := sha256.Sum256(bytes.Join(blocks[v.K:], nil))
		if got := hex.EncodeToString(sum[:]); got != v.Parity {
			t.Errorf("%d-of-%d, %d bytes: parity hashes to %s, zfec's to %s", v.K, v.N, v.Len, got, v.Parity)
		}
	}
}

// checkSubset reconstructs the data from the blocks listed in keep and compares every data block.
func checkSubset(t T, code *erasure.Code, blocks [][]byte, blockLen int, keep []int) {
	t.Helper()
	have := make([][]byte, len(blocks))
	for _, j := range keep {
		have[j] = bytes.Clone(blocks[j])
	}
	if err := code.Reconstruct(have, blockLen); err != nil {
		t.Fatalf("from %v: %v", keep, err)
	}
	for j := range code.Needed() {
		if !bytes.Equal(have[j], blocks[j]) {
			t.Fatalf("%d-of-%d from %v: block %d differs", code.Needed(), code.Total(), keep, j)
		}
	}
}

func TestAnyBlocksGiveTheDataBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		// Mostly codes of a size that people use: inverting the largest matrices takes a while under the race detector.
		n := rapid.IntRange(1, rapid.SampledFrom([]int{4, 12, 32, 32, 64, 64, 64, 256}).Draw(t, "limit")).Draw(t, "n")
		k := rapid.IntRange(1, n).Draw(t, "k")
		blockLen := rapid.SampledFrom([]int{1, 2, 15, 16, 31, 33, 64, 100}).Draw(t, "len")
		seed := rapid.Uint64().Draw(t, "seed")
		rng := rand.New(rand.NewPCG(seed, 0))
		data := make([]byte, k*blockLen)
		for i := range data {
			data[i] = byte(rng.Uint32())
		}
		code, err := erasure.New(k, n)
		if err != nil {
			t.Fatal(err)
		}
		blocks := encodeWith(t, code, blockLen, data)
		if !bytes.Equal(bytes.Join(blocks[:k], nil), data) {
			t.Fatal("the code is not systematic: Encode changed the data")
		}
		checkSubset(t, code, blocks, blockLen, rng.Perm(n)[:k])
	})
}

// TestEverySubset takes all choices of k blocks of small codes.
func TestEverySubset(t *testing.T) {
	for _, c := range []struct{ k, n int }{{1, 1}, {1, 2}, {1, 5}, {2, 3}, {3, 3}, {2, 4}, {3, 5}, {4, 8}, {3, 10}, {8, 10}} {
		code, blocks := encode(t, c.k, c.n, 19, pattern(c.k*19))
		subsets := 0
		for mask := range 1 << c.n {
			var keep []int
			for j := range c.n {
				if mask>>j&1 == 1 {
					keep = append(keep, j)
				}
			}
			if len(keep) == c.k {
				checkSubset(t, code, blocks, 19, keep)
				subsets++
			}
		}
		if subsets == 0 {
			t.Errorf("%d-of-%d: no subset tried", c.k, c.n)
		}
	}
}

// TestCorners takes the codes at the edges of the field, each from as few plain blocks as there can be.
func TestCorners(t *testing.T) {
	for _, c := range []struct{ k, n int }{
		{1, 1}, {1, 256}, {2, 256}, {128, 256}, {255, 256}, {256, 256}, {255, 255}, {3, 256},
	} {
		t.Run(fmt.Sprintf("%d-of-%d", c.k, c.n), func(t *testing.T) {
			code, err := erasure.New(c.k, c.n)
			if err != nil {
				t.Fatal(err)
			}
			last := make([]int, c.k)
			for i := range last {
				last[i] = c.n - c.k + i
			}
			for _, blockLen := range []int{1, 4096} {
				checkSubset(t, code, encodeWith(t, code, blockLen, pattern(c.k*blockLen)), blockLen, last)
			}
		})
	}
}

func TestEmptyBlocks(t *testing.T) {
	for _, c := range []struct{ k, n int }{{1, 1}, {3, 10}, {256, 256}} {
		code, blocks := encode(t, c.k, c.n, 0, nil)
		if err := code.Reconstruct(make([][]byte, c.n), 0); err != nil {
			t.Errorf("%d-of-%d: %v", c.k, c.n, err)
		}
		for j, b := range blocks {
			if len(b) != 0 {
				t.Errorf("block %d has %d bytes", j, len(b))
			}
		}
	}
}

// TestReconstructInPlace: a missing block with capacity is filled where it stands, and parity stays missing.
func TestReconstructInPlace(t *testing.T) {
	code, blocks := encode(t, 3, 10, 64, pattern(3*64))
	buf := make([]byte, 64)
	have := [][]byte{buf[:0], blocks[1], nil, nil, nil, nil, nil, blocks[7], nil, blocks[9]}
	if err := code.Reconstruct(have, 64); err != nil {
		t.Fatal(err)
	}
	if &have[0][0] != &buf[0] || !bytes.Equal(buf, blocks[0]) || !bytes.Equal(have[2], blocks[2]) {
		t.Error("the data blocks were not filled in")
	}
	for _, j := range []int{3, 4, 5, 6, 8} {
		if len(have[j]) != 0 {
			t.Errorf("parity block %d was made", j)
		}
	}
}

// TestRestore makes wanted blocks, data and parity, from any k others, while further ones are missing and not wanted.
func TestRestore(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 24).Draw(t, "n")
		k := rapid.IntRange(1, n).Draw(t, "k")
		blockLen := rapid.IntRange(1, 100).Draw(t, "len")
		code, err := erasure.New(k, n)
		if err != nil {
			t.Fatal(err)
		}
		blocks := encodeWith(t, code, blockLen, pattern(k*blockLen))
		have := make([][]byte, n)
		numbers := rapid.Permutation(seq(n)).Draw(t, "order")
		for _, j := range numbers[:rapid.IntRange(k, n).Draw(t, "present")] {
			have[j] = bytes.Clone(blocks[j])
		}
		wanted := rapid.SliceOfN(rapid.Bool(), n, n).Draw(t, "wanted")
		present := make([]bool, n)
		for j := range have {
			present[j] = have[j] != nil
		}
		if err := code.Restore(have, blockLen, wanted); err != nil {
			t.Fatal(err)
		}
		for j := range have {
			switch {
			case (wanted[j] || present[j]) && !bytes.Equal(have[j], blocks[j]):
				t.Fatalf("%d-of-%d: block %d (wanted %v, present %v) is wrong", k, n, j, wanted[j], present[j])
			case !wanted[j] && !present[j] && len(have[j]) != 0:
				t.Fatalf("%d-of-%d: block %d was made and not wanted", k, n, j)
			}
		}
	})
}

func seq(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
}

func TestTooFewBlocks(t *testing.T) {
	code, blocks := encode(t, 3, 10, 64, pattern(3*64))
	have := make([][]byte, 10)
	have[0], have[9] = blocks[0], blocks[9]
	if err := code.Reconstruct(have, 64); err == nil {
		t.Error("two blocks of a 3-of-10 code were enough")
	}
	if err := code.Reconstruct(have[:9], 64); err == nil {
		t.Error("nine of ten places were enough")
	}
	if err := code.Restore(have, 64, make([]bool, 9)); err == nil {
		t.Error("nine of ten wishes were enough")
	}
	if err := code.Restore(have, 64, []bool{1: true, 9: false}); err == nil {
		t.Error("two blocks of a 3-of-10 code were enough to restore a third")
	}
	if err := code.Encode(blocks[:9]); err == nil {
		t.Error("Encode took nine of ten blocks")
	}
	blocks[4] = blocks[4][:63]
	if err := code.Encode(blocks); err == nil {
		t.Error("Encode took blocks of different lengths")
	}
}

func TestNewRefuses(t *testing.T) {
	for _, c := range []struct{ k, n int }{{0, 0}, {0, 1}, {-1, 3}, {4, 3}, {1, 257}, {257, 257}, {1, 0}} {
		if _, err := erasure.New(c.k, c.n); err == nil {
			t.Errorf("%d-of-%d was accepted", c.k, c.n)
		}
	}
}

// TestConcurrentUse lets the race detector look at one code used from many goroutines.
func TestConcurrentUse(t *testing.T) {
	code, blocks := encode(t, 10, 16, 4096, pattern(10*4096))
	done := make(chan error)
	for g := range 8 {
		go func() {
			have := make([][]byte, 16)
			for j := range 10 {
				have[(g+j)%16] = bytes.Clone(blocks[(g+j)%16])
			}
			err := code.Reconstruct(have, 4096)
			if err == nil && !bytes.Equal(bytes.Join(have[:10], nil), bytes.Join(blocks[:10], nil)) {
				err = fmt.Errorf("goroutine %d decoded other bytes", g)
			}
			done <- err
		}()
	}
	for range 8 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

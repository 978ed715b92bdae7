package sums_test

import (
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"testing"

	"cairn/share"
	"cairn/share/sums"
)

// check compares the sums of blocks with the standard library's.
func check(t *testing.T, blocks [][]byte) {
	t.Helper()
	got := make([]share.Digest, len(blocks))
	sums.Sum(got, blocks)
	for i, block := range blocks {
		if want := share.Digest(sha256.Sum256(block)); got[i] != want {
			t.Errorf("block %d of %d, %d bytes: %x, want %x", i, len(blocks), len(block), got[i], want)
		}
	}
}

func random(r *rand.ChaCha8, n int) []byte {
	b := make([]byte, n)
	_, _ = r.Read(b)
	return b
}

// Every count of blocks and every length around the ends of SHA-256's own blocks gives what the standard library gives.
func TestSumIsSHA256(t *testing.T) {
	r := rand.NewChaCha8([32]byte{1})
	for count := range 2*sums.Lanes + 2 {
		for size := range 200 {
			blocks := make([][]byte, count)
			for i := range blocks {
				blocks[i] = random(r, size)
			}
			check(t, blocks)
		}
	}
	for _, size := range []int{4095, 4096, 64 << 10, 128 << 10, 128<<10 + 55, 128<<10 + 56, 1<<20 - 1} {
		blocks := make([][]byte, sums.Lanes)
		for i := range blocks {
			blocks[i] = random(r, size+i%3)[i%3:] // and not aligned
		}
		check(t, blocks)
	}
}

// Blocks of any lengths may stand beside each other.
func TestSumOfMixedLengths(t *testing.T) {
	r := rand.New(rand.NewChaCha8([32]byte{2}))
	source := rand.NewChaCha8([32]byte{3})
	for range 200 {
		blocks := make([][]byte, r.IntN(60))
		size := 0
		for i := range blocks {
			if r.IntN(12) == 0 {
				size = r.IntN(1000)
			}
			blocks[i] = random(source, size)
		}
		check(t, blocks)
	}
}

// Sum neither changes the blocks nor touches digests that are not its own.
func TestSumTouchesItsDigestsOnly(t *testing.T) {
	blocks := make([][]byte, sums.Lanes)
	for i := range blocks {
		blocks[i] = make([]byte, 1000)
	}
	digests := make([]share.Digest, sums.Lanes+2)
	sums.Sum(digests[1:], blocks)
	if digests[0] != (share.Digest{}) || digests[sums.Lanes+1] != (share.Digest{}) {
		t.Error("Sum wrote beside its digests")
	}
	for i, block := range blocks {
		if [1000]byte(block) != [1000]byte{} {
			t.Errorf("Sum changed block %d", i)
		}
	}
}

func FuzzSum(f *testing.F) {
	f.Add([]byte("a few bytes that are cut into blocks"), uint16(3), uint8(1))
	f.Add(make([]byte, 5000), uint16(64), uint8(0))
	f.Add(make([]byte, 20000), uint16(1000), uint8(7))
	f.Fuzz(func(t *testing.T, data []byte, size uint16, skew uint8) {
		var blocks [][]byte
		for n := int(size)%2048 + 1; len(data) > 0; data = data[n:] {
			n = min(n, len(data))
			blocks = append(blocks, data[:n])
			if skew > 0 && len(blocks)%(int(skew)+8) == 0 {
				n = min(n+1, len(data))
			}
		}
		check(t, blocks)
	})
}

func BenchmarkSum(b *testing.B) {
	for _, count := range []int{1, 4, 8, 10, 16, 30} {
		b.Run(fmt.Sprint(count), func(b *testing.B) {
			const size = 128 << 10
			blocks, digests := make([][]byte, count), make([]share.Digest, count)
			for i := range blocks {
				blocks[i] = make([]byte, size)
			}
			b.SetBytes(int64(count * size))
			for b.Loop() {
				sums.Sum(digests, blocks)
			}
		})
	}
}

// TestTogether tries all numbers of lots.
func TestTogether(t *testing.T) {
	for lot := 1; lot <= 40; lot++ {
		for limit := 1; limit <= 10; limit++ {
			best := sums.Together(lot, limit)
			if best < 1 || best > limit {
				t.Fatalf("%d lots of %d, of at most %d", best, lot, limit)
			}
			for n := 1; n <= limit; n++ {
				if sums.Cost(n*lot)*best < sums.Cost(best*lot)*n {
					t.Errorf("%d lots of %d are cheaper than %d", n, lot, best)
				}
			}
		}
	}
	if n := sums.Together(3, 0); n != 1 {
		t.Errorf("%d lots where there is no room for one", n)
	}
}

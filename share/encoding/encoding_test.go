package encoding_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"

	"cairn/share"
	"cairn/share/encoding"
	"cairn/share/erasure"
	"cairn/share/keys"
)

// column is a share under construction, and a share.Reader once complete.
type column struct{ data []byte }

func (c *column) WriteAt(p []byte, off int64) (int, error) {
	if grow := int(off) + len(p) - len(c.data); grow > 0 {
		c.data = append(c.data, make([]byte, grow)...)
	}
	return copy(c.data[off:], p), nil
}

func (c *column) ReadAt(p []byte, off int64) (int, error) {
	return bytes.NewReader(c.data).ReadAt(p, off)
}

type reader struct{ data []byte }

func (r reader) ReadAt(_ context.Context, p []byte, off int64) (int, error) {
	n, err := bytes.NewReader(r.data).ReadAt(p, off)
	if n < len(p) {
		return n, io.ErrUnexpectedEOF
	}
	return n, errors.Join(nil, ignoreEOF(err))
}
func (r reader) Size() int64  { return int64(len(r.data)) }
func (r reader) Close() error { return nil }

func ignoreEOF(err error) error {
	if err == io.EOF {
		return nil
	}
	return err
}

func pattern(n int) []byte {
	p := make([]byte, n)
	rng := rand.NewChaCha8([32]byte{byte(n), byte(n >> 8)})
	rng.Read(p)
	return p
}

// encodeShares encodes data and returns the root and the complete shares.
func encodeShares(t *testing.T, data []byte, code *erasure.Code, blockSize int, size int64) (encoding.Root, keys.ReadKey, []reader) {
	t.Helper()
	key := keys.NewReadKey()
	blocks := make([][]byte, code.Total())
	var rows []byte
	root, err := encoding.Encode(t.Context(), bytes.NewReader(data), key.File(nil),
		encoding.Options{Code: code, BlockSize: blockSize, Size: size, Buffers: 4}, func(s *encoding.Segment) error {
			for j := range blocks {
				blocks[j] = append(blocks[j], s.Block(share.Number(j))...)
			}
			rows = encoding.AppendDigests(rows, s.Digests)
			s.Release()
			return nil
		})
	if err != nil {
		t.Fatal(err)
	}
	shares := make([]reader, code.Total())
	for j := range shares {
		c := &column{append(blocks[j], rows...)}
		top, err := encoding.BuildIndex(c, root.Layout())
		if err != nil {
			t.Fatal(err)
		}
		if top != root.Index {
			t.Fatalf("share %d: BuildIndex gives another top digest than Encode", j)
		}
		shares[j] = reader{append(c.data, root.Marshal()...)}
	}
	return root, key, shares
}

func TestEncodeVerifyDecode(t *testing.T) {
	const block = encoding.MinBlockSize
	for _, c := range []struct{ k, n, size int }{
		{1, 1, 0},
		{1, 1, 1},
		{3, 10, 0},
		{3, 10, 1},
		{3, 10, 56},
		{3, 10, 3*block - 1},
		{3, 10, 3 * block},
		{3, 10, 3*block + 1},
		{2, 3, 20*block + 17},
		{1, 2, 256 * block},
		{1, 2, 257*block - 5},
		{4, 4, 9 * block},
		{1, 1, 70000 * block / 64},
	} {
		t.Run(fmt.Sprintf("%d-of-%d/%d", c.k, c.n, c.size), func(t *testing.T) {
			code, err := erasure.New(c.k, c.n)
			if err != nil {
				t.Fatal(err)
			}
			data := pattern(c.size)
			for _, size := range []int64{-1, int64(c.size)} {
				root, key, shares := encodeShares(t, data, code, block, size)
				for j, s := range shares {
					if err := encoding.Verify(t.Context(), s, root.StorageIndex(), share.Number(j), root.Marshal()); err != nil {
						t.Fatalf("share %d: %v", j, err)
					}
				}
				parsed, err := encoding.CheckRoot(root.StorageIndex(), root.Marshal())
				if err != nil {
					t.Fatal(err)
				}
				// Decode from the last k shares: as little plain data as there can be.
				got := decode(t, parsed, key, code, shares, c.n-c.k)
				if !bytes.Equal(got, data) {
					t.Fatal("decoded bytes differ")
				}
			}
		})
	}
}

func decode(t *testing.T, root encoding.Root, key keys.ReadKey, code *erasure.Code, shares []reader, firstShare int) []byte {
	t.Helper()
	l := root.Layout()
	file := key.File(root.Salt)
	if !file.Commits(root.Commitment) {
		t.Fatal("key commitment does not match")
	}
	index := encoding.NewIndex(root, func(ctx context.Context, p []byte, off int64, check func() error) error {
		if _, err := shares[0].ReadAt(ctx, p, off); err != nil {
			return err
		}
		return check()
	})
	var out []byte
	for i := int64(0); i < l.Segments(); {
		rows, err := index.Rows(t.Context(), i, 7)
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range rows {
			blocks := make([][]byte, l.Total)
			for j := firstShare; j < firstShare+l.Needed; j++ {
				blocks[j] = make([]byte, l.BlockLen(i))
				if _, err := shares[j].ReadAt(t.Context(), blocks[j], l.BlockOffset(i)); err != nil {
					t.Fatal(err)
				}
				if err := l.CheckBlock(i, share.Number(j), row, blocks[j]); err != nil {
					t.Fatal(err)
				}
			}
			if err := encoding.Recover(code, row, blocks, l.BlockLen(i)); err != nil {
				t.Fatal(err)
			}
			segment := bytes.Join(blocks[:l.Needed], nil)[:l.SegmentLen(i)]
			file.XORKeyStream(segment, segment, i*l.SegmentSize())
			out = append(out, segment...)
			i++
		}
	}
	return out
}

func TestEncodeRefusesOtherLength(t *testing.T) {
	code, _ := erasure.New(2, 3)
	for _, announced := range []int64{0, 99, 101, 100000} {
		_, err := encoding.Encode(t.Context(), bytes.NewReader(pattern(100)), keys.NewReadKey().File(nil),
			encoding.Options{Code: code, BlockSize: encoding.MinBlockSize, Size: announced, Buffers: 2},
			func(s *encoding.Segment) error { s.Release(); return nil })
		if !errors.Is(err, encoding.ErrLength) {
			t.Errorf("announced %d of 100 bytes: got %v, want ErrLength", announced, err)
		}
	}
}

func TestEncodeStopsOnEmitError(t *testing.T) {
	code, _ := erasure.New(2, 3)
	stop := errors.New("stop")
	_, err := encoding.Encode(t.Context(), io.LimitReader(zeros{}, 1<<30), keys.NewReadKey().File(nil),
		encoding.Options{Code: code, BlockSize: encoding.MinBlockSize, Size: -1, Buffers: 2},
		func(*encoding.Segment) error { return stop })
	if !errors.Is(err, stop) {
		t.Fatalf("got %v, want the error of emit", err)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func BenchmarkEncode(b *testing.B) {
	code, _ := erasure.New(3, 10)
	const size = 64 << 20
	b.SetBytes(size)
	for b.Loop() {
		_, err := encoding.Encode(b.Context(), io.LimitReader(zeros{}, size), keys.NewReadKey().File(nil),
			encoding.Options{Code: code, BlockSize: encoding.DefaultBlockSize, Size: size, Buffers: 8},
			func(s *encoding.Segment) error { s.Release(); return nil })
		if err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSHA256(b *testing.B) {
	p := make([]byte, 128<<10)
	b.SetBytes(int64(len(p)))
	for b.Loop() {
		sha256.Sum256(p)
	}
}

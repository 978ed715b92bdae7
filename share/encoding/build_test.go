package encoding_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"cairn/share"
	"cairn/share/encoding"
	"cairn/share/erasure"
	"cairn/share/keys"
)

// T is what tests, benchmarks and properties have in common.
type T interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

// plaintext returns the first n bytes of the stream from which all golden vectors are made (docs/vectors/README.md).
func plaintext(n int) []byte {
	out := make([]byte, 0, n+sha256.Size)
	for i := uint64(0); len(out) < n; i++ {
		sum := sha256.Sum256(binary.BigEndian.AppendUint64([]byte("cairn vector"), i))
		out = append(out, sum[:]...)
	}
	return out[:n]
}

// A built file is an encoded file with all that was used to make it.
type built struct {
	root   encoding.Root
	key    keys.ReadKey
	shares []reader
}

// build encodes data with the encoder under test.
func build(t T, k, n, blockSize int, key keys.ReadKey, salt, data []byte) built {
	t.Helper()
	code, err := erasure.New(k, n)
	if err != nil {
		t.Fatal(err)
	}
	blocks := make([][]byte, n)
	var rows []byte
	root, err := encoding.Encode(context.Background(), bytes.NewReader(data), key.File(salt),
		encoding.Options{Code: code, BlockSize: blockSize, Salt: salt, Size: int64(len(data)), Buffers: 4},
		func(s *encoding.Segment) error {
			defer s.Release()
			for j := range blocks {
				blocks[j] = append(blocks[j], s.Block(share.Number(j))...)
			}
			rows = encoding.AppendDigests(rows, s.Digests)
			return nil
		})
	if err != nil {
		t.Fatal(err)
	}
	return finish(t, root, key, blocks, rows)
}

// forge makes a file of whatever blocks an uploader likes, blocks[i][j] for segment i and share j, with a root that
// commits to them.
func forge(t T, l encoding.Layout, key keys.ReadKey, blocks [][][]byte) built {
	t.Helper()
	columns := make([][]byte, l.Total)
	var rows []byte
	for i := range blocks {
		for j, block := range blocks[i] {
			if len(block) != l.BlockLen(int64(i)) {
				t.Fatalf("block %d of segment %d has %d bytes, want %d", j, i, len(block), l.BlockLen(int64(i)))
			}
			columns[j] = append(columns[j], block...)
			digest := sha256.Sum256(block)
			rows = append(rows, digest[:]...)
		}
	}
	top, err := encoding.BuildIndex(&column{append(bytes.Clone(columns[0]), rows...)}, l)
	if err != nil {
		t.Fatal(err)
	}
	root := encoding.Root{
		Needed: l.Needed, Total: l.Total, BlockSize: l.BlockSize, Size: l.Size,
		Commitment: key.File(nil).Commitment(), Index: top,
	}
	return finish(t, root, key, columns, rows)
}

// finish puts rows, index and root behind the blocks of each share, as a store does.
func finish(t T, root encoding.Root, key keys.ReadKey, blocks [][]byte, rows []byte) built {
	t.Helper()
	b := built{root: root, key: key}
	for j := range blocks {
		c := &column{append(blocks[j], rows...)}
		top, err := encoding.BuildIndex(c, root.Layout())
		if err != nil {
			t.Fatal(err)
		}
		if top != root.Index {
			t.Fatalf("share %d: BuildIndex gives another top digest than the root has", j)
		}
		b.shares = append(b.shares, reader{append(c.data, root.Marshal()...)})
	}
	return b
}

// read reads a file the way a gateway does: everything that comes out of the shares is a claim until it is checked.
// It uses those shares alone, in the order given, and returns the first error.
func read(index share.StorageIndex, rootBlock []byte, key keys.ReadKey, shares map[share.Number]reader) ([]byte, error) {
	root, err := encoding.CheckRoot(index, rootBlock)
	if err != nil {
		return nil, err
	}
	file := key.File(root.Salt)
	if !file.Commits(root.Commitment) {
		return nil, fmt.Errorf("wrong key")
	}
	code, err := erasure.New(root.Needed, root.Total)
	if err != nil {
		return nil, err
	}
	l := root.Layout()
	ctx := context.Background()
	tree := encoding.NewIndex(root, func(ctx context.Context, p []byte, off int64, check func() error) error {
		err := fmt.Errorf("no share has the index")
		for _, s := range shares {
			if _, err = s.ReadAt(ctx, p, off); err == nil {
				err = check()
			}
			if err == nil {
				return nil
			}
		}
		return err
	})
	var out []byte
	for i := range l.Segments() {
		rows, err := tree.Rows(ctx, i, 1)
		if err != nil {
			return nil, err
		}
		segment, err := readSegment(ctx, l, i, rows[0], code, shares)
		if err != nil {
			return nil, err
		}
		file.XORKeyStream(segment, segment, i*l.SegmentSize())
		out = append(out, segment...)
	}
	return out, nil
}

func readSegment(ctx context.Context, l encoding.Layout, i int64, row []share.Digest, code *erasure.Code, shares map[share.Number]reader) ([]byte, error) {
	blocks := make([][]byte, l.Total)
	for j, s := range shares {
		block := make([]byte, l.BlockLen(i))
		if _, err := s.ReadAt(ctx, block, l.BlockOffset(i)); err != nil {
			return nil, err
		}
		if err := l.CheckBlock(i, j, row, block); err != nil {
			return nil, err
		}
		blocks[j] = block
	}
	if err := encoding.Recover(code, row, blocks, l.BlockLen(i)); err != nil {
		return nil, err
	}
	return bytes.Join(blocks[:l.Needed], nil)[:l.SegmentLen(i)], nil
}

// take returns the shares with those numbers.
func (b built) take(numbers ...int) map[share.Number]reader {
	out := map[share.Number]reader{}
	for _, j := range numbers {
		out[share.Number(j)] = b.shares[j]
	}
	return out
}

package encoding_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"

	"cairn/share"
	"cairn/share/encoding"
	"cairn/share/erasure"
	"cairn/share/keys"
)

// rootOf encodes r and throws the segments away.
func rootOf(t T, r io.Reader, o encoding.Options) (encoding.Root, error) {
	t.Helper()
	next := int64(0)
	return encoding.Encode(context.Background(), r, keys.ReadKey{}.File(o.Salt), o, func(s *encoding.Segment) error {
		defer s.Release()
		if s.Index != next {
			t.Fatalf("segment %d came when %d was due", s.Index, next)
		}
		next++
		return nil
	})
}

// TestEncodingIsDeterministic: the root depends on the bytes and the shape, not on how they arrive, whether their number
// is known, or how many buffers there are.
func TestEncodingIsDeterministic(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		total := rapid.IntRange(1, 8).Draw(t, "n")
		code, err := erasure.New(rapid.IntRange(1, total).Draw(t, "k"), total)
		if err != nil {
			t.Fatal(err)
		}
		o := encoding.Options{Code: code, BlockSize: encoding.MinBlockSize, Buffers: 2}
		segment := code.Needed() * o.BlockSize
		size := max(0, rapid.IntRange(0, 5).Draw(t, "segments")*segment+rapid.IntRange(-2, 2).Draw(t, "off by"))
		data := plaintext(size)
		o.Size = int64(size)
		want, err := rootOf(t, bytes.NewReader(data), o)
		if err != nil {
			t.Fatal(err)
		}
		if want.Size != o.Size {
			t.Fatalf("the root says %d bytes, want %d", want.Size, size)
		}
		for how, r := range map[string]io.Reader{
			"in halves": iotest.HalfReader(bytes.NewReader(data)), "with early EOF": iotest.DataErrReader(bytes.NewReader(data)),
			"at once": bytes.NewReader(data),
		} {
			o.Buffers = rapid.IntRange(0, 9).Draw(t, "buffers")
			o.Size = rapid.SampledFrom([]int64{-1, int64(size)}).Draw(t, "announced")
			got, err := rootOf(t, r, o)
			if err != nil || !sameRoot(got, want) {
				t.Fatalf("%s, announced as %d: another root, %v", how, o.Size, err)
			}
		}
	})
}

func TestEncodeReportsReadErrors(t *testing.T) {
	code, err := erasure.New(2, 3)
	if err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken")
	for _, before := range []int{0, 1, 8192, 8193, 100000} {
		for _, size := range []int64{-1, int64(before), 1 << 20} {
			_, err := rootOf(t, io.MultiReader(bytes.NewReader(plaintext(before)), iotest.ErrReader(broken)),
				encoding.Options{Code: code, BlockSize: encoding.MinBlockSize, Size: size, Buffers: 3})
			if !errors.Is(err, broken) {
				t.Errorf("an error behind %d bytes, %d announced: got %v", before, size, err)
			}
		}
	}
}

func TestEncodeRefusesShapes(t *testing.T) {
	code, err := erasure.New(2, 3)
	if err != nil {
		t.Fatal(err)
	}
	for what, o := range map[string]encoding.Options{
		"a block size of 0":    {Code: code, Size: 1},
		"a block size of 5000": {Code: code, BlockSize: 5000, Size: 1},
		"more than 1 PiB":      {Code: code, BlockSize: encoding.MinBlockSize, Size: encoding.MaxSize + 1},
	} {
		if _, err := rootOf(t, bytes.NewReader(nil), o); err == nil {
			t.Errorf("%s is accepted", what)
		}
	}
}

// TestEncodeIsBounded: with n buffers, no more than n segments exist at a time; the stream waits for those that are in
// use, and a cancelled context ends the wait.
func TestEncodeIsBounded(t *testing.T) {
	code, err := erasure.New(1, 2)
	if err != nil {
		t.Fatal(err)
	}
	const buffers = 3
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var held []*encoding.Segment
	_, err = encoding.Encode(ctx, zeros{}, keys.ReadKey{}.File(nil),
		encoding.Options{Code: code, BlockSize: encoding.MinBlockSize, Size: -1, Buffers: buffers},
		func(s *encoding.Segment) error {
			held = append(held, s)
			if len(held) == buffers {
				cancel() // nothing is released, so nothing more can come
			}
			return nil
		})
	if !errors.Is(err, context.Canceled) || len(held) != buffers {
		t.Errorf("%d segments came without a release, then %v", len(held), err)
	}
	for i, s := range held {
		if s.Index != int64(i) || len(s.Block(1)) != encoding.MinBlockSize {
			t.Errorf("segment %d was used again while it was held", i)
		}
	}
}

// TestRetain: a segment with several users is used again only when all have released it, and holds its bytes until then.
func TestRetain(t *testing.T) {
	code, err := erasure.New(1, 2)
	if err != nil {
		t.Fatal(err)
	}
	const segments = 20
	data := plaintext(segments * encoding.MinBlockSize)
	type use struct {
		segment *encoding.Segment
		number  share.Number
	}
	uses := make(chan use, 4)
	columns := make(chan [2][]byte)
	go func() {
		var got [2][]byte
		for u := range uses {
			got[u.number] = append(got[u.number], u.segment.Block(u.number)...)
			u.segment.Release()
		}
		columns <- got
	}()
	file := keys.ReadKey{}.File(nil)
	_, err = encoding.Encode(t.Context(), bytes.NewReader(data), file,
		encoding.Options{Code: code, BlockSize: encoding.MinBlockSize, Size: -1, Buffers: 2},
		func(s *encoding.Segment) error {
			s.Retain(1)
			uses <- use{s, 0}
			uses <- use{s, 1}
			return nil
		})
	close(uses)
	if err != nil {
		t.Fatal(err)
	}
	file.XORKeyStream(data, data, 0)
	for number, column := range <-columns {
		if !bytes.Equal(column, data) { // 1-of-2: both shares are the ciphertext
			t.Errorf("share %d: the blocks changed while they were in use", number)
		}
	}
}

func TestBlockSizeFor(t *testing.T) {
	for total := 1; total <= share.MaxTotal; total++ {
		size := encoding.BlockSizeFor(total)
		if !encoding.ValidBlockSize(size) || size > encoding.DefaultBlockSize || size*total > 4<<20 {
			t.Errorf("%d shares: blocks of %d bytes", total, size)
		}
	}
	if encoding.BlockSizeFor(10) != encoding.DefaultBlockSize {
		t.Error("ten shares do not get the default")
	}
}

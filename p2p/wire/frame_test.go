package wire_test

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"testing"
	"testing/iotest"

	"cairn/p2p/wire"
	"cairn/share"
)

func TestParseHeader(t *testing.T) {
	for _, c := range []struct {
		header []byte
		want   error
	}{
		{nil, share.ErrCorrupt},
		{[]byte{3, 0, 0, 0}, share.ErrCorrupt},
		{[]byte{3, 0, 0, 0, 0}, nil},
		{[]byte{3, 0, 4, 0, 0}, nil},
		{[]byte{3, 0, 4, 0, 1}, share.ErrTooLarge},
		{[]byte{3, 0xff, 0xff, 0xff, 0xff}, share.ErrTooLarge},
		{[]byte{0x10, 0, 1, 0, 0}, nil},
		{[]byte{0x10, 0, 1, 0, 1}, share.ErrTooLarge},
		{[]byte{0x33, 0, 0, 0x20, 4}, nil},
		{[]byte{0x33, 0, 0, 0x20, 5}, share.ErrTooLarge},
		{[]byte{0, 0, 0, 0, 0}, share.ErrVersion},
		{[]byte{0x77, 0, 0, 0, 0}, share.ErrVersion},
		{[]byte("GET / HTTP/1.1"), share.ErrVersion},
	} {
		if _, _, err := wire.ParseHeader(c.header); !errors.Is(err, c.want) {
			t.Errorf("header %x: %v; want %v", c.header, err, c.want)
		}
	}
}

func TestRow(t *testing.T) {
	for _, n := range []int{0, 1, 10, share.MaxTotal} {
		digests := make([]share.Digest, n)
		for i := range digests {
			digests[i] = share.Digest{byte(i), 1}
		}
		frame, err := wire.AppendRow(nil, 4321, digests)
		if err != nil {
			t.Fatal(err)
		}
		size, got, err := wire.ParseRow(frame[wire.HeaderSize:], make([]share.Digest, 0, 4))
		if err != nil || size != 4321 || !slices.Equal(got, digests) {
			t.Errorf("%d digests: %d, %v", n, size, err)
		}
	}
	for _, payload := range [][]byte{nil, make([]byte, 3), make([]byte, 35), make([]byte, 37), make([]byte, 4+257*32)} {
		if _, _, err := wire.ParseRow(payload, nil); !errors.Is(err, share.ErrCorrupt) {
			t.Errorf("row of %d bytes: %v", len(payload), err)
		}
	}
	if _, _, err := wire.ParseRow([]byte{0, 0x10, 0, 1}, nil); !errors.Is(err, share.ErrTooLarge) {
		t.Errorf("a block beyond the limit: %v", err)
	}
	if _, err := wire.AppendRow(nil, wire.MaxBlock+1, nil); !errors.Is(err, share.ErrTooLarge) {
		t.Errorf("append a block beyond the limit: %v", err)
	}
	if _, err := wire.AppendRow(nil, 1, make([]share.Digest, share.MaxTotal+1)); !errors.Is(err, share.ErrTooLarge) {
		t.Errorf("append too many digests: %v", err)
	}
}

// TestBlock reads blocks of every interesting size, from streams that give bytes in every way.
func TestBlock(t *testing.T) {
	for _, size := range []int{0, 1, 4095, 4096, 5000, wire.MaxData, wire.MaxData + 1, wire.MaxBlock} {
		block := make([]byte, size)
		for i := range block {
			block[i] = byte(i * 7)
		}
		stream := wire.AppendBlock(nil, block)
		stream, _ = wire.Append(stream, wire.Done{})
		for name, in := range map[string]io.Reader{
			"whole":  bytes.NewReader(stream),
			"halves": iotest.HalfReader(bytes.NewReader(stream)),
			"at end": iotest.DataErrReader(bytes.NewReader(stream)),
		} {
			r := wire.NewReader(in)
			got := make([]byte, size)
			if err := r.FillBlock(got); err != nil || !bytes.Equal(got, block) {
				t.Errorf("%s: block of %d bytes: %v", name, size, err)
			}
			if _, err := wire.Answer[wire.Done](r); err != nil {
				t.Errorf("%s: after a block of %d bytes: %v", name, size, err)
			}
			if _, _, err := r.Next(); err != io.EOF {
				t.Errorf("%s: at the end: %v", name, err)
			}
			r.Free()
		}
	}
}

// TestBlockMisframed cuts blocks into frames that the protocol does not allow.
func TestBlockMisframed(t *testing.T) {
	for name, stream := range map[string][]byte{
		"short frames": append(wire.AppendBlock(nil, make([]byte, 5)), wire.AppendBlock(nil, make([]byte, 5))...),
		"long frame":   wire.AppendBlock(nil, make([]byte, 11)),
		"empty frame":  wire.AppendHeader(nil, wire.KindData, 0),
		"other kind":   append(wire.AppendHeader(nil, wire.KindRow, 10), make([]byte, 10)...),
	} {
		r := wire.NewReader(bytes.NewReader(stream))
		if err := r.FillBlock(make([]byte, 10)); !errors.Is(err, share.ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
		r.Free()
	}
}

// TestTruncated cuts a conversation after each byte: only between frames that is an end.
func TestTruncated(t *testing.T) {
	first, _ := wire.Append(nil, wire.Opened{Size: 1 << 40})
	stream, _ := wire.Append(first, wire.Done{})
	for n := range stream {
		r := wire.NewReader(bytes.NewReader(stream[:n]))
		var err error
		for err == nil {
			var size int
			if _, size, err = r.Next(); err == nil {
				_, err = r.Payload(size)
			}
		}
		if boundary := n == 0 || n == len(first); boundary != (err == io.EOF) || !boundary && err != io.ErrUnexpectedEOF {
			t.Errorf("cut after %d bytes: %v", n, err)
		}
		r.Free()
	}
}

func TestAnswer(t *testing.T) {
	busy, _ := wire.Append(nil, wire.Error{Code: 6, Text: "come back"})
	stream, _ := wire.Append(busy, wire.Done{})
	r := wire.NewReader(bytes.NewReader(stream))
	defer r.Free()
	if _, err := wire.Answer[wire.Opened](r); !errors.Is(err, share.ErrBusy) || err.Error() != "come back" {
		t.Errorf("an error: %v", err)
	}
	if _, err := wire.Answer[wire.Opened](r); !errors.Is(err, share.ErrCorrupt) {
		t.Errorf("another answer: %v", err)
	}
}

// TestBurst takes what is there and does not wait for more.
func TestBurst(t *testing.T) {
	out, in := io.Pipe()
	go func() {
		defer in.Close()
		in.Write(make([]byte, 10))
		in.Write(make([]byte, 9000))
	}()
	r := wire.NewReader(out)
	defer r.Free()
	if err := r.Wait(); err != nil {
		t.Fatal(err)
	}
	p := make([]byte, 9010)
	if n, err := r.Burst(p); n != 10 || err != nil {
		t.Errorf("first: %d, %v", n, err)
	}
	if err := r.Wait(); err != nil {
		t.Fatal(err)
	}
	if n, err := r.Burst(p); n != 9000 || err != nil {
		t.Errorf("second: %d, %v", n, err)
	}
	if _, err := r.Burst(p); err != io.ErrUnexpectedEOF {
		t.Errorf("at the end: %v", err)
	}
}

func TestBuffer(t *testing.T) {
	for _, n := range []int{0, 1, 4096, 4097, wire.HeaderSize + wire.MaxData, wire.MaxBlock, 2 << 20} {
		b := wire.GetBuffer(n)
		if len(b.B) != n {
			t.Errorf("asked for %d bytes, got %d", n, len(b.B))
		}
		b.B = b.B[:0]
		b.Free()
	}
}

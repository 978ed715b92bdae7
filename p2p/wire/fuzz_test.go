package wire_test

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"cairn/p2p/wire"
	"cairn/share"
)

// FuzzDecode decodes a payload as every message. What is accepted must be what the encoder writes, and what is not must
// say why.
func FuzzDecode(f *testing.F) {
	for _, s := range samples {
		frame, err := wire.Append(nil, s.message)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(frame[wire.HeaderSize:])
	}
	f.Add([]byte("\xa1\x01\x9f\xff"))
	f.Fuzz(func(t *testing.T, payload []byte) {
		for _, s := range samples {
			m, err := s.decode(payload)
			if err != nil {
				if !errors.Is(err, share.ErrCorrupt) && !errors.Is(err, share.ErrVersion) && !errors.Is(err, share.ErrTooLarge) {
					t.Errorf("%T: an error without a cause: %v", s.message, err)
				}
				continue
			}
			frame, err := wire.Append(nil, m)
			if err != nil || !bytes.Equal(frame[wire.HeaderSize:], payload) {
				t.Errorf("%T: accepted %x, but writes %x, %v", m, payload, frame, err)
			}
		}
	})
}

// FuzzRow is FuzzDecode for rows.
func FuzzRow(f *testing.F) {
	for _, n := range []int{0, 1, 3} {
		frame, _ := wire.AppendRow(nil, n*1000, make([]share.Digest, n))
		f.Add(frame[wire.HeaderSize:])
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		size, digests, err := wire.ParseRow(payload, nil)
		if err != nil {
			return
		}
		frame, err := wire.AppendRow(nil, size, digests)
		if err != nil || !bytes.Equal(frame[wire.HeaderSize:], payload) {
			t.Errorf("accepted %x, but writes %x, %v", payload, frame, err)
		}
	})
}

// FuzzReader reads a stream of frames as a server does. Every byte is either consumed or the cause of an error.
func FuzzReader(f *testing.F) {
	var stream []byte
	for _, s := range samples {
		if frame, _ := wire.Append(nil, s.message); len(frame) < 200 {
			stream = append(stream, frame...)
		}
	}
	row, _ := wire.AppendRow(nil, 5000, make([]share.Digest, 2))
	f.Add(stream)
	f.Add(append(row, wire.AppendBlock(nil, make([]byte, 5000))...))
	f.Fuzz(func(t *testing.T, stream []byte) {
		r := wire.NewReader(bytes.NewReader(stream))
		defer r.Free()
		consumed := 0
		for {
			kind, n, err := r.Next()
			if err != nil {
				if err == io.EOF && consumed != len(stream) {
					t.Errorf("an end after %d of %d bytes", consumed, len(stream))
				}
				return
			}
			payload, err := r.Payload(n)
			if err != nil {
				return
			}
			header := wire.AppendHeader(nil, kind, n)
			if got := append(header, payload...); !bytes.Equal(got, stream[consumed:consumed+len(got)]) {
				t.Fatalf("frame at %d: %x", consumed, got)
			}
			consumed += wire.HeaderSize + n
		}
	})
}

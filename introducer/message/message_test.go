package message_test

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cairn/introducer/message"
	"cairn/share"
)

type note struct {
	Text  string   `cbor:"1,keyasint"`
	Parts [][]byte `cbor:"2,keyasint,omitempty"`
}

const limit = 1 << 10

func TestRoundTrip(t *testing.T) {
	for name, sent := range map[string]note{
		"empty": {}, "text": {Text: "x"}, "parts": {Text: "y", Parts: [][]byte{{1}, {}, {2, 3}}},
	} {
		var pipe bytes.Buffer
		if err := message.Write(&pipe, sent, limit); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var got note
		if err := message.Read(&pipe, &got, limit); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if diff := cmp.Diff(sent, got); diff != "" || pipe.Len() != 0 {
			t.Errorf("%s: %d bytes are left; %s", name, pipe.Len(), diff)
		}
	}
}

func TestRefusals(t *testing.T) {
	var n note
	for name, c := range map[string]struct {
		data []byte
		want error
	}{
		"nothing":      {nil, io.EOF},
		"no length":    {[]byte{0, 0}, io.ErrUnexpectedEOF},
		"cut":          {[]byte{0, 0, 0, 9, 0xa1}, io.ErrUnexpectedEOF},
		"too large":    {[]byte{0, 0, 4, 1}, share.ErrTooLarge},
		"not CBOR":     {[]byte{0, 0, 0, 1, 0xff}, share.ErrCorrupt},
		"not shortest": {[]byte{0, 0, 0, 5, 0xa1, 0x18, 0x01, 0x61, 'x'}, share.ErrCorrupt},
		"twice":        {[]byte{0, 0, 0, 7, 0xa2, 1, 0x61, 'x', 1, 0x61, 'x'}, share.ErrCorrupt},
		"unknown key":  {[]byte{0, 0, 0, 6, 0xa2, 1, 0x61, 'x', 9, 0}, share.ErrVersion},
		"behind it":    {[]byte{0, 0, 0, 5, 0xa1, 1, 0x61, 'x', 0}, share.ErrCorrupt},
	} {
		if err := message.Read(bytes.NewReader(c.data), &n, limit); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	if err := message.Write(io.Discard, note{Text: string(make([]byte, limit))}, limit); !errors.Is(err, share.ErrTooLarge) {
		t.Errorf("a message beyond its limit: %v", err)
	}
}

func FuzzUnmarshal(f *testing.F) {
	for _, n := range []note{{}, {Text: "x", Parts: [][]byte{{1}}}} {
		data, err := message.Marshal(n, limit)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var n note
		if message.Unmarshal(data, &n) != nil {
			return
		}
		if again, err := message.Marshal(n, len(data)); err != nil || !bytes.Equal(again, data) {
			t.Errorf("%x is written as %x, %v", data, again, err)
		}
	})
}

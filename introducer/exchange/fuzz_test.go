package exchange

import (
	"bytes"
	"testing"

	"cairn/introducer"
	"cairn/introducer/message"
	"cairn/share"
)

func FuzzMessages(f *testing.F) {
	for _, v := range []any{
		digests{Digest: make([]byte, 32)},
		digests{Digest: make([]byte, 32), Buckets: make([]byte, 32*buckets)},
		batch{Wanted: make([]byte, 32), Statements: [][]byte{{1}}, More: true},
		batch{Statements: [][]byte{{1}, {2}}},
		credentials{Statements: [][]byte{{1}}},
		verdict{Verdict: verdictRefused, Text: "no"},
	} {
		data, err := message.Marshal(v, maxMessage)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var d digests
		if message.Unmarshal(data, &d) == nil && d.validate() == nil && len(d.Buckets) > 0 {
			differing([buckets]share.Digest{}, d.Buckets)
		}
		var b batch
		if message.Unmarshal(data, &b) == nil && b.validate(true) == nil {
			for _, s := range b.Statements {
				if len(s) > introducer.MaxStatement {
					t.Errorf("a statement of %d bytes passes", len(s))
				}
			}
			if len(b.Wanted) != buckets/8 {
				t.Errorf("a choice of %d bytes passes", len(b.Wanted))
			}
		}
		var c credentials
		var v verdict
		for _, m := range []any{&c, &v} {
			if message.Unmarshal(data, m) == nil {
				if again, err := message.Marshal(m, len(data)); err != nil || !bytes.Equal(again, data) {
					t.Errorf("%x is written as %x, %v", data, again, err)
				}
			}
		}
	})
}

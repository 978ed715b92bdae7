package head_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/ipfs/boxo/ipns"
	"github.com/ipfs/boxo/path"
	"github.com/libp2p/go-libp2p/core/crypto"
	"pgregory.net/rapid"

	"cairn/share"
	"cairn/share/head"
)

// signer returns the key of a seed and its name.
func signer(seed byte) (ed25519.PrivateKey, share.Name) {
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize))
	return key, share.Name(key.Public().(ed25519.PublicKey))
}

func digest(text string) share.Digest { return sha256.Sum256([]byte(text)) }

// some is a head with every field.
func some() head.Head {
	return head.Head{
		Sequence: 7, Root: share.StorageIndex(digest("root")), Parents: []share.Digest{digest("a"), digest("b")},
		Written: time.UnixMilli(1_790_000_000_123).UTC(),
	}
}

func sign(t testing.TB, key ed25519.PrivateKey, h head.Head) []byte {
	t.Helper()
	record, err := head.Sign(key, h)
	if err != nil {
		t.Fatal(err)
	}
	return record
}

func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		key, name := signer(rapid.Byte().Draw(t, "seed"))
		h := head.Head{
			Sequence: rapid.Uint64Range(1, head.MaxSequence).Draw(t, "sequence"),
			Root:     share.StorageIndex(digest(rapid.String().Draw(t, "root"))),
			Written:  time.UnixMilli(rapid.Int64Range(0, 253_402_300_799_000).Draw(t, "written")).UTC(),
		}
		for i := range rapid.IntRange(0, head.MaxParents).Draw(t, "parents") {
			if h.Sequence > 1 {
				h.Parents = append(h.Parents, share.Digest{1, byte(i)})
			}
		}
		h.Ended = rapid.Bool().Draw(t, "ended")
		if len(h.Parents) > 0 && rapid.Bool().Draw(t, "ties") {
			most := []head.Tie{head.Has, head.Remade, head.Left}
			for i := range h.Parents {
				h.Ties = append(h.Ties, rapid.SampledFrom(most[:min(len(most), i+2)]).Draw(t, "tie"))
			}
			if slices.Max(h.Ties) == head.Has {
				h.Ties[0] = head.Remade
			}
		}
		if rapid.Bool().Draw(t, "keep") {
			h.Keep = share.Retention{
				Versions: rapid.IntRange(1, share.MaxHistory).Draw(t, "versions"),
				Age:      time.Duration(rapid.Int64Range(3_600_000, 36500*86_400_000).Draw(t, "age")) * time.Millisecond,
			}
		}
		record, err := head.Sign(key, h)
		if err != nil {
			t.Fatal(err)
		}
		if signed, says := head.Signed(record); signed != h.Keep || says != (h.Keep != share.Retention{}) {
			t.Errorf("a record that keeps %+v is read as %+v, %v", h.Keep, signed, says)
		}
		if len(record) > share.MaxHeadRecord {
			t.Errorf("a record of %d bytes, at most %d are allowed", len(record), share.MaxHeadRecord)
		}
		h.Name, h.Digest = name, sha256.Sum256(record)
		got, err := head.Parse(name, record)
		if diff := cmp.Diff(h, got); err != nil || diff != "" {
			t.Errorf("parsed: %v\n%s", err, diff)
		}
	})
}

// TestEveryBitCounts: no record with another bit is a head.
func TestEveryBitCounts(t *testing.T) {
	key, name := signer(1)
	record := sign(t, key, some())
	for i := range len(record) * 8 {
		changed := bytes.Clone(record)
		changed[i/8] ^= 1 << (i % 8)
		if _, err := head.Parse(name, changed); !errors.Is(err, share.ErrCorrupt) {
			t.Errorf("bit %d changed: %v", i, err)
		}
	}
	for n := range len(record) {
		if _, err := head.Parse(name, record[:n]); !errors.Is(err, share.ErrCorrupt) {
			t.Errorf("%d bytes of it: %v", n, err)
		}
	}
	if _, err := head.Parse(name, append(bytes.Clone(record), record...)); !errors.Is(err, share.ErrCorrupt) {
		t.Errorf("twice the record: %v", err)
	}
	if _, err := head.Parse(name, make([]byte, share.MaxHeadRecord+1)); !errors.Is(err, share.ErrCorrupt) {
		t.Errorf("too long: %v", err)
	}
	_, other := signer(2)
	if _, err := head.Parse(other, record); !errors.Is(err, share.ErrCorrupt) {
		t.Errorf("another name: %v", err)
	}
}

// TestRefuses: fields that no head has are neither signed nor read.
func TestRefuses(t *testing.T) {
	key, _ := signer(1)
	for about, change := range map[string]func(*head.Head){
		"no sequence":          func(h *head.Head) { h.Sequence = 0 },
		"too high a sequence":  func(h *head.Head) { h.Sequence = math.MaxInt64 + 1 },
		"no root":              func(h *head.Head) { h.Root = share.StorageIndex{} },
		"first with parents":   func(h *head.Head) { h.Sequence = 1 },
		"a zero parent":        func(h *head.Head) { h.Parents[1] = share.Digest{} },
		"a parent twice":       func(h *head.Head) { h.Parents[1] = h.Parents[0] },
		"too many parents":     func(h *head.Head) { h.Parents = slices.Repeat(h.Parents, 5) },
		"written before 1970":  func(h *head.Head) { h.Written = time.UnixMilli(-1) },
		"written in year 9999": func(h *head.Head) { h.Written = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) },
		"no version kept":      func(h *head.Head) { h.Keep = share.Retention{Age: 2 * time.Hour} },
		"too many kept":        func(h *head.Head) { h.Keep = share.Retention{Versions: share.MaxHistory + 1, Age: 2 * time.Hour} },
		"kept too short":       func(h *head.Head) { h.Keep = share.Retention{Versions: 3, Age: time.Hour - 1} },
		"kept too long": func(h *head.Head) {
			h.Keep = share.Retention{Versions: 3, Age: share.MaxRetentionAge + time.Millisecond}
		},
		"a part of a ms":    func(h *head.Head) { h.Keep = share.Retention{Versions: 3, Age: time.Hour + 1} },
		"the default, said": func(h *head.Head) { h.Keep = share.DefaultRetention },
	} {
		h := some()
		change(&h)
		if record, err := head.Sign(key, h); err == nil {
			t.Errorf("%s: signed as %x", about, record)
		}
	}
	if _, err := head.Sign(nil, some()); err == nil {
		t.Error("signed without a key")
	}
}

// forged signs an IPNS record that is not a head.
func forged(t *testing.T, value string, sequence uint64, eol time.Time, ttl time.Duration, options ...ipns.Option) []byte {
	t.Helper()
	raw, _ := signer(1)
	key, err := crypto.UnmarshalEd25519PrivateKey(raw)
	if err != nil {
		t.Fatal(err)
	}
	p, err := path.NewPath(value)
	if err != nil {
		t.Fatal(err)
	}
	r, err := ipns.NewRecord(key, p, sequence, eol, ttl, options...)
	if err != nil {
		t.Fatal(err)
	}
	record, err := ipns.MarshalRecord(r)
	if err != nil {
		t.Fatal(err)
	}
	return record
}

// TestOtherRecords: valid IPNS records that Sign cannot have made are no heads.
func TestOtherRecords(t *testing.T) {
	_, name := signer(1)
	var (
		good     = "/ipfs/" + some().Root.String()
		far      = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
		v2, bare = ipns.WithV1Compatibility(false), ipns.WithPublicKey(false)
	)
	with := func(parents any, written any) ipns.Option {
		return ipns.WithMetadata(map[string]any{"_cairn": parents, "_written": written})
	}
	usual := with([]byte{}, int64(5))
	more := func(key string, value any) ipns.Option {
		return ipns.WithMetadata(map[string]any{"_cairn": []byte{}, "_written": int64(5), key: value})
	}
	tied := func(parents int, ties any) ipns.Option {
		var list []byte
		for i := range parents {
			list = append(list, bytes.Repeat([]byte{byte(i + 1)}, 32)...)
		}
		return ipns.WithMetadata(map[string]any{"_cairn": list, "_written": int64(5), "_ties": ties})
	}
	for about, fields := range map[string]ipns.Option{"the usual": usual, "ties": tied(2, []byte{1, 2})} {
		if _, err := head.Parse(name, forged(t, good, 3, far, time.Minute, v2, bare, fields)); err != nil {
			t.Fatalf("%s, which all others differ from: %v", about, err)
		}
	}
	for about, record := range map[string][]byte{
		"no metadata":         forged(t, good, 3, far, time.Minute, v2, bare),
		"version 1 too":       forged(t, good, 3, far, time.Minute, bare, usual),
		"with its key":        forged(t, good, 3, far, time.Minute, v2, ipns.WithPublicKey(true), usual),
		"another end of life": forged(t, good, 3, far.Add(-time.Second), time.Minute, v2, bare, usual),
		"ended":               forged(t, good, 3, time.Unix(1, 0), time.Minute, v2, bare, usual),
		"another ttl":         forged(t, good, 3, far, time.Second, v2, bare, usual),
		"sequence 0":          forged(t, good, 0, far, time.Minute, v2, bare, usual),
		"negative sequence":   forged(t, good, math.MaxUint64, far, time.Minute, v2, bare, usual),
		"a path below":        forged(t, good+"/x", 3, far, time.Minute, v2, bare, usual),
		"another namespace":   forged(t, "/ipns/"+name.String(), 3, far, time.Minute, v2, bare, usual),
		"another codec":       forged(t, "/ipfs/bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy", 3, far, time.Minute, v2, bare, usual),
		"half a parent":       forged(t, good, 3, far, time.Minute, v2, bare, with(make([]byte, 31), int64(5))),
		"parents in text":     forged(t, good, 3, far, time.Minute, v2, bare, with("x", int64(5))),
		"a zero parent":       forged(t, good, 3, far, time.Minute, v2, bare, with(make([]byte, 32), int64(5))),
		"many parents":        forged(t, good, 3, far, time.Minute, v2, bare, with(bytes.Repeat([]byte{1}, 9*32), int64(5))),
		"written in bytes":    forged(t, good, 3, far, time.Minute, v2, bare, with([]byte{}, []byte{1})),
		"written before 1970": forged(t, good, 3, far, time.Minute, v2, bare, with([]byte{}, int64(-5))),
		"a short retention":   forged(t, good, 3, far, time.Minute, v2, bare, more("_keep", make([]byte, 11))),
		"no retention":        forged(t, good, 3, far, time.Minute, v2, bare, more("_keep", make([]byte, 12))),
		"an endless one":      forged(t, good, 3, far, time.Minute, v2, bare, more("_keep", append([]byte{0, 0, 0, 5}, bytes.Repeat([]byte{255}, 8)...))),
		"the default, said":   forged(t, good, 3, far, time.Minute, v2, bare, more("_keep", []byte{0, 0, 0, 10, 0, 0, 0, 0, 0x24, 0x0c, 0x84, 0})),
		"a retention in text": forged(t, good, 3, far, time.Minute, v2, bare, more("_keep", "twelve bytes")),
		"not ended":           forged(t, good, 3, far, time.Minute, v2, bare, more("_ended", false)),
		"ended once":          forged(t, good, 3, far, time.Minute, v2, bare, more("_ended", int64(1))),
		"ties of no need":     forged(t, good, 3, far, time.Minute, v2, bare, tied(2, []byte{0, 0})),
		"no ties":             forged(t, good, 3, far, time.Minute, v2, bare, tied(2, []byte{})),
		"the first left":      forged(t, good, 3, far, time.Minute, v2, bare, tied(2, []byte{2, 0})),
		"too few ties":        forged(t, good, 3, far, time.Minute, v2, bare, tied(2, []byte{1})),
		"too many ties":       forged(t, good, 3, far, time.Minute, v2, bare, tied(2, []byte{0, 1, 1})),
		"ties to nothing":     forged(t, good, 3, far, time.Minute, v2, bare, tied(0, []byte{1})),
		"an unknown tie":      forged(t, good, 3, far, time.Minute, v2, bare, tied(2, []byte{0, 3})),
		"a tie of many":       forged(t, good, 3, far, time.Minute, v2, bare, tied(2, []byte{0, 255})),
		"ties counted":        forged(t, good, 3, far, time.Minute, v2, bare, tied(2, int64(1))),
		"ties in text":        forged(t, good, 3, far, time.Minute, v2, bare, tied(2, "\x00\x01")),
		"nothing":             nil,
	} {
		if h, err := head.Parse(name, record); !errors.Is(err, share.ErrCorrupt) {
			t.Errorf("%s: %+v, %v", about, h, err)
		}
	}
	later := ipns.WithMetadata(map[string]any{"_cairn": []byte{}, "_written": int64(5), "_later": int64(1)})
	if _, err := head.Parse(name, forged(t, good, 3, far, time.Minute, v2, bare, later)); !errors.Is(err, share.ErrVersion) {
		t.Errorf("a field of a later version: %v", err)
	}
}

func TestNewer(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		draw := func(label string) head.Head {
			return head.Head{Sequence: rapid.Uint64Range(1, 3).Draw(t, label), Digest: share.Digest{rapid.ByteRange(0, 3).Draw(t, label)}}
		}
		a, b, c := draw("a"), draw("b"), draw("c")
		if same := cmp.Equal(a, b); head.Newer(a, b) == head.Newer(b, a) != same {
			t.Errorf("%v and %v: newer in both directions or in none", a, b)
		}
		if head.Newer(a, b) && head.Newer(b, c) && !head.Newer(a, c) {
			t.Errorf("%v, %v, %v: not transitive", a, b, c)
		}
		if a.Sequence > b.Sequence && !head.Newer(a, b) {
			t.Errorf("%v is not newer than %v", a, b)
		}
	})
}

// FuzzParse: nothing but what Sign gives is read, and no input ends the program.
func FuzzParse(f *testing.F) {
	key, name := signer(1)
	first := some()
	first.Sequence, first.Parents = 1, nil
	f.Add(sign(f, key, some()))
	f.Add(sign(f, key, first))
	tied := some()
	tied.Ties, tied.Ended = []head.Tie{head.Remade, head.Left}, true
	f.Add(sign(f, key, tied))
	f.Add([]byte{0x42, 0x40})
	f.Fuzz(func(t *testing.T, record []byte) {
		h, err := head.Parse(name, record)
		if err != nil {
			if !errors.Is(err, share.ErrCorrupt) && !errors.Is(err, share.ErrVersion) {
				t.Errorf("refused with %v", err)
			}
			return
		}
		if again := sign(t, key, h); !bytes.Equal(again, record) {
			t.Errorf("%x is read as %x", record, again)
		}
	})
}

func BenchmarkParse(b *testing.B) {
	key, name := signer(1)
	record := sign(b, key, some())
	for b.Loop() {
		if _, err := head.Parse(name, record); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(len(record)), "bytes")
}

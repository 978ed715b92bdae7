package wire_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"cairn/p2p/wire"
	"cairn/share"
)

// indexes returns n different storage indexes.
func indexes(n int) []share.StorageIndex {
	out := make([]share.StorageIndex, n)
	for i := range out {
		out[i] = share.StorageIndex{byte(i), byte(i >> 8), 0xff}
	}
	return out
}

func numbers(n int) []byte {
	out := make([]byte, n)
	for i := range out {
		out[i] = byte(i)
	}
	return out
}

// A sample is one message of a kind, with what decodes it.
type sample struct {
	message wire.Message
	decode  func([]byte) (wire.Message, error)
}

func sampleOf[M wire.Message](m M) sample {
	return sample{m, func(p []byte) (wire.Message, error) { return wire.Decode[M](p) }}
}

// samples holds messages of every kind, among them the largest.
var samples = []sample{
	sampleOf(wire.Done{}),
	sampleOf(wire.Error{Code: 3, Text: "no space left: 5 bytes"}),
	sampleOf(wire.Error{Code: wire.CodeInternal, Text: strings.Repeat("ü", wire.MaxText/2)}),
	sampleOf(wire.Numbers{Indexes: indexes(1)}),
	sampleOf(wire.Numbers{Indexes: indexes(wire.MaxBatch)}),
	sampleOf(wire.Held{Entries: []wire.HeldEntry{{Numbers: []byte{}, Root: []byte{}}, {Numbers: []byte{0, 7, 255}, Root: []byte("root")}}}),
	sampleOf(wire.Held{Entries: []wire.HeldEntry{{Numbers: numbers(256), Root: make([]byte, wire.MaxRoot)}}}),
	sampleOf(wire.Uploads{ID: share.UploadID{1, 2, 3}}),
	sampleOf(wire.Progress{Entries: []wire.ProgressEntry{}}),
	sampleOf(wire.Progress{Entries: []wire.ProgressEntry{{Number: 0, Blocks: 5}, {Number: 9, Blocks: 1 << 40, Index: share.StorageIndex{1}}}}),
	sampleOf(wire.Renew{Indexes: indexes(3), Lease: 1_800_000_000_000}),
	sampleOf(wire.Renew{Indexes: indexes(wire.MaxBatch), Lease: -1 << 63}),
	sampleOf(wire.Space{}),
	sampleOf(wire.Offer{Offered: 1 << 62, Used: 2, Free: 1}),
	sampleOf(wire.Usage{}),
	sampleOf(wire.Standing{Used: 1 << 40, Limit: 1 << 50}),
	sampleOf(wire.Standing{Used: 5, Limit: share.NoLimit}),
	sampleOf(wire.Recheck{Index: share.StorageIndex{5}, Number: 255, Segment: share.NoSegment}),
	sampleOf(wire.Recheck{Segment: 1<<63 - 1}),
	sampleOf(wire.Rechecked{Held: true}),
	sampleOf(wire.Forgo{Indexes: indexes(1)}),
	sampleOf(wire.Forgo{Indexes: indexes(wire.MaxBatch)}),
	sampleOf(wire.Open{Index: share.StorageIndex{5}, Number: 255}),
	sampleOf(wire.Opened{Size: 1<<63 - 1}),
	sampleOf(wire.Read{Index: share.StorageIndex{5}, Number: 3, Offset: 1 << 40, Length: wire.MaxRead}),
	sampleOf(wire.Create{ID: share.UploadID{4}, Number: 1, Needed: 3, Total: 10, BlockSize: 1 << 17, Size: -1, Lease: 77, Series: wire.Series{8}, Turn: 9}),
	sampleOf(wire.Have{}),
	sampleOf(wire.Blocks{Count: 1 << 33}),
	sampleOf(wire.Appended{Count: 12}),
	sampleOf(wire.Commit{Root: make([]byte, wire.MaxRoot)}),
	sampleOf(wire.Release{}),
	sampleOf(wire.Heads{Names: []share.Name{{1}}, Shares: true}),
	sampleOf(wire.Heads{Names: make([]share.Name, share.MaxHeadNames)}),
	sampleOf(wire.HeldHeads{Body: wire.MaxBody}),
	sampleOf(wire.SetHead{Name: share.Name{1}, Record: []byte("record"), Replaces: share.Digest{2}, Lease: 5, Versions: 3, Age: 9, Adds: 2, Body: 64}),
	sampleOf(wire.SetHead{
		Record: make([]byte, share.MaxHeadRecord), Lease: -1, Versions: share.MaxHistory, Age: math.MaxInt64 / 1_000_000,
		Adds: share.MaxHeadIndexes, Drops: share.MaxHeadIndexes, Shares: share.MaxBatchShares, Body: wire.MaxBody,
	}),
	sampleOf(wire.Conflict{Record: []byte{}}),
	sampleOf(wire.Conflict{Record: make([]byte, share.MaxHeadRecord)}),
	sampleOf(wire.History{Name: share.Name{3}}),
	sampleOf(wire.Since{Name: share.Name{3}, Sequence: math.MaxUint64}),
	sampleOf(wire.Records{Count: share.MaxHistory, Body: 5000}),
	sampleOf(wire.Put{Shares: share.MaxBatchShares, Body: wire.MaxBody, Lease: 1 << 40}),
	sampleOf(wire.Stored{Failed: 3}),
	sampleOf(wire.Failures{Entries: []wire.Failure{{At: 0, Code: 2, Text: "corrupt"}, {At: 4095, Code: wire.CodeInternal}}}),
	sampleOf(longFailures()),
	sampleOf(wire.Fetch{Count: share.MaxBatchShares}),
	sampleOf(wire.Fetched{Shares: 1, Body: 500}),
}

// longFailures is the largest message of its kind.
func longFailures() wire.Failures {
	var m wire.Failures
	for i := range 200 {
		m.Entries = append(m.Entries, wire.Failure{At: 3000 + i, Code: wire.CodeInternal, Text: strings.Repeat("x", wire.MaxText)})
	}
	return m
}

func TestRoundTrip(t *testing.T) {
	seen := map[wire.Kind]bool{}
	for _, s := range samples {
		seen[s.message.Kind()] = true
		frame, err := wire.Append([]byte("before"), s.message)
		if err != nil {
			t.Fatalf("%T: %v", s.message, err)
		}
		frame = bytes.TrimPrefix(frame, []byte("before"))
		kind, n, err := wire.ParseHeader(frame)
		if err != nil || kind != s.message.Kind() || n != len(frame)-wire.HeaderSize {
			t.Fatalf("%T: header %v, %d, %v", s.message, kind, n, err)
		}
		got, err := s.decode(frame[wire.HeaderSize:])
		if err != nil {
			t.Fatalf("%T: decode: %v", s.message, err)
		}
		if diff := cmp.Diff(s.message, got, cmpopts.EquateEmpty(), cmpopts.IgnoreUnexported(wire.HeldEntry{}, wire.ProgressEntry{})); diff != "" {
			t.Errorf("%T: %s", s.message, diff)
		}
	}
	if len(seen) != 35 {
		t.Errorf("samples of %d kinds of messages, want all 35", len(seen))
	}
}

// TestGolden pins the bytes: a change here is another version of the protocol.
func TestGolden(t *testing.T) {
	for _, c := range []struct {
		message wire.Message
		frame   string
	}{
		{wire.Done{}, "02 00000001 a0"},
		{wire.Error{Code: 6, Text: "busy"}, "01 00000009 a2 0106 02 6462757379"},
		{wire.Numbers{Indexes: indexes(1)}, "10 00000025 a1 01 81 5820 0000ff" + strings.Repeat("00", 29)},
		{wire.Held{Entries: []wire.HeldEntry{{Numbers: []byte{1, 2}, Root: []byte{9}}}}, "11 00000009 a1 01 81 82 420102 4109"},
		{wire.Usage{}, "17 00000001 a0"},
		{wire.Standing{Used: 5, Limit: -1}, "18 00000005 a2 0105 0220"},
		{wire.Recheck{Number: 2, Segment: -1}, "19 00000028 a3 01 5820" + strings.Repeat("00", 32) + "02 02 03 20"},
		{wire.Rechecked{Held: true}, "1a 00000003 a1 01 f5"},
		{wire.Forgo{Indexes: indexes(1)}, "1b 00000025 a1 01 81 5820 0000ff" + strings.Repeat("00", 29)},
		{wire.Opened{Size: 300}, "21 00000005 a1 01 19012c"},
		{wire.Read{Number: 2, Offset: 65536, Length: 1000}, "22 00000030 a4 01 5820" + strings.Repeat("00", 32) + "02 02 03 1a00010000 04 1903e8"},
		{wire.Create{Number: 1, Needed: 3, Total: 10, BlockSize: 4096, Size: -1, Lease: 1, Turn: 2}, "30 0000002d a9 01 50" + strings.Repeat("00", 16) + "0201 0303 040a 05191000 0620 0701 08480000000000000000 0902"},
		{wire.Commit{Root: []byte{0xa0}}, "35 00000004 a1 01 41a0"},
		{wire.Heads{Names: []share.Name{{}}, Shares: true}, "40 00000027 a2 01 81 5820" + strings.Repeat("00", 32) + "02 f5"},
		{wire.HeldHeads{Body: 6}, "41 00000003 a1 01 06"},
		{
			wire.SetHead{Record: []byte{1}, Lease: -1, Versions: 2, Age: 3, Adds: 4, Drops: 5, Shares: 6, Body: 7},
			"42 00000058 aa 01 5820" + strings.Repeat("00", 32) + "02 4101 03 5820" + strings.Repeat("00", 32) + "0420 0502 0603 0704 0805 0906 0a07",
		},
		{wire.Conflict{}, "43 00000003 a1 01 40"},
		{wire.History{}, "44 00000024 a1 01 5820" + strings.Repeat("00", 32)},
		{wire.Since{Sequence: 600}, "46 00000028 a2 01 5820" + strings.Repeat("00", 32) + "02 190258"},
		{wire.Records{Count: 1, Body: 2}, "45 00000005 a2 0101 0202"},
		{wire.Put{Shares: 1, Body: 2, Lease: 3}, "50 00000007 a3 0101 0202 0303"},
		{wire.Stored{Failed: 1}, "51 00000003 a1 0101"},
		{wire.Failures{Entries: []wire.Failure{{At: 1, Code: 2, Text: "x"}}}, "52 00000008 a1 01 81 83 01 02 6178"},
		{wire.Fetch{Count: 1}, "53 00000003 a1 0101"},
		{wire.Fetched{Shares: 1, Body: 2}, "54 00000005 a2 0101 0202"},
	} {
		want, err := hex.DecodeString(strings.ReplaceAll(c.frame, " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := wire.Append(nil, c.message); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%T: %x, %v; want %x", c.message, got, err, want)
		}
	}
}

// TestLimits refuses to encode what exceeds a limit, and leaves what stood before it alone.
func TestLimits(t *testing.T) {
	for _, c := range []struct {
		message wire.Message
		want    error
	}{
		{wire.Numbers{}, share.ErrTooLarge},
		{wire.Numbers{Indexes: indexes(wire.MaxBatch + 1)}, share.ErrTooLarge},
		{wire.Renew{Indexes: indexes(wire.MaxBatch + 1)}, share.ErrTooLarge},
		{wire.Forgo{}, share.ErrTooLarge},
		{wire.Forgo{Indexes: indexes(wire.MaxBatch + 1)}, share.ErrTooLarge},
		{wire.Held{}, share.ErrTooLarge},
		{wire.Recheck{Segment: -2}, share.ErrCorrupt},
		{wire.Held{Entries: make([]wire.HeldEntry, wire.MaxBatch+1)}, share.ErrTooLarge},
		{wire.Held{Entries: []wire.HeldEntry{{Root: make([]byte, wire.MaxRoot+1)}}}, share.ErrTooLarge},
		{wire.Held{Entries: []wire.HeldEntry{{Numbers: []byte{1, 1}}}}, share.ErrCorrupt},
		{wire.Progress{Entries: make([]wire.ProgressEntry, share.MaxTotal+1)}, share.ErrTooLarge},
		{wire.Progress{Entries: []wire.ProgressEntry{{Number: 2}, {Number: 1}}}, share.ErrCorrupt},
		{wire.Progress{Entries: []wire.ProgressEntry{{Blocks: -1}}}, share.ErrCorrupt},
		{wire.Offer{Free: -1}, share.ErrCorrupt},
		{wire.Standing{Used: -1}, share.ErrCorrupt},
		{wire.Standing{Limit: -2}, share.ErrCorrupt},
		{wire.Opened{Size: -1}, share.ErrCorrupt},
		{wire.Read{Length: 0}, share.ErrTooLarge},
		{wire.Read{Length: wire.MaxRead + 1}, share.ErrTooLarge},
		{wire.Read{Offset: -1, Length: 1}, share.ErrCorrupt},
		{wire.Blocks{Count: -1}, share.ErrCorrupt},
		{wire.Appended{Count: -1}, share.ErrCorrupt},
		{wire.Commit{Root: make([]byte, wire.MaxRoot+1)}, share.ErrTooLarge},
		{wire.Heads{}, share.ErrCorrupt},
		{wire.Heads{Names: make([]share.Name, share.MaxHeadNames+1)}, share.ErrTooLarge},
		{wire.HeldHeads{Body: wire.MaxBody + 1}, share.ErrTooLarge},
		{wire.HeldHeads{Body: -1}, share.ErrTooLarge},
		{wire.SetHead{Record: make([]byte, share.MaxHeadRecord+1)}, share.ErrTooLarge},
		{wire.SetHead{Versions: share.MaxHistory + 1}, share.ErrCorrupt},
		{wire.SetHead{Versions: -1}, share.ErrCorrupt},
		{wire.SetHead{Age: -1}, share.ErrCorrupt},
		{wire.SetHead{Age: math.MaxInt64/1_000_000 + 1}, share.ErrCorrupt},
		{wire.SetHead{Adds: share.MaxHeadIndexes + 1}, share.ErrTooLarge},
		{wire.SetHead{Drops: share.MaxHeadIndexes + 1}, share.ErrTooLarge},
		{wire.SetHead{Shares: -1}, share.ErrTooLarge},
		{wire.SetHead{Body: wire.MaxBody + 1}, share.ErrTooLarge},
		{wire.Conflict{Record: make([]byte, share.MaxHeadRecord+1)}, share.ErrTooLarge},
		{wire.Records{Count: share.MaxHistory + 1}, share.ErrTooLarge},
		{wire.Put{Shares: share.MaxBatchShares + 1}, share.ErrTooLarge},
		{wire.Stored{Failed: share.MaxBatchShares + 1}, share.ErrTooLarge},
		{wire.Failures{}, share.ErrTooLarge},
		{wire.Failures{Entries: make([]wire.Failure, 201)}, share.ErrTooLarge},
		{wire.Failures{Entries: []wire.Failure{{At: 2, Code: 1}, {At: 2, Code: 1}}}, share.ErrCorrupt},
		{wire.Failures{Entries: []wire.Failure{{At: -1, Code: 1}}}, share.ErrCorrupt},
		{wire.Failures{Entries: []wire.Failure{{At: share.MaxBatchShares, Code: 1}}}, share.ErrCorrupt},
		{wire.Failures{Entries: []wire.Failure{{At: 1}}}, share.ErrVersion},
		{wire.Fetch{Count: share.MaxBatchShares + 1}, share.ErrTooLarge},
		{wire.Fetched{Shares: share.MaxBatchShares + 1}, share.ErrTooLarge},
		{wire.Error{Code: 0}, share.ErrVersion},
		{wire.Error{Code: 200}, share.ErrVersion},
		{wire.Error{Code: 1, Text: "bell\a"}, share.ErrCorrupt},
		{wire.Error{Code: 1, Text: strings.Repeat("x", wire.MaxText+1)}, share.ErrCorrupt},
	} {
		got, err := wire.Append([]byte("before"), c.message)
		if !errors.Is(err, c.want) || string(got) != "before" {
			t.Errorf("%T %+v: %v; want %v", c.message, c.message, err, c.want)
		}
	}
}

// TestMalformed decodes what no encoder writes.
func TestMalformed(t *testing.T) {
	for _, c := range []struct {
		what, payload string
		want          error
	}{
		{"nothing", "", share.ErrCorrupt},
		{"a field of a later version", "a2 0105 0801", share.ErrVersion},
		{"a missing field", "a0", share.ErrCorrupt},
		{"a key twice", "a2 0105 0105", share.ErrCorrupt},
		{"a text key", "a1 6131 05", share.ErrVersion},
		{"a long integer", "a1 01 1805", share.ErrCorrupt},
		{"bytes behind", "a1 0105 00", share.ErrCorrupt},
		{"cut short", "a1 01", share.ErrCorrupt},
		{"an indefinite map", "bf 0105 ff", share.ErrCorrupt},
		{"a tag", "a1 01 c005", share.ErrCorrupt},
		{"a float", "a1 01 f94500", share.ErrCorrupt},
		{"a negative count", "a1 01 20", share.ErrCorrupt},
		{"too large a number", "a1 01 1bffffffffffffffff", share.ErrCorrupt},
		{"an array", "81 05", share.ErrCorrupt},
	} {
		payload, err := hex.DecodeString(strings.ReplaceAll(c.payload, " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		if m, err := wire.Decode[wire.Blocks](payload); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, %v; want %v", c.what, m, err, c.want)
		}
	}
	if _, err := wire.Decode[wire.Blocks](make([]byte, wire.MaxControl+1)); !errors.Is(err, share.ErrTooLarge) {
		t.Errorf("a payload beyond the limit: %v", err)
	}
	long := append([]byte{0xa1, 0x01, 0x58, 0x21}, make([]byte, 33)...)
	if _, err := wire.Decode[wire.Uploads](long); !errors.Is(err, share.ErrCorrupt) {
		t.Errorf("an upload id of 33 bytes: %v", err)
	}
}

func TestSplitHeld(t *testing.T) {
	for _, size := range []int{0, 1, 100, wire.MaxRoot} {
		for _, n := range []int{0, 1, 2, 100, wire.MaxBatch} {
			entries := make([]wire.HeldEntry, n)
			for i := range entries {
				entries[i] = wire.HeldEntry{Numbers: numbers(min(size, 256)), Root: bytes.Repeat([]byte{byte(i)}, size)}
			}
			total := 0
			for _, m := range wire.SplitHeld(entries) {
				frame, err := wire.Append(nil, m)
				if err != nil {
					t.Fatalf("%d entries of %d bytes: %v", n, size, err)
				}
				got, err := wire.Decode[wire.Held](frame[wire.HeaderSize:])
				if err != nil {
					t.Fatalf("%d entries of %d bytes: %v", n, size, err)
				}
				for _, e := range got.Entries {
					if !bytes.Equal(e.Root, entries[total].Root) || !bytes.Equal(e.Numbers, entries[total].Numbers) {
						t.Fatalf("entry %d changed", total)
					}
					total++
				}
			}
			if total != n {
				t.Errorf("%d of %d entries arrived", total, n)
			}
		}
	}
}

// TestUpload keeps everything of an upload but its owner, whom the connection names, and the clock of the client.
func TestUpload(t *testing.T) {
	client, server := time.UnixMilli(1_800_000_000_123), time.UnixMilli(77_000)
	u := share.Upload{
		ID: share.UploadID{1}, Number: 2, Needed: 3, Total: 4, BlockSize: 5, Size: 6,
		Lease: share.Lease{Owner: "somebody", Expires: client.Add(time.Hour)},
	}
	want := u
	want.Lease = share.Lease{Owner: "peer", Expires: server.Add(time.Hour)}
	if diff := cmp.Diff(want, wire.CreateOf(u, client).Upload("peer", server)); diff != "" {
		t.Error(diff)
	}
	renewed := wire.Renew{Lease: wire.RunOf(u.Lease, client)}.LeaseOf("peer", server)
	if diff := cmp.Diff(want.Lease, renewed); diff != "" {
		t.Error(diff)
	}
}

// TestLeaseOfAnyLength: whatever a peer says, the end is on the right side of now, and what no Store takes stays so.
func TestLeaseOfAnyLength(t *testing.T) {
	now := time.UnixMilli(1_800_000_000_000)
	for milliseconds, check := range map[int64]func(time.Duration) bool{
		math.MaxInt64: func(d time.Duration) bool { return d > share.MaxLease },
		math.MinInt64: func(d time.Duration) bool { return d < 0 },
		0:             func(d time.Duration) bool { return d == 0 },
		1000:          func(d time.Duration) bool { return d == time.Second },
	} {
		if d := (wire.Renew{Lease: milliseconds}).LeaseOf("peer", now).Expires.Sub(now); !check(d) {
			t.Errorf("%d ms: a lease of %v", milliseconds, d)
		}
	}
}

package wire_test

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cairn/p2p/wire"
	"cairn/share"
)

// wholes returns whole shares of different lengths, an empty one among them.
func wholes(lengths ...int) []share.WholeShare {
	var out []share.WholeShare
	for i, n := range lengths {
		out = append(out, share.WholeShare{Index: share.StorageIndex{byte(i), 7}, Number: share.Number(i), Data: bytes.Repeat([]byte{byte(i)}, n)})
	}
	return out
}

// someUpdate has something in every field.
func someUpdate(now time.Time) share.HeadUpdate {
	return share.HeadUpdate{
		Name: share.Name{1}, Record: []byte("record"), Replaces: share.Digest{2}, Shares: wholes(5, 0, 300),
		Adds: indexes(3), Drops: indexes(2), Retention: share.Retention{Versions: 7, Age: time.Hour},
		Lease: share.Lease{Owner: "alice", Expires: now.Add(time.Hour)},
	}
}

func TestUpdateRoundTrip(t *testing.T) {
	now := time.Unix(1_790_000_000, 0)
	for what, change := range map[string]func(u *share.HeadUpdate){
		"as it is": func(*share.HeadUpdate) {},
		"the least": func(u *share.HeadUpdate) {
			u.Shares, u.Adds, u.Drops, u.Retention = nil, []share.StorageIndex{}, []share.StorageIndex{}, share.Retention{}
		},
		"the longest age": func(u *share.HeadUpdate) { u.Retention.Age = (1<<63 - 1) / time.Millisecond * time.Millisecond },
	} {
		want := someUpdate(now)
		change(&want)
		m, body, err := wire.SetHeadOf(want, now)
		if err != nil || len(body) != m.Body {
			t.Fatalf("%s: %+v, %d bytes, %v", what, m, len(body), err)
		}
		got, err := m.Update(body, "alice", now)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v\n%s", what, err, diff)
		}
		if _, err := m.Update(append(body, 0), "alice", now); !errors.Is(err, share.ErrCorrupt) {
			t.Errorf("%s: a byte too many: %v", what, err)
		}
		for n := range len(body) {
			if _, err := m.Update(body[:n], "alice", now); !errors.Is(err, share.ErrCorrupt) {
				t.Errorf("%s: %d of %d bytes: %v", what, n, len(body), err)
			}
		}
	}
}

// TestRetentionsTravel: what is below nothing is nothing, parts of a millisecond are one, and more than what is kept at all is that.
func TestRetentionsTravel(t *testing.T) {
	for given, want := range map[share.Retention]share.Retention{
		{Versions: -5, Age: -time.Hour}:             {},
		{Versions: 1 << 40, Age: 1}:                 {Versions: share.MaxHistory, Age: time.Millisecond},
		{Versions: 2, Age: 1<<63 - 1}:               {Versions: 2, Age: (1<<63 - 1) / time.Millisecond * time.Millisecond},
		{Versions: 2, Age: 1500 * time.Microsecond}: {Versions: 2, Age: 2 * time.Millisecond},
	} {
		u := someUpdate(time.Now())
		u.Retention = given
		m, body, err := wire.SetHeadOf(u, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if got, err := m.Update(body, "", time.Now()); err != nil || got.Retention != want {
			t.Errorf("%+v travels as %+v, %v; want %+v", given, got.Retention, err, want)
		}
	}
}

func TestBodiesTooLarge(t *testing.T) {
	now := time.Now()
	large := share.WholeShare{Data: make([]byte, share.MaxWholeShare+1)}
	many := make([]share.WholeShare, share.MaxBatchBytes/share.MaxWholeShare+1)
	for i := range many {
		many[i].Data = large.Data[:share.MaxWholeShare]
	}
	for what, shares := range map[string][]share.WholeShare{
		"a large share": {large}, "many bytes": many, "many shares": make([]share.WholeShare, share.MaxBatchShares+1),
	} {
		u := someUpdate(now)
		u.Shares = shares
		if _, _, err := wire.SetHeadOf(u, now); !errors.Is(err, share.ErrTooLarge) {
			t.Errorf("%s in an update: %v", what, err)
		}
		if _, _, err := wire.PutOf(shares, share.Lease{}, now); !errors.Is(err, share.ErrTooLarge) {
			t.Errorf("%s in a batch: %v", what, err)
		}
		if len(shares) > share.MaxBatchShares {
			continue
		}
		if _, _, err := wire.ParseShares(wire.AppendShares(nil, shares), len(shares)); !errors.Is(err, share.ErrTooLarge) {
			t.Errorf("%s read: %v", what, err)
		}
	}
	if _, _, err := wire.ParseRecord(wire.AppendRecord(nil, make([]byte, share.MaxHeadRecord+1))); !errors.Is(err, share.ErrTooLarge) {
		t.Errorf("a large record: %v", err)
	}
	if _, err := wire.ParseHeldHeads([]byte{0, 0, 1, 1}, 1); !errors.Is(err, share.ErrTooLarge) {
		t.Errorf("257 shares of a head: %v", err)
	}
}

// TestReadBody reads bodies of several lengths from their frames, and ones that are cut, too long, or of frames of other lengths.
func TestReadBody(t *testing.T) {
	for _, n := range []int{0, 1, wire.MaxData - 1, wire.MaxData, wire.MaxData + 1, 3*wire.MaxData + 5} {
		body := bytes.Repeat([]byte{3, 1, 4}, n/3+1)[:n]
		frames := wire.AppendBody(nil, body)
		moved := 0
		r := wire.NewReader(bytes.NewReader(frames))
		got, err := r.ReadBody(n, func() { moved++ })
		if err != nil || !bytes.Equal(got, body) || moved != (n+wire.MaxData-1)/wire.MaxData || r.Wait() != io.EOF {
			t.Errorf("a body of %d bytes: %d bytes in %d frames, %v", n, len(got), moved, err)
		}
		r.Free()
		for what, broken := range map[string][]byte{
			"cut": frames[:max(len(frames)-1, 0)], "of other frames": append([]byte{3, 0, 0, 0, 1, 9}, frames...), "of no data": {1, 0, 0, 0, 0},
		} {
			r := wire.NewReader(bytes.NewReader(broken))
			if _, err := r.ReadBody(max(n, 2), func() {}); err == nil {
				t.Errorf("a body of %d bytes, %s, was read", n, what)
			}
			r.Free()
		}
	}
}

// TestFailuresTravel: each error reaches its share, in messages that fit into a frame.
func TestFailuresTravel(t *testing.T) {
	errs := make([]error, 1000)
	for i := range errs {
		if i%3 != 0 {
			errs[i] = share.ErrCorrupt
		}
	}
	stored, messages := wire.FailuresOf(errs)
	seen := 0
	for _, m := range messages {
		if _, err := wire.Append(nil, m); err != nil {
			t.Fatal(err)
		}
		for _, f := range m.Entries {
			if errs[f.At] == nil || !errors.Is(f.Err(), share.ErrCorrupt) {
				t.Errorf("share %d: %v", f.At, f.Err())
			}
			seen++
		}
	}
	if want := 666; seen != want || stored.Failed != want {
		t.Errorf("%d of %d failures, want %d", seen, stored.Failed, want)
	}
}

// FuzzBodies reads a body as everything that a body may be. What is accepted is what is written again.
func FuzzBodies(f *testing.F) {
	m, body, err := wire.SetHeadOf(someUpdate(time.Now()), time.Now())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(body, uint8(m.Shares))
	f.Add(wire.AppendShares(nil, wholes(1, 0)), uint8(2))
	f.Add(wire.AppendHeldHeads(nil, []share.HeldHead{{Record: []byte("x"), Shares: wholes(2)}, {}}), uint8(2))
	f.Add(wire.AppendRecord(wire.AppendRecord(nil, []byte("x")), []byte("yz")), uint8(2))
	f.Fuzz(func(t *testing.T, body []byte, n uint8) {
		same := func(what string, again []byte, err error) {
			if err != nil {
				if !errors.Is(err, share.ErrCorrupt) && !errors.Is(err, share.ErrTooLarge) {
					t.Errorf("%s: an error without a cause: %v", what, err)
				}
			} else if !bytes.Equal(again, body) {
				t.Errorf("%s: %x is written as %x", what, body, again)
			}
		}
		shares, rest, err := wire.ParseShares(body, int(n))
		same("shares", append(wire.AppendShares(nil, shares), rest...), err)
		list, rest, err := wire.ParseIndexes(body, int(n))
		same("indexes", append(wire.AppendIndexes(nil, list), rest...), err)
		held, err := wire.ParseHeldHeads(body, int(n))
		same("heads", wire.AppendHeldHeads(nil, held), err)
		records, err := wire.ParseRecords(body, int(n))
		var again []byte
		for _, r := range records {
			again = wire.AppendRecord(again, r)
		}
		same("records", again, err)
		message := wire.SetHead{Adds: int(n) / 16, Drops: int(n) % 4, Shares: int(n) % 16, Body: len(body)}
		u, err := message.Update(body, "", time.Now())
		same("update", wire.AppendShares(wire.AppendIndexes(wire.AppendIndexes(nil, u.Adds), u.Drops), u.Shares), err)
	})
}

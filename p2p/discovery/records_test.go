package discovery

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"

	"cairn/share"
)

var epoch = time.Unix(1700000000, 0)

func keys(first, n int) []fileKey {
	list := make([]fileKey, n)
	for i := range list {
		list[i] = fileKey(first + i)
	}
	return list
}

func mustPut(t *testing.T, r *records, id string, list []fileKey, at time.Time) {
	t.Helper()
	if err := r.put(peer.ID(id), []byte{0}, list, at); err != nil {
		t.Fatal(err)
	}
}

func who(r *records, key fileKey, at time.Time) (ids []string) {
	for _, s := range r.get(key, MaxProviders, at) {
		ids = append(ids, string(s.id))
	}
	slices.Sort(ids)
	return ids
}

func TestRecordsExpire(t *testing.T) {
	r := newRecords(100, epoch)
	mustPut(t, r, "a", keys(0, 2), epoch)
	mustPut(t, r, "b", keys(1, 2), epoch)
	mustPut(t, r, "a", keys(0, 1), epoch.Add(24*time.Hour)) // again, but not the other one
	if got := who(r, 1, epoch.Add(recordAge)); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("holders after two days: %v", got)
	}
	late := epoch.Add(recordAge + 2*time.Hour)
	for expired := range 2 { // whether they are only too old, or dropped as well
		if a, b := who(r, 0, late), who(r, 1, late); !slices.Equal(a, []string{"a"}) || len(b) != 0 {
			t.Errorf("expired %d: holders after more than two days: %v and %v, want a of the first file only", expired, a, b)
		}
		r.expire(late)
	}
	if r.size() != 1 || len(r.numbers) != 1 {
		t.Errorf("%d records of %d members are kept, want 1 of 1", r.size(), len(r.numbers))
	}
	mustPut(t, r, "c", keys(0, 1), late)
	if got := who(r, 0, late); !slices.Equal(got, []string{"a", "c"}) || len(r.by) != 2 {
		t.Errorf("holders %v with %d numbers, want a and c with the number of b used again", got, len(r.by))
	}
}

func TestRecordsAreSharedOut(t *testing.T) {
	r := newRecords(100, epoch)
	if err := r.put("greedy", nil, keys(0, 1000), epoch); !errors.Is(err, share.ErrNoSpace) {
		t.Fatalf("a thousand records: %v, want ErrNoSpace", err)
	}
	for i := range 9 {
		mustPut(t, r, fmt.Sprint("modest ", i), keys(0, 10), epoch)
	}
	if err := r.put("greedy", nil, keys(2000, 1), epoch); !errors.Is(err, share.ErrNoSpace) {
		t.Errorf("one more: %v, want ErrNoSpace", err)
	}
	if r.size() > 200 {
		t.Errorf("%d records are kept, want at most 200", r.size())
	}
	if got := len(r.get(0, MaxProviders, epoch)); got != 10 {
		t.Errorf("%d holders, want 10", got)
	}
	if got := len(r.get(0, 3, epoch)); got != 3 {
		t.Errorf("%d holders, want no more than 3", got)
	}
}

func TestAddressesAreBounded(t *testing.T) {
	var list []multiaddr.Multiaddr
	for i := range 20 {
		list = append(list, multiaddr.StringCast(fmt.Sprintf("/ip4/10.0.0.%d/tcp/4001", i)))
	}
	got, err := readAddresses(bufio.NewReader(bytes.NewReader(encodeAddresses(list))))
	if err != nil || len(got) != maxAddresses || !got[7].Equal(list[7]) {
		t.Errorf("%d addresses, %v; want the first %d", len(got), err, maxAddresses)
	}
}

// FuzzAnswer feeds what a member may send, to both sides of the protocol.
func FuzzAnswer(f *testing.F) {
	address := encodeAddresses([]multiaddr.Multiaddr{multiaddr.StringCast("/ip4/10.0.0.1/tcp/4001")})
	f.Add(append(append([]byte{giveKind}, address...), 0, 0, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8))
	f.Add([]byte{askKind, 1, 2, 3, 4, 5, 6, 7, 8})
	f.Add([]byte{giveKind, 0, 0xff, 0xff, 0xff, 0xff})
	f.Add([]byte{giveKind, 200})
	f.Add([]byte{1, 3, 0, 1, 'a', 0})
	f.Add([]byte{200})
	f.Fuzz(func(t *testing.T, data []byte) {
		if addresses, keys, err := readGiven(bufio.NewReader(bytes.NewReader(data))); err == nil {
			again := append(slices.Clone(addresses), binary.BigEndian.AppendUint32(nil, uint32(len(keys)))...)
			for _, key := range keys {
				again = binary.BigEndian.AppendUint64(again, uint64(key))
			}
			if !bytes.HasPrefix(data, again) {
				t.Errorf("%x was read as %x", data, again)
			}
		}
		if named, err := readNamed(bufio.NewReader(bytes.NewReader(data))); err == nil {
			if again := appendNamed(nil, named); !bytes.HasPrefix(data, again) {
				t.Errorf("%x was read as %x", data, again)
			}
		}
	})
}

// BenchmarkRecords measures the memory of a million records, of files that one and that ten members announced, and of a
// million files that this node announces.
func BenchmarkRecords(b *testing.B) {
	const count = 1 << 20
	for _, holders := range []int{1, 10} {
		b.Run(fmt.Sprintf("holders=%d", holders), func(b *testing.B) {
			for b.Loop() {
				r, before := newRecords(count, epoch), heap()
				for i := range holders {
					random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // measures memory
					for range count / holders {
						if err := r.put(peer.ID(fmt.Sprint(i)), nil, []fileKey{fileKey(random.Uint64())}, epoch); err != nil {
							b.Fatal(err)
						}
					}
				}
				b.ReportMetric(float64(heap()-before)/float64(r.size()), "B/record")
			}
		})
	}
	b.Run("own", func(b *testing.B) {
		for b.Loop() {
			before, a := heap(), newAnnouncer(nil)
			for range count / 1024 {
				batch := make([]place, 1024)
				for i := range batch {
					batch[i] = fileKey(rand.Uint64()).place()
				}
				a.add(batch)
				a.take()
			}
			b.ReportMetric(float64(heap()-before)/count, "B/file")
			runtime.KeepAlive(a)
		}
	})
}

func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

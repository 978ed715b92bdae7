package storage_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"

	"cairn/p2p"
	"cairn/p2p/storage"
	"cairn/p2p/wire"
	"cairn/share"
	"cairn/share/memory"
	"cairn/share/storetest"
)

// setHead is a whole update, with share 1 of the file, as a peer sends it.
func setHead(t testing.TB, f *storetest.File) []byte {
	t.Helper()
	u := storetest.NewMutable(1).Next(f.Index, "")
	u.Shares = []share.WholeShare{f.Whole(1)}
	m, body, err := wire.SetHeadOf(u, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return wire.AppendBody(frames(t, m), body)
}

// put is a whole batch as a peer sends it.
func put(t testing.TB, shares ...share.WholeShare) []byte {
	t.Helper()
	m, body, err := wire.PutOf(shares, share.Lease{Expires: time.Now().Add(time.Hour)}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return wire.AppendBody(frames(t, m), body)
}

// TestHeadViolations sends what the protocols of heads and batches do not allow.
func TestHeadViolations(t *testing.T) {
	p := newPair(t)
	f := storetest.NewFile(t, 1, 1, 2, 4096, 10)
	data := wire.AppendBody(nil, make([]byte, 10))
	for _, c := range []struct {
		what, name string
		bytes      []byte
		want       error
	}{
		{"a batch among heads", storage.Head, put(t, f.Whole(0)), share.ErrCorrupt},
		{"a head among batches", storage.Batch, setHead(t, f), share.ErrCorrupt},
		{"a head among questions", storage.Ask, setHead(t, f), share.ErrCorrupt},
		{"an answer", storage.Head, frames(t, wire.Conflict{}), share.ErrCorrupt},
		{"a body without a request", storage.Batch, data, share.ErrCorrupt},
		{"a body of other shares", storage.Batch, append(frames(t, wire.Put{Shares: 2, Body: 10}), data...), share.ErrCorrupt},
		{"a body that is too long", storage.Batch, append(frames(t, wire.Put{Body: 10}), data...), share.ErrCorrupt},
		{"another frame in a body", storage.Batch, append(frames(t, wire.Put{Shares: 1, Body: 20}), data...), share.ErrCorrupt},
		{"indexes that are missing", storage.Head, append(frames(t, wire.SetHead{Adds: 1, Body: 10}), data...), share.ErrCorrupt},
		{"a question in a body", storage.Head, frames(t, wire.SetHead{Body: 10}, wire.History{}), share.ErrCorrupt},
		{"a huge share", storage.Batch, wire.AppendBody(frames(t, wire.Put{Shares: 1, Body: 37}), append(make([]byte, 33), 0, 2, 0, 1)), share.ErrTooLarge},
		{"a huge body", storage.Batch, []byte{0x50, 0, 0, 0, 11, 0xa3, 1, 1, 2, 0x1a, 0, 0xff, 0xff, 0xff, 3, 3}, share.ErrTooLarge},
		{"a field of a later version", storage.Head, []byte{0x44, 0, 0, 0, 3, 0xa1, 0x09, 0x01}, share.ErrVersion},
	} {
		s := p.raw(t, c.name)
		s.say(c.bytes)
		if err := s.hear(); !errors.Is(err, c.want) {
			t.Errorf("%s: %v; want %v", c.what, err, c.want)
		}
		if err := s.hear(); err == nil {
			t.Errorf("%s: the stream goes on", c.what)
		}
	}
	p.mustWork(t)
}

// TestOlderPeer: a peer whose store keeps no heads and takes no batches says so, as one of an older version does.
func TestOlderPeer(t *testing.T) {
	p := connect(t, struct{ share.Store }{memory.New(memory.Options{})}, storage.ServerOptions{}, storage.ClientOptions{})
	m := storetest.NewMutable(1)
	_, heads := p.client.Heads(t.Context(), []share.Name{m.Name}, true)
	_, history := p.client.History(t.Context(), m.Name, 0)
	_, fetched := p.client.Fetch(t.Context(), []share.StorageIndex{{1}})
	_, stored := p.client.Put(t.Context(), nil, share.Lease{})
	for what, err := range map[string]error{
		"heads": heads, "history": history, "fetch": fetched, "put": stored, "set head": p.client.SetHead(t.Context(), m.Next(share.StorageIndex{1}, "")),
	} {
		if !errors.Is(err, share.ErrVersion) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := p.client.Numbers(t.Context(), []share.StorageIndex{{1}}); err != nil {
		t.Errorf("what the peer does speak: %v", err)
	}
}

// countingStreams counts the streams about heads that peers open.
type countingStreams struct {
	older
	opened atomic.Int64
}

func (c *countingStreams) Handle(name string, handler func(network.Stream)) {
	c.older.Handle(name, func(s network.Stream) {
		if name == storage.Head {
			c.opened.Add(1)
		}
		handler(s)
	})
}

// TestHistorySinceUnknown: a peer of an older version, which does not know the question for a part of a history, gives all of it, and is not
// asked for parts again at once.
func TestHistorySinceUnknown(t *testing.T) {
	far := hostAt(t, tcp)
	near := hostAt(t, tcp, far.Addresses()...)
	old := storage.NewServer(memory.New(memory.Options{}), storage.ServerOptions{})
	streams := &countingStreams{older: older{far, wire.KindSince}}
	old.Register(streams)
	t.Cleanup(func() { old.Close() })
	client := storage.NewClient(near, far.ID(), storage.ClientOptions{})
	t.Cleanup(func() { client.Close() })
	m := storetest.NewMutable(1)
	m.Keep = share.Retention{Versions: 10, Age: time.Hour}
	for i := range 3 {
		u := m.Next(share.StorageIndex{byte(i + 1)}, "")
		if err := client.SetHead(t.Context(), u); err != nil {
			t.Fatal(err)
		}
		m.Advance(u)
	}
	for range 3 {
		if records, err := client.History(t.Context(), m.Name, 3); err != nil || len(records) != 3 {
			t.Errorf("history: %d records, %v; want all 3", len(records), err)
		}
	}
	if n := streams.opened.Load(); n != 2 {
		t.Errorf("%d streams, want one that the unknown question ends and one for the rest", n)
	}
}

// TestSignedRetention: what is kept is what the record says, whoever hands it over.
func TestSignedRetention(t *testing.T) {
	store := memory.New(memory.Options{})
	p := connect(t, store, storage.ServerOptions{}, storage.ClientOptions{})
	m := storetest.NewMutable(1)
	m.Keep = share.Retention{Versions: 3, Age: time.Hour}
	for i := range 4 {
		u := m.Next(share.StorageIndex{byte(i + 1)}, "")
		u.Retention = share.Retention{Versions: 1}
		if err := p.client.SetHead(t.Context(), u); err != nil {
			t.Fatal(err)
		}
		m.Advance(u)
	}
	if records, err := p.client.History(t.Context(), m.Name, 0); err != nil || len(records) != 4 {
		t.Errorf("%d versions are held, %v; none was replaced an hour ago", len(records), err)
	}
}

// TestHeadOwner keeps leases under the identity that the connection authenticated.
func TestHeadOwner(t *testing.T) {
	store := memory.New(memory.Options{})
	var mu sync.Mutex
	told := map[share.StorageIndex]bool{}
	p := connect(t, store, storage.ServerOptions{OnCommit: func(index share.StorageIndex) {
		mu.Lock()
		defer mu.Unlock()
		told[index] = true
	}}, storage.ClientOptions{})
	f, g, bad := storetest.NewFile(t, 1, 1, 2, 4096, 500), storetest.NewFile(t, 2, 1, 2, 4096, 500), storetest.NewFile(t, 3, 1, 2, 4096, 500)
	u := storetest.NewMutable(1).Next(f.Index, "somebody else")
	u.Shares = []share.WholeShare{f.Whole(0)}
	if err := p.client.SetHead(t.Context(), u); err != nil {
		t.Fatal(err)
	}
	spoilt := bad.Whole(0)
	spoilt.Data[0] ^= 1
	errs, err := p.client.Put(t.Context(), []share.WholeShare{spoilt, g.Whole(0)}, share.Lease{Owner: "somebody else", Expires: time.Now().Add(time.Hour)})
	if err != nil || !errors.Is(errs[0], share.ErrCorrupt) || errs[1] != nil {
		t.Fatalf("put: %v, %v", errs, err)
	}
	for _, index := range []share.StorageIndex{f.Index, g.Index} {
		leases, err := store.Leases(t.Context(), index)
		if err != nil || len(leases) != 1 || leases[0].Owner != p.owner() {
			t.Errorf("leases: %v, %v; want one of %s", leases, err, p.owner())
		}
	}
	if !told[f.Index] || !told[g.Index] || told[bad.Index] {
		t.Errorf("told of %v", told)
	}
}

// TestHeadQuota refuses heads and batches beyond the quota, leaves nothing of them, and takes again what is there.
func TestHeadQuota(t *testing.T) {
	p, q := connectWithin(t, 6000)
	f, g := storetest.NewFile(t, 1, 1, 2, 4096, 3000), storetest.NewFile(t, 2, 1, 2, 4096, 3000)
	m := storetest.NewMutable(1)
	u := m.Next(f.Index, "")
	u.Shares = []share.WholeShare{f.Whole(0)}
	if err := p.client.SetHead(t.Context(), u); err != nil {
		t.Fatal(err)
	}
	m.Advance(u)
	used := int64(len(u.Record) + len(f.Share(0)))
	q.wantUsed(t, p.owner(), used)
	l := share.Lease{Expires: time.Now().Add(time.Hour)}
	next := m.Next(g.Index, "")
	next.Shares = []share.WholeShare{g.Whole(0)}
	wantQuota(t, "another version", p.client.SetHead(t.Context(), next), 6000)
	_, err := p.client.Put(t.Context(), []share.WholeShare{g.Whole(0)}, l)
	wantQuota(t, "a batch", err, 6000)
	if errs, err := p.client.Put(t.Context(), []share.WholeShare{f.Whole(0)}, l); err != nil || errs[0] != nil {
		t.Errorf("what is there already: %v, %v", errs, err)
	}
	if errs, err := q.store.Put(t.Context(), []share.WholeShare{g.Whole(1)}, share.Lease{Owner: "bob", Expires: l.Expires}); err != nil || errs[0] != nil {
		t.Fatal(errs, err)
	}
	lease := m.Next(g.Index, "")
	wantQuota(t, "a lease on what another stored", p.client.SetHead(t.Context(), lease), 6000)
	q.wantUsed(t, p.owner(), used)
	q.limit.Store(20_000)
	if err := p.client.SetHead(t.Context(), next); err != nil {
		t.Errorf("with a larger quota: %v", err)
	}
}

// TestHeadQuotaTogether sets many heads at once with room for some of them: no more than fit are taken, and no fewer.
func TestHeadQuotaTogether(t *testing.T) {
	const room = 5
	p, q := connectWithin(t, 0)
	record := int64(len(storetest.NewMutable(0).Next(share.StorageIndex{1}, "").Record))
	q.limit.Store(room*record + record/2)
	var group sync.WaitGroup
	var taken atomic.Int64
	for i := range 3 * room {
		group.Go(func() {
			u := storetest.NewMutable(uint64(i)).Next(share.StorageIndex{1}, "")
			switch err := p.client.SetHead(t.Context(), u); {
			case err == nil:
				taken.Add(1)
			case !errors.Is(err, share.ErrQuota):
				t.Errorf("head %d: %v", i, err)
			}
		})
	}
	group.Wait()
	if taken.Load() != room {
		t.Errorf("%d heads were taken, there is room for %d", taken.Load(), room)
	}
	q.wantUsed(t, p.owner(), room*record)
}

// A lossyHost loses the answer of one read of its streams.
type lossyHost struct {
	*p2p.Host
	after atomic.Int64
}

type lossyStream struct {
	network.Stream
	host *lossyHost
}

func (h *lossyHost) Stream(ctx context.Context, id share.ServerID, name string) (network.Stream, error) {
	s, err := h.Host.Stream(ctx, id, name)
	return &lossyStream{s, h}, err
}

func (s *lossyStream) Read(p []byte) (int, error) {
	if s.host.after.Add(-1) == 0 { // the server has done what was asked; its answer is lost
		n, _ := s.Stream.Read(p)
		_ = s.Stream.Reset()
		return 0, fmt.Errorf("the answer of %d bytes is lost: %w", n, share.ErrUnavailable)
	}
	return s.Stream.Read(p)
}

// TestHeadAnswerLost: what is repeated after a stream broke succeeds, although the first attempt did already.
func TestHeadAnswerLost(t *testing.T) {
	p := newPair(t)
	host := &lossyHost{Host: p.near}
	client := storage.NewClient(host, p.far.ID(), storage.ClientOptions{Questions: 1})
	t.Cleanup(func() { client.Close() })
	m := storetest.NewMutable(1)
	set := func() error {
		u := m.Next(share.StorageIndex{1, byte(m.Head.Sequence)}, "")
		err := client.SetHead(t.Context(), u)
		m.Advance(u)
		return err
	}
	if err := set(); err != nil {
		t.Fatal(err)
	}
	host.after.Store(1)
	if err := set(); err != nil {
		t.Errorf("on a kept stream: %v", err)
	}
	held, err := client.Heads(t.Context(), []share.Name{m.Name}, false)
	if err != nil || !bytes.Equal(held[0].Record, m.Record) {
		t.Errorf("the head is another, %v", err)
	}
}

// TestLargeBatches sends more large batches at once than the server takes.
func TestLargeBatches(t *testing.T) {
	p := connect(t, memory.New(memory.Options{}), storage.ServerOptions{Bodies: 1}, storage.ClientOptions{})
	base := storetest.NewFile(t, 1, 1, 2, 64<<10, 100<<10)
	other := p.newClient(t, storage.ClientOptions{})
	var group sync.WaitGroup
	for i := range 6 {
		client := []*storage.Client{p.client, other}[i%2]
		group.Go(func() {
			var shares []share.WholeShare
			var indexes []share.StorageIndex
			for j := range 10 {
				f, _ := base.Renamed(uint64(i*100 + j))
				shares, indexes = append(shares, f.Whole(0)), append(indexes, f.Index)
			}
			errs, err := client.Put(t.Context(), shares, share.Lease{Expires: time.Now().Add(time.Hour)})
			if err := errors.Join(append(errs, err)...); err != nil {
				t.Errorf("batch %d: %v", i, err)
			}
			got, err := client.Fetch(t.Context(), indexes)
			if err != nil {
				t.Errorf("fetch %d: %v", i, err)
				return
			}
			for j := range shares {
				if len(got[j]) != 1 || !bytes.Equal(got[j][0].Data, shares[j].Data) {
					t.Errorf("batch %d, share %d: another", i, j)
				}
			}
		})
	}
	group.Wait()
}

// BenchmarkSetHead measures updates of small mutable files, each with a share, one after the other and eight at a time.
func BenchmarkSetHead(b *testing.B) {
	for _, writers := range []int{1, 8} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			p := newPair(b)
			f := storetest.NewFile(b, 1, 1, 2, 4096, 1000)
			var updates [][]share.HeadUpdate
			for w := range writers {
				m := storetest.NewMutable(uint64(w))
				var mine []share.HeadUpdate
				for range b.N/writers + 1 {
					u := m.Next(f.Index, "")
					u.Shares = []share.WholeShare{f.Whole(0)}
					m.Advance(u)
					mine = append(mine, u)
				}
				updates = append(updates, mine)
			}
			b.ResetTimer()
			var group sync.WaitGroup
			for _, mine := range updates {
				group.Go(func() {
					for _, u := range mine {
						if err := p.client.SetHead(b.Context(), u); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			group.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "updates/s")
		})
	}
}

package storage_test

import (
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

// A testQuota grants every peer the same.
type testQuota struct {
	store  *memory.Store
	limit  atomic.Int64
	denied atomic.Bool
}

func (q *testQuota) Standing(ctx context.Context, peer share.ServerID) (share.Standing, error) {
	if q.denied.Load() {
		return share.Standing{}, fmt.Errorf("%w: nothing is stored for you here", share.ErrDenied)
	}
	used, err := q.store.UsageOf(ctx, string(peer))
	return share.Standing{Used: used, Limit: q.limit.Load()}, err
}

func connectWithin(t *testing.T, limit int64) (*pair, *testQuota) {
	t.Helper()
	q := &testQuota{store: memory.New(memory.Options{})}
	q.limit.Store(limit)
	return connect(t, q.store, storage.ServerOptions{Quota: q}, storage.ClientOptions{}), q
}

func wantQuota(t *testing.T, what string, err error, limit int64) {
	t.Helper()
	q, ok := errors.AsType[*share.QuotaError](err)
	if !ok || !errors.Is(err, share.ErrQuota) || !errors.Is(err, share.ErrDenied) {
		t.Errorf("%s: got %v, want a quota error", what, err)
		return
	}
	if q.Limit != limit || q.Used+q.Asked <= limit {
		t.Errorf("%s: %+v does not exceed the limit of %d", what, *q, limit)
	}
}

func (q *testQuota) wantUsed(t *testing.T, owner string, want int64) {
	t.Helper()
	if got, err := q.store.UsageOf(t.Context(), owner); err != nil || got != want {
		t.Errorf("%d bytes are used, %v; want %d", got, err, want)
	}
}

// TestQuotaKnownSize refuses a share that does not fit when its upload begins, before any of it is sent, and leaves nothing.
func TestQuotaKnownSize(t *testing.T) {
	p, q := connectWithin(t, 100_000)
	first, second := storetest.NewFile(t, 1, 1, 3, 4096, 60_000), storetest.NewFile(t, 2, 1, 3, 4096, 60_000)
	if err := first.Put(t.Context(), p.client, 0, ""); err != nil {
		t.Fatal(err)
	}
	w, err := p.client.Create(t.Context(), second.Upload(0, ""))
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.Have(t.Context())
	wantQuota(t, "a second share", err, 100_000)
	w.Close()
	if !p.client.Refused() {
		t.Error("a refusal is forgotten at once")
	}
	q.wantUsed(t, p.owner(), int64(len(first.Share(0))))
	if progress, err := p.client.Uploads(t.Context(), "", second.Key.UploadID()); err != nil || len(progress) != 0 && progress[0].Blocks != 0 {
		t.Errorf("the refused upload left %v, %v", progress, err)
	}
	small := storetest.NewFile(t, 3, 1, 3, 4096, 20_000)
	if err := small.Put(t.Context(), p.client, 0, ""); err != nil {
		t.Errorf("a share that fits: %v", err)
	}
	if p.client.Refused() {
		t.Error("the peer took a share, and is taken to refuse")
	}
	q.limit.Store(200_000)
	if err := second.Put(t.Context(), p.client, 0, ""); err != nil {
		t.Errorf("with a larger quota: %v", err)
	}
}

// TestQuotaUnknownSize reaches the quota in the middle of a stream: what was taken before is within it, and the upload goes on
// there once the quota is larger.
func TestQuotaUnknownSize(t *testing.T) {
	const limit = 50_000
	p, q := connectWithin(t, limit)
	f := storetest.NewFile(t, 1, 1, 3, 4096, 100_000)
	u := f.Upload(1, "")
	u.Size = -1
	w, err := p.client.Create(t.Context(), u)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Have(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err = f.Append(t.Context(), w, 1, 0, f.Segments()); err == nil {
		err = w.Commit(t.Context(), f.Root)
	}
	wantQuota(t, "a stream", err, limit)
	w.Close()
	used, err := q.store.UsageOf(t.Context(), p.owner())
	if err != nil || used > limit || used < limit-5000 {
		t.Errorf("%d bytes are used, %v; want up to %d", used, err, limit)
	}
	q.limit.Store(share.NoLimit)
	w, err = p.client.Create(t.Context(), u)
	if err != nil {
		t.Fatal(err)
	}
	have, err := w.Have(t.Context())
	if err != nil || have != 11 {
		t.Fatalf("have %d, %v; want 11 blocks", have, err)
	}
	if err := f.Append(t.Context(), w, 1, have, f.Segments()); err != nil {
		t.Fatal(err)
	}
	if err := w.Commit(t.Context(), f.Root); err != nil {
		t.Errorf("with a larger quota: %v", err)
	}
	q.wantUsed(t, p.owner(), int64(len(f.Share(1))))
}

// TestQuotaResumed resumes an upload of which most is there in a quota that has room for it once, not twice.
func TestQuotaResumed(t *testing.T) {
	f := storetest.NewFile(t, 1, 1, 3, 4096, 100_000)
	p, _ := connectWithin(t, int64(len(f.Share(0)))+1000)
	for _, end := range []int64{20, f.Segments()} {
		w, err := p.client.Create(t.Context(), f.Upload(0, ""))
		if err != nil {
			t.Fatal(err)
		}
		have, err := w.Have(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Append(t.Context(), w, 0, have, end); err != nil {
			t.Fatal(err)
		}
		if end == f.Segments() {
			err = w.Commit(t.Context(), f.Root)
		} else {
			err = w.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestQuotaLeases refuses leases on shares that others have brought, by a renewal and by a commit, and renews what the peer
// has, even beyond a quota that was lowered.
func TestQuotaLeases(t *testing.T) {
	p, q := connectWithin(t, 50_000)
	own, other := storetest.NewFile(t, 1, 1, 3, 4096, 30_000), storetest.NewFile(t, 2, 1, 3, 4096, 30_000)
	if err := own.Put(t.Context(), p.client, 0, ""); err != nil {
		t.Fatal(err)
	}
	if err := other.Put(t.Context(), q.store, 0, "bob"); err != nil {
		t.Fatal(err)
	}
	renew := func(files ...*storetest.File) error {
		var indexes []share.StorageIndex
		for _, f := range files {
			indexes = append(indexes, f.Index)
		}
		return p.client.Renew(t.Context(), indexes, share.Lease{Expires: time.Now().Add(100 * 24 * time.Hour)})
	}
	wantQuota(t, "a lease on another's share", renew(own, other), 50_000)
	q.wantUsed(t, p.owner(), int64(len(own.Share(0))))
	if leases, err := q.store.Leases(t.Context(), other.Index); err != nil || len(leases) != 1 {
		t.Errorf("leases on another's file: %v, %v", leases, err)
	}
	if err := renew(own); err != nil {
		t.Errorf("renew what is there: %v", err)
	}
	q.limit.Store(10_000)
	if err := renew(own); err != nil {
		t.Errorf("renew what is there, beyond the quota: %v", err)
	}
	small := storetest.NewFile(t, 3, 1, 3, 4096, 10)
	wantQuota(t, "the smallest share beyond the quota", small.Put(t.Context(), p.client, 0, ""), 10_000)

	// A share of a file of which somebody else holds another: the lease is for both.
	q.limit.Store(80_000)
	if err := other.Put(t.Context(), p.client, 1, ""); err == nil {
		t.Error("a commit has brought a lease on more than the quota")
	} else {
		wantQuota(t, "a commit", err, 80_000)
	}
	q.limit.Store(120_000)
	if err := other.Put(t.Context(), p.client, 1, ""); err != nil {
		t.Errorf("a commit within the quota: %v", err)
	}
	q.wantUsed(t, p.owner(), int64(len(own.Share(0))+2*len(other.Share(0))))
}

// TestQuotaTogether begins many uploads at once, of which some fit: those and no others are taken.
func TestQuotaTogether(t *testing.T) {
	const files, fit = 12, 5
	first := storetest.NewFile(t, 0, 1, 3, 4096, 20_000)
	limit := int64(fit)*int64(len(first.Share(0))+600) + 100
	p, q := connectWithin(t, limit)
	var taken atomic.Int32
	var group sync.WaitGroup
	for i := range files {
		f := storetest.NewFile(t, uint64(i), 1, 3, 4096, 20_000)
		group.Go(func() {
			err := f.Put(t.Context(), p.client, 0, "")
			if err == nil {
				taken.Add(1)
			} else {
				wantQuota(t, "put", err, limit)
			}
		})
	}
	group.Wait()
	if n := taken.Load(); n != fit {
		t.Errorf("%d shares were taken, %d fit", n, fit)
	}
	if used, err := q.store.UsageOf(t.Context(), p.owner()); err != nil || used > limit {
		t.Errorf("%d bytes are used, %v; the limit is %d", used, err, limit)
	}
}

// TestStanding asks how the peer stands.
func TestStanding(t *testing.T) {
	p, q := connectWithin(t, 100_000)
	f := storetest.NewFile(t, 1, 1, 3, 4096, 10_000)
	if err := f.Put(t.Context(), p.client, 0, ""); err != nil {
		t.Fatal(err)
	}
	want := share.Standing{Used: int64(len(f.Share(0))), Limit: 100_000}
	if got, err := p.client.Standing(t.Context()); err != nil || got != want {
		t.Errorf("standing %+v, %v; want %+v", got, err, want)
	}
	q.denied.Store(true)
	if got, err := p.client.Standing(t.Context()); !errors.Is(err, share.ErrDenied) || errors.Is(err, share.ErrQuota) {
		t.Errorf("standing of one who is refused: %+v, %v", got, err)
	}
	if err := storetest.NewFile(t, 2, 1, 3, 4096, 10).Put(t.Context(), p.client, 0, ""); !errors.Is(err, share.ErrDenied) || errors.Is(err, share.ErrQuota) {
		t.Errorf("put of one who is refused: %v", err)
	}
	if err := f.Check(t.Context(), p.client, 0); err != nil {
		t.Errorf("what is stored for one who is refused: %v", err)
	}

	open := newPair(t)
	if err := f.Put(t.Context(), open.client, 0, ""); err != nil {
		t.Fatal(err)
	}
	want.Limit = share.NoLimit
	if got, err := open.client.Standing(t.Context()); err != nil || got != want {
		t.Errorf("standing without a quota %+v, %v; want %+v", got, err, want)
	}
	plain := connect(t, struct{ share.Store }{memory.New(memory.Options{})}, storage.ServerOptions{}, storage.ClientOptions{})
	if got, err := plain.client.Standing(t.Context()); !errors.Is(err, share.ErrDenied) {
		t.Errorf("standing with a store that keeps no account: %+v, %v", got, err)
	}
}

// older is a registrar for a server that does not know a question.
type older struct {
	*p2p.Host
	unknown wire.Kind
}

func (o older) Handle(name string, handler func(network.Stream)) {
	o.Host.Handle(name, func(s network.Stream) { handler(&olderStream{s, o.unknown}) })
}

// An olderStream gives the question a kind that nobody knows.
type olderStream struct {
	network.Stream
	unknown wire.Kind
}

func (s *olderStream) Read(p []byte) (int, error) {
	n, err := s.Stream.Read(p)
	if n > 0 && p[0] == byte(s.unknown) {
		p[0] = 0x7f
	}
	return n, err
}

// TestStandingUnknown asks a server of an older version, which ends the stream: the next question has another one.
func TestStandingUnknown(t *testing.T) {
	far := hostAt(t, tcp)
	near := hostAt(t, tcp, far.Addresses()...)
	old := storage.NewServer(memory.New(memory.Options{}), storage.ServerOptions{})
	old.Register(older{far, wire.KindUsage})
	t.Cleanup(func() { old.Close() })
	client := storage.NewClient(near, far.ID(), storage.ClientOptions{})
	t.Cleanup(func() { client.Close() })
	if got, err := client.Standing(t.Context()); !errors.Is(err, share.ErrVersion) {
		t.Errorf("standing: %+v, %v", got, err)
	}
	if _, err := client.Numbers(t.Context(), []share.StorageIndex{{1}}); err != nil {
		t.Errorf("the next question: %v", err)
	}
}

package s3

import (
	"context"
	"net/http"
	"sync"
	"time"

	"cairn/share"
	"cairn/share/column"
)

// WithPack returns settings with which only shares up to a size are packed.
func (c Config) WithPack(limit int64) Config {
	c.pack = limit
	return c
}

// WithPart returns settings with which parts have so many bytes.
func (c Config) WithPart(size int64) Config {
	c.part = size
	return c
}

// WithCondemned returns settings with which so many bytes of condemned shares are kept.
func (c Config) WithCondemned(most int64) Config {
	c.condemned = most
	return c
}

// WithLimits returns settings with which a request on which nothing moves is given up sooner, and one with all its repetitions too.
func (c Config) WithLimits(stall, all time.Duration) Config {
	c.stall, c.Timeout, c.closeWithin, c.slowest = stall, all, all, 1<<40
	return c
}

// WithAttempts returns settings with which a request is sent so many times at most.
func (c Config) WithAttempts(n int) Config {
	c.attempts = n
	return c
}

// WithTransport returns settings with which requests go where a test wants.
func (c Config) WithTransport(t http.RoundTripper) Config {
	c.transport = t
	return c
}

// Refresh refreshes the lock as the store does every minute.
func (s *Store) Refresh(ctx context.Context) error { return s.refresh(ctx) }

// AgeCredentials makes the credentials older.
func (s *Store) AgeCredentials(by time.Duration) {
	k := s.bucket.keys
	k.mu.Lock()
	defer k.mu.Unlock()
	k.value.Expiration, k.renew = k.value.Expiration.Add(-by), k.renew.Add(-by)
}

// AgeVerdicts makes what is remembered of examined shares older.
func (s *Store) AgeVerdicts(by time.Duration) {
	s.verdicts.mu.Lock()
	defer s.verdicts.mu.Unlock()
	for _, v := range s.verdicts.all {
		v.good = v.good.Add(-by)
	}
}

// LoseCredentials has no credentials be found any more.
func (s *Store) LoseCredentials() { s.bucket.keys.sources = nil }

// Remove deletes an object with as many attempts as any request has.
func Remove(ctx context.Context, c Config, key string) error {
	b, err := newBucket(c)
	if err != nil {
		return err
	}
	return b.remove(ctx, key)
}

// ScrubAt is Scrub at another time.
func (s *Store) ScrubAt(ctx context.Context, o ScrubOptions, now time.Time) (ScrubReport, error) {
	return s.scrub(ctx, o, now)
}

// ForgePack returns an object with a share that claims to be of another file.
func ForgePack(claimed share.StorageIndex, whole share.WholeShare) []byte {
	root := column.WholeRoot(whole.Index, whole.Data)
	var b packBuilder
	b.add(item{index: claimed, number: whole.Number, data: whole.Data, root: len(root), lease: leaseRecord{Owner: "mallory", Expires: 1 << 40}})
	return b.finish()
}

// A MonthCounter counts as a store does.
type MonthCounter struct{ months []monthRecord }

// Add counts requests that write.
func (x *MonthCounter) Add(requests, stored int64, at time.Time) {
	x.months = addMonth(x.months, [kinds]Count{kindPut: {Requests: requests}}, stored, at)
}

// Months returns all, the oldest first.
func (x *MonthCounter) Months() (all []Month) {
	for i := range x.months {
		all = append(all, x.months[i].month())
	}
	return all
}

// ReadAhead returns how many bytes are read ahead.
func (s *Store) ReadAhead() int64 { return s.ahead.Load() }

// A ReadAhead reads a share whose bytes are computed, and counts what is fetched.
type ReadAhead struct {
	*ahead
	mu       sync.Mutex // guards what follows
	requests int64
	bytes    int64
	largest  int64
}

// NewReadAheads returns readers of so many shares of one store.
func NewReadAheads(ctx context.Context, n int, size, blocks int64) []*ReadAhead {
	store := &Store{life: ctx}
	all := make([]*ReadAhead, n)
	for i := range all {
		r := &ReadAhead{}
		r.ahead = &ahead{store: store, size: size, blocks: blocks, fetch: r.get}
		all[i] = r
	}
	return all
}

func (r *ReadAhead) get(_ context.Context, p []byte, off int64, arrived func(n int)) error {
	r.mu.Lock()
	r.requests, r.bytes, r.largest = r.requests+1, r.bytes+int64(len(p)), max(r.largest, int64(len(p)))
	r.mu.Unlock()
	for left := p; len(left) > 0; {
		n := copy(left, pattern[off%int64(len(pattern)):])
		left, off = left[n:], off+int64(n)
	}
	if arrived != nil {
		arrived(len(p))
	}
	return nil
}

// pattern is what the shares repeat: no two pieces of them that are read are the same.
var pattern = func() []byte {
	p := make([]byte, 65521)
	for i := range p {
		p[i] = byte(i ^ i>>8)
	}
	return p
}()

// Read reads so many bytes at an offset, and reports whether they are right.
func (r *ReadAhead) Read(ctx context.Context, n, off int64) bool {
	p := make([]byte, n)
	err := r.readAt(ctx, p, off)
	for _, i := range []int64{0, n / 2, n - 1} {
		if p[i] != pattern[(off+i)%int64(len(pattern))] {
			return false
		}
	}
	return err == nil
}

// Kept returns how many bytes all readers of the store have read ahead, and how many there may be.
func (r *ReadAhead) Kept() (bytes, most int64) { return r.store.ahead.Load(), aheadMost }

// End closes the reader and returns what was fetched.
func (r *ReadAhead) End() (requests, bytes, largest int64) {
	r.close()
	r.store.running.Wait()
	return r.requests, r.bytes, r.largest
}

// RequestContext returns what a request is made with.
func RequestContext(ctx context.Context, c Config) (of context.Context, err error) {
	b, err := newBucket(c)
	if err != nil {
		return nil, err
	}
	return of, b.do(ctx, "ask", 0, func(ctx context.Context) error {
		of = ctx
		return nil
	})
}

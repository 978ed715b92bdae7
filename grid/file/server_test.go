package file_test

import (
	"context"
	"slices"
	"sync"
	"time"

	"cairn/share"
	"cairn/share/memory"
)

// The operations of a testServer, as its hooks know them.
const (
	opNumbers = "numbers"
	opOpen    = "open"
	opRead    = "read"
	opUploads = "uploads"
	opCreate  = "create"
	opHave    = "have"
	opAppend  = "append"
	opCommit  = "commit"
	opRenew   = "renew"
	opRecheck = "recheck"
)

// A hook is called before an operation; its error is that of the operation.
type hook func(ctx context.Context, op string) error

// A testServer is a server in memory that can be made to misbehave.
type testServer struct {
	*memory.Store

	mu      sync.Mutex // guards what follows
	before  hook
	spoil   func(off int64) bool                       // reads at these offsets come back wrong
	claims  func([]share.Progress) []share.Progress    // what Uploads says instead
	has     func(int64) int64                          // what Have says instead
	held    func(share.Held) share.Held                // what Numbers says instead
	renews  bool                                       // Renew succeeds whatever is held
	forgets bool                                       // Commit succeeds and stores nothing
	link    func(ctx context.Context, bytes int) error // carries what is read and appended
	counts  map[string]int                             // of operations
	sent    int                                        // bytes of blocks appended
	read    int                                        // bytes read
	closed  error                                      // what closing a writer returns
}

func newServer() *testServer {
	return &testServer{Store: memory.New(memory.Options{}), counts: map[string]int{}}
}

// on makes the server misbehave in the given operations, or in all of them.
func (s *testServer) on(h hook, ops ...string) {
	s.set(func() {
		s.before = func(ctx context.Context, op string) error {
			if len(ops) > 0 && !slices.Contains(ops, op) {
				return nil
			}
			return h(ctx, op)
		}
	})
}

func (s *testServer) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

func (s *testServer) count(op string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counts[op]
}

func (s *testServer) bytesRead() (n int) {
	s.set(func() { n = s.read })
	return n
}

// hang blocks until the caller gives up, as a stopped server does.
func hang(ctx context.Context, _ string) error {
	<-ctx.Done()
	return ctx.Err()
}

// delay takes a while.
func delay(d time.Duration) hook {
	return func(ctx context.Context, _ string) error { return sleep(ctx, d) }
}

// sleep waits, in the virtual time of most tests.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func fail(err error) hook {
	return func(context.Context, string) error { return err }
}

// failFrom fails from the n-th call on, counted from 0.
func failFrom(n int, err error) hook {
	var mu sync.Mutex
	return func(context.Context, string) error {
		mu.Lock()
		defer mu.Unlock()
		if n--; n < 0 {
			return err
		}
		return nil
	}
}

func (s *testServer) step(ctx context.Context, op string) error {
	s.mu.Lock()
	s.counts[op]++
	before := s.before
	s.mu.Unlock()
	if before == nil {
		return ctx.Err()
	}
	return before(ctx, op)
}

func (s *testServer) carry(ctx context.Context, bytes int) error {
	s.mu.Lock()
	link := s.link
	s.mu.Unlock()
	if link == nil {
		return nil
	}
	return link(ctx, bytes)
}

func (s *testServer) Numbers(ctx context.Context, ids []share.StorageIndex) ([]share.Held, error) {
	if err := s.step(ctx, opNumbers); err != nil {
		return nil, err
	}
	held, err := s.Store.Numbers(ctx, ids)
	if s.held != nil && err == nil {
		held[0] = s.held(held[0])
	}
	return held, err
}

func (s *testServer) Uploads(ctx context.Context, owner string, id share.UploadID) ([]share.Progress, error) {
	if err := s.step(ctx, opUploads); err != nil {
		return nil, err
	}
	progress, err := s.Store.Uploads(ctx, owner, id)
	if s.claims != nil {
		progress = s.claims(progress)
	}
	return progress, err
}

func (s *testServer) Recheck(ctx context.Context, index share.StorageIndex, number share.Number, segment int64) (bool, error) {
	if err := s.step(ctx, opRecheck); err != nil {
		return false, err
	}
	return s.Store.Recheck(ctx, index, number, segment)
}

func (s *testServer) Renew(ctx context.Context, ids []share.StorageIndex, lease share.Lease) error {
	if err := s.step(ctx, opRenew); err != nil || s.renews {
		return err
	}
	return s.Store.Renew(ctx, ids, lease)
}

func (s *testServer) Create(ctx context.Context, u share.Upload) (share.Writer, error) {
	if err := s.step(ctx, opCreate); err != nil {
		return nil, err
	}
	w, err := s.Store.Create(ctx, u)
	if err != nil {
		return nil, err
	}
	return &testWriter{w, s}, nil
}

type testWriter struct {
	share.Writer
	s *testServer
}

func (w *testWriter) Have(ctx context.Context) (int64, error) {
	if err := w.s.step(ctx, opHave); err != nil {
		return 0, err
	}
	n, err := w.Writer.Have(ctx)
	if w.s.has != nil {
		n = w.s.has(n)
	}
	return n, err
}

func (w *testWriter) Append(ctx context.Context, d []share.Digest, b []byte) error {
	if err := w.s.step(ctx, opAppend); err != nil {
		return err
	}
	if err := w.s.carry(ctx, len(b)); err != nil {
		return err
	}
	w.s.set(func() { w.s.sent += len(b) })
	return w.Writer.Append(ctx, d, b)
}

func (w *testWriter) Commit(ctx context.Context, root []byte) error {
	if err := w.s.step(ctx, opCommit); err != nil {
		return err
	}
	if w.s.forgets {
		return nil
	}
	return w.Writer.Commit(ctx, root)
}

func (w *testWriter) Close() error {
	if err := w.Writer.Close(); err != nil {
		return err
	}
	return w.s.closed
}

func (s *testServer) Open(ctx context.Context, si share.StorageIndex, n share.Number) (share.Reader, error) {
	if err := s.step(ctx, opOpen); err != nil {
		return nil, err
	}
	r, err := s.Store.Open(ctx, si, n)
	if err != nil {
		return nil, err
	}
	return &testReader{r, s}, nil
}

type testReader struct {
	share.Reader
	s *testServer
}

func (r *testReader) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	if err := r.s.step(ctx, opRead); err != nil {
		return 0, err
	}
	if err := r.s.carry(ctx, len(p)); err != nil {
		return 0, err
	}
	n, err := r.Reader.ReadAt(ctx, p, off)
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	r.s.read += n
	if r.s.spoil != nil && r.s.spoil(off) && n > 0 {
		p[n/2] ^= 1
	}
	return n, err
}

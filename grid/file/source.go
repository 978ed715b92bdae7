package file

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"cairn/share"
	"cairn/share/encoding"
	"cairn/share/erasure"
)

// A Source gives verified blocks of one encoded file. It needs no key. It is safe for concurrent use.
type Source struct {
	index   share.StorageIndex
	root    encoding.Root
	layout  encoding.Layout
	code    *erasure.Code
	lists   *encoding.Index
	holders *holders
	log     *slog.Logger

	buffers sync.Pool    // of *[]byte, one block each
	latency atomic.Int64 // moving average of the time a block takes, in nanoseconds
	fetched atomic.Int64

	stop     context.CancelFunc
	locating sync.WaitGroup
	requests sync.WaitGroup

	mu      sync.Mutex
	corrupt []*share.CorruptShareError
}

// OpenSource finds the shares of a file on the servers and reads its root. It returns ErrNotFound when every server
// says that it has none, and *share.NotEnoughSharesError when fewer than k distinct shares are within reach.
func OpenSource(ctx context.Context, servers []share.Server, index share.StorageIndex, log *slog.Logger) (*Source, error) {
	// Looking for holders goes on while blocks are read, until Close.
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	s := &Source{index: index, holders: newHolders(index), log: log, stop: stop}
	s.locating.Go(func() { s.holders.locate(background, servers) })
	if err := s.holders.waitRoot(ctx); err != nil {
		s.Close()
		return nil, fmt.Errorf("find the shares of %s: %w", index, err)
	}
	s.holders.mu.Lock()
	s.root = s.holders.root
	s.holders.mu.Unlock()
	s.layout = s.root.Layout()
	code, err := erasure.New(s.root.Needed, s.root.Total)
	if err != nil {
		s.Close()
		return nil, fmt.Errorf("open %s: %w", index, err)
	}
	s.code = code
	s.lists = encoding.NewIndex(s.root, s.fetchIndex)
	return s, nil
}

// Root returns the verified root.
func (s *Source) Root() encoding.Root { return s.root }

// Code returns the erasure code of the file.
func (s *Source) Code() *erasure.Code { return s.code }

// Fetched returns the number of bytes that were asked of servers so far, index included.
func (s *Source) Fetched() int64 { return s.fetched.Load() }

// Corrupt returns what did not verify so far, with the servers to blame.
func (s *Source) Corrupt() []*share.CorruptShareError {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]*share.CorruptShareError(nil), s.corrupt...)
}

// Close ends all requests and releases the shares.
func (s *Source) Close() error {
	s.stop()
	s.locating.Wait()
	s.requests.Wait()
	s.holders.close()
	return nil
}

// Rows returns the verified rows of digests of up to n segments from first on, at least one.
func (s *Source) Rows(ctx context.Context, first int64, n int) ([][]share.Digest, error) {
	return s.lists.Rows(ctx, first, n)
}

// Free returns blocks that Blocks gave to the pool.
func (s *Source) Free(blocks [][]byte) {
	for j, block := range blocks {
		if block != nil {
			s.free(block)
			blocks[j] = nil
		}
	}
}

func (s *Source) buffer(n int) []byte {
	if p, ok := s.buffers.Get().(*[]byte); ok && cap(*p) >= n {
		return (*p)[:n]
	}
	return make([]byte, n, max(n, s.layout.BlockLen(0)))
}

func (s *Source) free(block []byte) { s.buffers.Put(&block) }

// hedge is how long a block may take before another server is asked as well: a few times what blocks usually take.
func (s *Source) hedge() time.Duration {
	usual := time.Duration(s.latency.Load())
	if usual == 0 {
		return firstHedge
	}
	return max(minHedge, 4*usual)
}

func (s *Source) observe(d time.Duration) {
	old := s.latency.Load()
	if old == 0 {
		old = int64(d)
	}
	s.latency.Store(old + (int64(d)-old)/8)
}

// blame records that a server sent something that does not verify.
func (s *Source) blame(h *holder, segment int64, reason string) *share.CorruptShareError {
	h.bad.Add(1)
	err := &share.CorruptShareError{Server: h.server.ID, Index: s.index, Number: h.number, Segment: segment, Reason: reason}
	s.mu.Lock()
	defer s.mu.Unlock()
	const keep = 1000
	if len(s.corrupt) < keep {
		s.corrupt = append(s.corrupt, err)
	}
	s.log.Warn("a server sent a bad block", "server", h.server.String(), "file", s.index.String(),
		"share", h.number, "segment", segment, "reason", reason)
	return err
}

// fetchIndex implements encoding.Fetch: it asks the best holder, and the next one when that fails or takes long.
func (s *Source) fetchIndex(ctx context.Context, p []byte, off int64, check func() error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r := s.newRace(ctx)
	defer r.hedge.Stop()
	anyone := func(*holder) bool { return true }
	var causes []error
	for again := true; ; {
		if again && !r.start(len(p), off, anyone) && r.exhausted() {
			return s.notEnough(0, causes)
		}
		what, a, err := r.next()
		if err != nil {
			return err
		}
		again = what != answered || r.pending == 0
		if what != answered {
			continue
		}
		if a.err == nil {
			copy(p, a.buf)
			a.err = check()
		}
		s.free(a.buf)
		if a.err == nil {
			return nil
		}
		causes = append(causes, s.failed(a.h, a.err))
	}
}

// failed turns the error of one holder's index into what is told: blame where it lied.
func (s *Source) failed(h *holder, err error) error {
	if mismatch, ok := errors.AsType[*encoding.MismatchError](err); ok {
		return s.blame(h, -1, mismatch.Error())
	}
	h.bad.Add(1)
	return wrapServer(h.server, err)
}

func (s *Source) notEnough(found int, causes []error) error {
	s.holders.mu.Lock()
	defer s.holders.mu.Unlock()
	return s.holders.notEnough(found, causes)
}

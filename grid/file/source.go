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

	buffers   sync.Pool // of *[]byte, one block each
	indexPace pace
	blockPace pace
	fetched   atomic.Int64
	spreading sync.Mutex // held while a segment chooses whom it asks instead of busy servers

	ctx  context.Context // ends with Close
	stop context.CancelFunc
	uses sync.WaitGroup // what Close waits for

	mu      sync.Mutex // guards what follows, and uses against a Wait at the same time
	closed  bool
	corrupt []*share.CorruptShareError
}

// OpenSource finds the shares of a file on the servers and reads its root. It returns ErrNotFound when every server
// says that it has none, and *share.NotEnoughSharesError when fewer than k distinct shares are within reach. Servers
// believed down are asked only when the others do not have enough. Nothing waits for the finders where the servers have
// enough.
func OpenSource(
	ctx context.Context, servers []share.Server, index share.StorageIndex, log *slog.Logger, find ...Finder,
) (*Source, error) {
	s := &Source{index: index, holders: newHolders(index), log: log}
	// Looking for holders goes on while blocks are read, until Close.
	s.ctx, s.stop = context.WithCancel(context.WithoutCancel(ctx))
	s.uses.Go(func() { s.holders.locate(s.ctx, servers, find) })
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

// begin marks the beginning of a use of the source, which lasts until end is called. Close ends the context and waits.
func (s *Source) begin(ctx context.Context) (_ context.Context, end func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, nil, share.ErrClosed
	}
	s.uses.Add(1)
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(s.ctx, cancel)
	return ctx, func() {
		stop()
		cancel()
		s.uses.Done()
	}, nil
}

// ended returns why the context of a use has ended.
func (s *Source) ended(ctx context.Context) error {
	if s.ctx.Err() != nil {
		return share.ErrClosed
	}
	return ctx.Err()
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

// Close ends all reads, which return ErrClosed, and releases the shares.
func (s *Source) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.stop()
	s.uses.Wait()
	s.holders.close()
	return nil
}

// Rows returns the verified rows of digests of up to n segments from first on, at least one.
func (s *Source) Rows(ctx context.Context, first int64, n int) ([][]share.Digest, error) {
	ctx, end, err := s.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
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

// blockHedge is how long a server may take for a block before another one is asked as well.
func (s *Source) blockHedge() time.Duration {
	hedge := s.blockPace.hedge()
	if s.blockPace.usual.Load() == 0 {
		hedge = max(hedge, s.indexPace.hedge())
	}
	return hedge
}

// blame records that a server sent something that does not verify, and tells the server.
func (s *Source) blame(h *holder, segment int64, reason string) *share.CorruptShareError {
	h.bad.Add(1)
	err := &share.CorruptShareError{Server: h.server.ID, Index: s.index, Number: h.number, Segment: segment, Reason: reason}
	s.mu.Lock()
	defer s.mu.Unlock()
	const keep = 1000
	if len(s.corrupt) < keep {
		s.corrupt = append(s.corrupt, err)
	}
	if !s.closed && !h.told.Swap(true) {
		s.uses.Go(func() { complain(s.ctx, h.server, s.index, h.number, segment, s.log) })
	}
	s.log.Warn("a server sent a bad block", "server", h.server.String(), "file", s.index.String(),
		"share", h.number, "segment", segment, "reason", reason)
	return err
}

// fetchIndex implements encoding.Fetch: it asks the best holder, and the next one when that fails or takes long.
func (s *Source) fetchIndex(ctx context.Context, p []byte, off int64, check func() error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r := s.newRace(ctx, &s.indexPace, s.indexPace.hedge())
	defer r.timer.Stop()
	anyone := func(*holder) bool { return true }
	var causes []error
	for {
		if r.fresh() == 0 && !r.start(len(p), off, anyone) {
			s.holders.lack()
			if r.exhausted() {
				return s.notEnough(0, causes)
			}
		}
		what, a, err := r.next()
		if err != nil {
			return err
		}
		if what != answered {
			continue
		}
		err = a.err
		if err == nil {
			copy(p, a.buf)
			err = check()
		}
		s.free(a.buf)
		if cause := s.indexFault(a, err); cause != nil {
			causes = append(causes, cause)
			continue
		}
		return err
	}
}

// indexFault returns what is wrong with a holder that did not give a part of the index, and nil when that is not why
// the fetch has failed, if it has.
func (s *Source) indexFault(a *attempt, err error) error {
	mismatch, lied := errors.AsType[*encoding.MismatchError](err)
	switch {
	case lied:
		return s.blame(a.h, -1, mismatch.Error())
	case a.err != nil:
		a.h.failed(a.err)
		return wrapServer(a.h.server, a.err)
	}
	return nil
}

func (s *Source) notEnough(found int, causes []error) error {
	s.holders.mu.Lock()
	defer s.holders.mu.Unlock()
	return s.holders.notEnough(found, causes)
}

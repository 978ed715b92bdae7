// Package health checks, verifies and repairs stored files.
//
// All of it needs a verify capability only, that is the storage index: whoever holds it can find the shares of a file,
// check every byte of them and make missing ones anew, but not read the file. Check asks every server what it holds;
// Verify also downloads every share; Repair brings a file back to all its shares on enough servers.
package health

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"cairn/internal/awake"
	"cairn/share"
)

// Bounds on time and concurrency. They concern servers that do not answer; the others are waited for no longer.
const (
	// askTimeout bounds one question to one server.
	askTimeout = 3 * time.Second
	// askAtOnce bounds how many servers are asked at a time.
	askAtOnce = 256
	// readTimeout bounds the wait for one piece of a share.
	readTimeout = 10 * time.Second
	// verifyAtOnce bounds how many servers a verification reads from at a time.
	verifyAtOnce = 8
)

// A Progress says how far a verification or repair is. Bytes and Shares only grow. The totals change when shares turn out
// to be bad, or have to be made for another server, and a repair that verifies first adds to them; at the end they
// are reached.
type Progress struct {
	Bytes       int64 // read by a verification, sent by a repair
	TotalBytes  int64
	Shares      int // verified, good or bad, or made and committed
	TotalShares int
}

// A meter reports progress from many goroutines, one call at a time.
type meter struct {
	report func(Progress)

	mu  sync.Mutex
	now Progress // guarded by mu
}

func newMeter(report func(Progress)) *meter { return &meter{report: report} }

func (m *meter) add(p Progress) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now.Bytes += p.Bytes
	m.now.TotalBytes += p.TotalBytes
	m.now.Shares += p.Shares
	m.now.TotalShares += p.TotalShares
	if m.report != nil {
		m.report(m.now)
	}
}

// each calls do for every item, a bounded number at a time, and returns when all calls have.
func each[T any](items []T, limit int, do func(i int, item T)) {
	var group errgroup.Group
	group.SetLimit(limit)
	for i, item := range items {
		group.Go(func() error {
			do(i, item)
			return nil
		})
	}
	group.Wait()
}

// timedReader bounds each read of a share and counts what was read.
type timedReader struct {
	share.Reader
	read func(n int)
}

func (r timedReader) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	ctx, cancel := awake.WithTimeout(ctx, readTimeout)
	defer cancel()
	n, err := r.Reader.ReadAt(ctx, p, off)
	r.read(n)
	return n, err
}

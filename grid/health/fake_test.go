package health_test

import (
	"context"
	"fmt"
	"io"
	"sync/atomic"
	"testing"
	"time"

	"cairn/share"
	"cairn/share/encoding"
	"cairn/share/memory"
	"cairn/share/storetest"
)

const blockSize = encoding.MinBlockSize

// A peer is a server whose answers a test can change. A nil hook changes nothing.
type peer struct {
	*memory.Store
	numbers func(ctx context.Context, held []share.Held) ([]share.Held, error)
	open    func(ctx context.Context, number share.Number, r share.Reader, err error) (share.Reader, error)
	create  func(ctx context.Context, w share.Writer, err error) (share.Writer, error)
	renew   func() error
	recheck func() (held bool, err error)

	created  atomic.Int64
	appended atomic.Int64
}

func (p *peer) Numbers(ctx context.Context, indexes []share.StorageIndex) ([]share.Held, error) {
	held, err := p.Store.Numbers(ctx, indexes)
	if p.numbers == nil || err != nil {
		return held, err
	}
	return p.numbers(ctx, held)
}

func (p *peer) Open(ctx context.Context, index share.StorageIndex, number share.Number) (share.Reader, error) {
	r, err := p.Store.Open(ctx, index, number)
	if p.open == nil {
		return r, err
	}
	return p.open(ctx, number, r, err)
}

func (p *peer) Create(ctx context.Context, upload share.Upload) (share.Writer, error) {
	p.created.Add(1)
	w, err := p.Store.Create(ctx, upload)
	if err == nil {
		w = &hookedWriter{Writer: w, ctx: ctx, appended: &p.appended}
	}
	if p.create == nil {
		return w, err
	}
	return p.create(ctx, w, err)
}

func (p *peer) Renew(ctx context.Context, indexes []share.StorageIndex, lease share.Lease) error {
	if p.renew != nil {
		return p.renew()
	}
	return p.Store.Renew(ctx, indexes, lease)
}

func (p *peer) Recheck(ctx context.Context, index share.StorageIndex, number share.Number, segment int64) (bool, error) {
	if p.recheck != nil {
		return p.recheck()
	}
	return p.Store.Recheck(ctx, index, number, segment)
}

// hang blocks until the caller gives up, as a stopped server does.
func hang(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

// A hookedWriter counts and may fail. As the writer of a remote store does, it dies with any context that it was given.
type hookedWriter struct {
	share.Writer
	ctx      context.Context
	appended *atomic.Int64
	append   func(ctx context.Context) error // before each Append
	commit   func(ctx context.Context) error // before Commit
}

// watch fails when the context of the last call has ended.
func (w *hookedWriter) watch(ctx context.Context) error {
	if w.ctx.Err() != nil {
		return fmt.Errorf("the context of an earlier call: %w", w.ctx.Err())
	}
	w.ctx = ctx
	return nil
}

func (w *hookedWriter) Have(ctx context.Context) (int64, error) {
	if err := w.watch(ctx); err != nil {
		return 0, err
	}
	return w.Writer.Have(ctx)
}

func (w *hookedWriter) Append(ctx context.Context, digests []share.Digest, block []byte) error {
	if err := w.watch(ctx); err != nil {
		return err
	}
	if w.append != nil {
		if err := w.append(ctx); err != nil {
			return err
		}
	}
	err := w.Writer.Append(ctx, digests, block)
	if err == nil {
		w.appended.Add(1)
	}
	return err
}

func (w *hookedWriter) Commit(ctx context.Context, root []byte) error {
	if err := w.watch(ctx); err != nil {
		return err
	}
	if w.commit != nil {
		if err := w.commit(ctx); err != nil {
			return err
		}
	}
	return w.Writer.Commit(ctx, root)
}

// A hookedReader changes what is read.
type hookedReader struct {
	share.Reader
	read func(ctx context.Context, p []byte, off int64) error // after the read
	cut  int64                                                // bytes missing at the end
}

func (r hookedReader) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	if off+int64(len(p)) > r.Size() {
		return 0, io.ErrUnexpectedEOF
	}
	n, err := r.Reader.ReadAt(ctx, p, off)
	if err != nil || r.read == nil {
		return n, err
	}
	if err := r.read(ctx, p, off); err != nil {
		return 0, err
	}
	return n, nil
}

func (r hookedReader) Size() int64 { return r.Reader.Size() - r.cut }

// flip makes every share of the peer have one bit wrong, at offset at.
func (p *peer) flip(at int64, numbers ...share.Number) {
	p.open = func(_ context.Context, number share.Number, r share.Reader, err error) (share.Reader, error) {
		if err != nil || len(numbers) > 0 && number != numbers[0] {
			return r, err
		}
		return hookedReader{Reader: r, read: func(_ context.Context, b []byte, off int64) error {
			if at >= off && at < off+int64(len(b)) {
				b[at-off] ^= 0x10
			}
			return nil
		}}, nil
	}
}

type grid struct {
	peers   []*peer
	servers []share.Server
}

func newGrid(n int) *grid {
	g := &grid{}
	for i := range n {
		p := &peer{Store: memory.New(memory.Options{})}
		g.peers = append(g.peers, p)
		g.servers = append(g.servers, share.Server{ID: id(i), Store: p, Free: 1 << 40})
	}
	return g
}

func id(i int) share.ServerID { return share.ServerID(fmt.Sprintf("server-%02d", i)) }

// put stores shares of the file on one peer.
func (g *grid) put(t *testing.T, f *storetest.File, peer int, numbers ...share.Number) {
	t.Helper()
	for _, number := range numbers {
		if err := f.Put(t.Context(), g.peers[peer].Store, number, "uploader"); err != nil {
			t.Fatal(err)
		}
	}
}

// spread stores share i of the file on peer i, for each number given.
func (g *grid) spread(t *testing.T, f *storetest.File, numbers ...share.Number) {
	t.Helper()
	for _, number := range numbers {
		g.put(t, f, int(number), number)
	}
}

func first(n int) []share.Number {
	numbers := make([]share.Number, n)
	for i := range numbers {
		numbers[i] = share.Number(i)
	}
	return numbers
}

func owner() share.Lease {
	return share.Lease{Owner: "repairer", Expires: time.Now().Add(time.Hour)}
}

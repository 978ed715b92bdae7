package testgrid

import (
	"context"
	"sync"

	"cairn/share"
)

// A pausable is a Store that can be made to hang, as one on a disk that does not answer: every call waits until
// Resume, or until its context ends. It hides from its caller what the store behind it has besides.
type pausable struct {
	share.Store

	mu     sync.Mutex
	paused chan struct{} // nil while running, closed by Resume
}

var (
	_ share.Store     = (*pausable)(nil)
	_ share.Resumer   = (*pausable)(nil)
	_ share.Spacer    = (*pausable)(nil)
	_ share.HeadStore = (*pausable)(nil)
	_ share.Batcher   = (*pausable)(nil)
	_ share.Rechecker = (*pausable)(nil)
)

// Pause makes every call from now on hang.
func (p *pausable) Pause() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.paused == nil {
		p.paused = make(chan struct{})
	}
}

// Resume lets all calls go on.
func (p *pausable) Resume() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.paused != nil {
		close(p.paused)
		p.paused = nil
	}
}

func (p *pausable) wait(ctx context.Context) error {
	p.mu.Lock()
	paused := p.paused
	p.mu.Unlock()
	if paused == nil {
		return nil
	}
	select {
	case <-paused:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p *pausable) Numbers(ctx context.Context, indexes []share.StorageIndex) ([]share.Held, error) {
	if err := p.wait(ctx); err != nil {
		return nil, err
	}
	return p.Store.Numbers(ctx, indexes)
}

func (p *pausable) Open(ctx context.Context, index share.StorageIndex, number share.Number) (share.Reader, error) {
	if err := p.wait(ctx); err != nil {
		return nil, err
	}
	r, err := p.Store.Open(ctx, index, number)
	if err != nil {
		return nil, err
	}
	return pausableReader{r, p}, nil
}

func (p *pausable) Create(ctx context.Context, upload share.Upload) (share.Writer, error) {
	if err := p.wait(ctx); err != nil {
		return nil, err
	}
	w, err := p.Store.Create(ctx, upload)
	if err != nil {
		return nil, err
	}
	return pausableWriter{w, p}, nil
}

func (p *pausable) Renew(ctx context.Context, indexes []share.StorageIndex, lease share.Lease) error {
	if err := p.wait(ctx); err != nil {
		return err
	}
	return p.Store.Renew(ctx, indexes, lease)
}

func (p *pausable) Uploads(ctx context.Context, owner string, id share.UploadID) ([]share.Progress, error) {
	if err := p.wait(ctx); err != nil {
		return nil, err
	}
	if resumer, ok := p.Store.(share.Resumer); ok {
		return resumer.Uploads(ctx, owner, id)
	}
	return nil, nil
}

func (p *pausable) Recheck(ctx context.Context, index share.StorageIndex, number share.Number, segment int64) (bool, error) {
	if err := p.wait(ctx); err != nil {
		return false, err
	}
	rechecker, ok := p.Store.(share.Rechecker)
	if !ok {
		return false, share.ErrDenied
	}
	return rechecker.Recheck(ctx, index, number, segment)
}

// Space never hangs: a node goes on telling its peers what it has, whatever its disk does.
func (p *pausable) Space(ctx context.Context) (share.Space, error) {
	if spacer, ok := p.Store.(share.Spacer); ok {
		return spacer.Space(ctx)
	}
	return share.Space{Offered: 1 << 40, Free: 1 << 40}, nil
}

type pausableReader struct {
	share.Reader
	store *pausable
}

func (r pausableReader) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	if err := r.store.wait(ctx); err != nil {
		return 0, err
	}
	return r.Reader.ReadAt(ctx, p, off)
}

// Stale implements share.Staler.
func (r pausableReader) Stale() bool {
	s, ok := r.Reader.(share.Staler)
	return ok && s.Stale()
}

type pausableWriter struct {
	share.Writer
	store *pausable
}

func (w pausableWriter) Append(ctx context.Context, digests []share.Digest, block []byte) error {
	if err := w.store.wait(ctx); err != nil {
		return err
	}
	return w.Writer.Append(ctx, digests, block)
}

func (w pausableWriter) Commit(ctx context.Context, root []byte) error {
	if err := w.store.wait(ctx); err != nil {
		return err
	}
	return w.Writer.Commit(ctx, root)
}

package storage

import (
	"container/list"
	"context"
	"sync"

	"cairn/share"
)

// readers keeps shares open that peers read, so that one of many small reads does not open a file each time. The one
// that was used longest ago is closed when there are too many.
type readers struct {
	store share.Store
	limit int

	mu     sync.Mutex // guards what follows
	open   map[shareID]*openReader
	unused list.List // of *openReader without users, the next to close in front
}

type shareID struct {
	index  share.StorageIndex
	number share.Number
}

type openReader struct {
	share.Reader
	id    shareID
	users int
	place *list.Element // in unused, nil while there are users
}

// stale reports whether the share is to be opened anew.
func (o *openReader) stale() bool {
	s, ok := o.Reader.(share.Staler)
	return ok && s.Stale()
}

func newReaders(store share.Store, limit int) *readers {
	return &readers{store: store, limit: limit, open: make(map[shareID]*openReader)}
}

// acquire returns an open share, which is opened anew when it was stored again or moved since; release gives it back.
func (r *readers) acquire(ctx context.Context, id shareID) (*openReader, error) {
	r.mu.Lock()
	o, ok := r.open[id]
	if ok {
		r.use(o)
	}
	r.mu.Unlock()
	if ok && !o.stale() {
		return o, nil
	}
	if ok {
		r.drop(o)
		r.release(o)
	}
	reader, err := r.store.Open(ctx, id.index, id.number)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if o, ok := r.open[id]; ok { // somebody else was faster
		_ = reader.Close()
		r.use(o)
		return o, nil
	}
	fresh := &openReader{Reader: reader, id: id, users: 1}
	r.open[id] = fresh
	r.shrink(r.limit)
	return fresh, nil
}

func (r *readers) use(o *openReader) {
	if o.place != nil {
		r.unused.Remove(o.place)
		o.place = nil
	}
	o.users++
}

func (r *readers) release(o *openReader) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if o.users--; o.users > 0 {
		return
	}
	if r.open[o.id] != o { // dropped while it was in use
		_ = o.Close()
		return
	}
	o.place = r.unused.PushBack(o)
	r.shrink(r.limit)
}

// drop forgets a share whose reading failed, so that the next reader opens it anew.
func (r *readers) drop(o *openReader) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.open[o.id] == o {
		delete(r.open, o.id)
	}
}

// shrink closes unused shares until at most limit are open, or all that are open are in use.
func (r *readers) shrink(limit int) {
	for len(r.open) > limit && r.unused.Len() > 0 {
		o := r.unused.Remove(r.unused.Front()).(*openReader)
		delete(r.open, o.id)
		_ = o.Close()
	}
}

func (r *readers) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.shrink(0)
}

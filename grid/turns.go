package grid

import (
	"context"
	"sync"

	"cairn/share"
)

// turns lets uploads of the same bytes under the same key go one after the other: servers keep one session of each, and a
// second writer would take it from the first. The zero value is ready for use.
type turns struct {
	mu    sync.Mutex // guards what follows
	taken map[share.UploadID]chan struct{}
}

// take waits until nobody else has the turn, and returns the function that ends it.
func (t *turns) take(ctx context.Context, id share.UploadID) (end func(), err error) {
	for {
		t.mu.Lock()
		other, taken := t.taken[id]
		if !taken {
			done := make(chan struct{})
			if t.taken == nil {
				t.taken = map[share.UploadID]chan struct{}{}
			}
			t.taken[id] = done
			t.mu.Unlock()
			return func() {
				t.mu.Lock()
				delete(t.taken, id)
				t.mu.Unlock()
				close(done)
			}, nil
		}
		t.mu.Unlock()
		select {
		case <-other:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

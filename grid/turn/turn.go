// Package turn lets those who want to do something with the same thing go one after the other.
package turn

import (
	"context"
	"sync"
)

// Turns are the turns of any number of things, which differ by their keys. The zero value is ready for use; it is safe for
// concurrent use.
type Turns[K comparable] struct {
	mu    sync.Mutex // guards what follows
	taken map[K]chan struct{}
}

// Take waits until nobody else has the turn, and returns the function that ends it. It returns the error of a context that ends
// before.
func (t *Turns[K]) Take(ctx context.Context, key K) (end func(), err error) {
	for {
		t.mu.Lock()
		other, taken := t.taken[key]
		if !taken {
			done := make(chan struct{})
			if t.taken == nil {
				t.taken = map[K]chan struct{}{}
			}
			t.taken[key] = done
			t.mu.Unlock()
			return func() {
				t.mu.Lock()
				delete(t.taken, key)
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

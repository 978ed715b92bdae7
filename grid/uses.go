package grid

import (
	"context"
	"sync"

	"cairn/share"
)

// uses tell of the uploads of files whose keys follow from their contents, each from its beginning until nothing of it is under way any more:
// one that has failed lets go only of what no other one may count on. The zero value is ready for use; it is safe for concurrent use.
type uses struct {
	mu  sync.Mutex // guards what follows
	all map[share.UploadID]*usage
}

type usage struct {
	count  int
	shared bool          // there were two at some moment since the first of them began
	ending chan struct{} // not nil while the only one lets go; closed when that has ended
}

// begin notes an upload that begins, for which end is to be called. It waits while another one lets go of what it has placed: that may be
// found and counted on before it is gone. It returns the error of a context that ends before.
func (u *uses) begin(ctx context.Context, id share.UploadID) error {
	for {
		u.mu.Lock()
		x := u.all[id]
		if x == nil || x.ending == nil {
			if u.all == nil {
				u.all = map[share.UploadID]*usage{}
			}
			if x == nil {
				x = &usage{}
				u.all[id] = x
			}
			x.count++
			x.shared = x.count > 1 || x.shared
			u.mu.Unlock()
			return nil
		}
		ending := x.ending
		u.mu.Unlock()
		select {
		case <-ending:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// alone reports whether no other upload was under way since this one began. Then none begins before this one ends.
func (u *uses) alone(id share.UploadID) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	x := u.all[id]
	if x.shared {
		return false
	}
	if x.ending == nil {
		x.ending = make(chan struct{})
	}
	return true
}

// end ends an upload that was begun.
func (u *uses) end(id share.UploadID) {
	u.mu.Lock()
	defer u.mu.Unlock()
	x := u.all[id]
	if x.count--; x.count > 0 {
		return
	}
	delete(u.all, id)
	if x.ending != nil {
		close(x.ending)
	}
}

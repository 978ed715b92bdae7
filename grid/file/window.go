package file

import (
	"context"
	"time"
)

// Read-ahead of WriteTo.
const (
	// firstWindowBytes and maxWindowBytes bound the segments under way at first and later: short reads fetch little.
	firstWindowBytes = 1 << 20
	maxWindowBytes   = 16 << 20
	// maxWindow bounds the number of segments under way, firstWindow that at first.
	maxWindow   = 48
	firstWindow = 4
	// While blocks arrive within quick, or within twice the shortest time there was, more of them are asked for at a
	// time; when they take longer than slow and four times the shortest, fewer. Beyond that the links do not carry more,
	// and queues make everything else wait.
	quick = time.Second
	slow  = 2 * time.Second
)

// A window bounds the segments under way. It grows with each release while that costs nothing.
type window struct {
	slots chan struct{}
	open  int // slots in use, or in the channel
}

func newWindow(segmentSize int64) *window {
	size := int(min(max(maxWindowBytes/segmentSize, 1), maxWindow))
	first := int(min(max(firstWindowBytes/segmentSize, 1), firstWindow))
	w := &window{slots: make(chan struct{}, size), open: min(first, size)}
	for range w.open {
		w.slots <- struct{}{}
	}
	return w
}

func (w *window) take(ctx context.Context) error {
	select {
	case <-w.slots:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// release is called from one goroutine.
func (w *window) release(p *pace) {
	usual, best := time.Duration(p.usual.Load()), time.Duration(p.best.Load())
	if w.open > 1 && usual > max(slow, 4*best) {
		w.open--
		return
	}
	w.slots <- struct{}{}
	if w.open < cap(w.slots) && usual <= max(quick, 2*best) {
		w.open++
		w.slots <- struct{}{}
	}
}

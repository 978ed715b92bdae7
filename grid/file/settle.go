package file

import (
	"context"
	"time"

	"cairn/internal/awake"
	"cairn/share/encoding"
)

const (
	// lateTime is how long servers that have not acknowledged their shares may do nothing once the upload has
	// succeeded, and lateLimit how long they may take altogether.
	lateTime  = 30 * time.Second
	lateLimit = 10 * time.Minute
	// closingTime is how long they may take when the background ends.
	closingTime = time.Second
	// reportEvery is how often progress is reported while nothing happens that anybody waits for.
	reportEvery = 250 * time.Millisecond
)

// settle waits, once everything is encoded, until the upload has succeeded or failed.
func (u *upload) settle(ctx context.Context, root encoding.Root) (Result, error) {
	var grace <-chan time.Time
	start := time.Now()
	report := time.NewTicker(reportEvery)
	defer report.Stop()
	for left := len(u.lanes); left > 0; {
		if grace == nil && u.o.Background != nil && u.happy() {
			grace = time.After(max(minGrace, time.Since(start)))
		}
		select {
		case <-u.finished:
			left--
			u.progress()
		case <-report.C:
			u.progress()
		case <-grace:
			result := u.result(root)
			u.o.Background(func(ctx context.Context) { u.finishLate(ctx, root, left) })
			return result, nil
		case <-ctx.Done():
			return u.abandon(root), ctx.Err()
		}
	}
	result := u.abandon(root) // there is nothing left but the watch
	if result.Happiness < u.o.Params.Happy {
		return result, u.unhappy()
	}
	if u.o.Settled != nil {
		u.o.Settled(result)
	}
	return result, nil
}

func (u *upload) happy() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.happiness() >= u.o.Params.Happy
}

// finishLate gives the slow servers of a successful upload more time, as long as any of them gets on.
func (u *upload) finishLate(ctx context.Context, root encoding.Root, left int) {
	limit := awake.NewTimer(lateLimit)
	defer limit.Stop()
	idle := time.NewTicker(lateTime / 4)
	defer idle.Stop()
	closing := ctx.Done()
	var still awake.Watch
	due := time.Now().Add(lateTime / 4)
	for left > 0 && u.ctx.Err() == nil {
		select {
		case <-u.finished:
			left--
		case <-closing:
			limit.Reset(closingTime)
			closing = nil
		case <-idle.C:
			now := time.Now()
			if still.Stood(due, now) {
				u.stoodStill(now)
			}
			due = now.Add(lateTime / 4)
			if now.Sub(u.lastMove()) >= lateTime {
				u.cancel()
			}
		case <-limit.C:
			u.cancel()
		}
	}
	result := u.abandon(root)
	if u.o.Settled != nil {
		u.o.Settled(result)
	}
}

// lastMove returns when a lane last got on.
func (u *upload) lastMove() time.Time {
	last := u.begun
	for _, l := range u.lanes {
		if moved := l.lastMove(); moved.After(last) {
			last = moved
		}
	}
	return last
}

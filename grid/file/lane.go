package file

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync/atomic"
	"time"

	"cairn/grid/placement"
	"cairn/share"
	"cairn/share/encoding"
)

// errLagging says that a server held up the upload.
var errLagging = errors.New("too slow: gave it up for the others")

// A lane carries one share to one server, and to another one where the first fails in time.
type lane struct {
	u      *upload
	number share.Number
	queue  chan *encoding.Segment
	ctx    context.Context
	cancel context.CancelFunc

	server share.Server // the zero Server when none has room; only the lane's goroutine changes it

	// kept are segments taken from the queue and not yet released: as long as it holds all of them, the share can be
	// sent to another server.
	kept     []*encoding.Segment
	released bool

	taken   atomic.Int64 // segments done with
	lost    atomic.Bool
	lagging atomic.Bool
}

// run sends the share until a server has acknowledged it or none is left.
func (l *lane) run() {
	for l.server.Store != nil {
		err := l.send()
		if err == nil {
			l.u.acknowledge(l)
			l.releaseKept()
			return
		}
		if l.lagging.Load() {
			err = errLagging
		}
		next, ok := l.u.replace(l, err)
		if !ok || l.released || l.ctx.Err() != nil {
			break
		}
		l.server = next
	}
	l.lost.Store(true)
	l.releaseKept()
	for {
		select {
		case s, ok := <-l.queue:
			if !ok {
				return
			}
			s.Release()
		case <-l.u.ctx.Done():
			return
		}
	}
}

// send streams the share to the lane's server.
func (l *lane) send() (err error) {
	if index, ok := l.u.stored[place{l.server.ID, l.number}]; ok {
		return l.renew(index)
	}
	w, err := l.server.Store.Create(l.ctx, share.Upload{
		ID: l.u.id, Number: l.number, Needed: l.u.o.Params.Needed, Total: l.u.o.Params.Total, BlockSize: l.u.o.BlockSize,
		Size: l.u.o.Size, Lease: l.lease(),
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	have, err := l.have(w)
	if err != nil {
		return err
	}
	for _, s := range l.kept {
		if err := w.Append(l.ctx, s.Digests, s.Block(l.number)); err != nil {
			return fmt.Errorf("segment %d: %w", s.Index, err)
		}
	}
	if err := l.stream(w, have); err != nil {
		return err
	}
	return w.Commit(l.ctx, l.u.root)
}

func (l *lane) lease() share.Lease {
	return share.Lease{Owner: l.u.o.Owner, Expires: time.Now().Add(l.u.o.Lease)}
}

// renew lets the segments pass that the server has from an earlier upload, and then counts the share if it is
// the same file.
func (l *lane) renew(index share.StorageIndex) error {
	if err := l.stream(nil, math.MaxInt64); err != nil {
		return err
	}
	if share.IndexOf(l.u.root) != index {
		return fmt.Errorf("%w: holds another file under this upload", share.ErrCorrupt)
	}
	return l.server.Store.Renew(l.ctx, []share.StorageIndex{index}, l.lease())
}

// have asks the server how much of the share it has, which also tells whether it takes the share at all, before
// anything is sent that could not be sent again to another server.
func (l *lane) have(w share.Writer) (int64, error) {
	if l.u.small() {
		return 0, nil
	}
	ctx, cancel := context.WithTimeout(l.ctx, askTimeout)
	defer cancel()
	return w.Have(ctx)
}

func (l *lane) stream(w share.Writer, have int64) error {
	for {
		var s *encoding.Segment
		select {
		case next, ok := <-l.queue:
			if !ok {
				return nil
			}
			s = next
		case <-l.ctx.Done():
			return l.ctx.Err()
		}
		if l.u.small() {
			l.kept = append(l.kept, s)
		}
		var err error
		if s.Index >= have {
			err = w.Append(l.ctx, s.Digests, s.Block(l.number))
		} else {
			l.u.skipped.Add(int64(len(s.Block(l.number))))
		}
		segment := s.Index
		if !l.u.small() {
			l.released = true
			s.Release()
		}
		l.taken.Add(1)
		if err != nil {
			return fmt.Errorf("segment %d: %w", segment, err)
		}
	}
}

func (l *lane) releaseKept() {
	for _, s := range l.kept {
		s.Release()
	}
	l.kept = nil
}

// acknowledge notes that a lane's share is on stable storage.
func (u *upload) acknowledge(l *lane) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.placed[l.number] = l.server
}

// replace notes why a lane's server failed and finds another server for its share.
func (u *upload) replace(l *lane, cause error) (share.Server, bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if !errors.Is(cause, context.Canceled) {
		u.failures = append(u.failures, wrapServer(l.server, cause))
		u.o.Log.Warn("a server did not take its share", "server", l.server.String(), "share", l.number, "error", cause)
	}
	i := slices.IndexFunc(u.places, func(p placement.Server) bool { return p.ID == l.server.ID })
	u.places[i].Full = true
	u.places[i].Holds = slices.DeleteFunc(u.places[i].Holds, func(n share.Number) bool { return n == l.number })
	id, ok := placement.Replace(u.id[:], u.shareSize(), u.places, l.number)
	if !ok {
		return share.Server{}, false
	}
	u.hold(id, l.number)
	return u.servers[id], true
}

// watch gives up the slowest lanes when they have held up the encoder for longer than patience, provided that the
// other lanes are idle and enough to make the upload happy.
func (u *upload) watch(ctx context.Context) {
	const tick = patience / 8
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	held := time.Duration(0)
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		slow := u.holdingUp()
		if len(slow) == 0 {
			held = 0
			continue
		}
		if held += tick; held < patience {
			continue
		}
		held = 0
		for _, l := range slow {
			l.lagging.Store(true)
			l.cancel()
		}
	}
}

// holdingUp returns the lanes that keep all buffers busy while the rest has nothing to do and suffices.
func (u *upload) holdingUp() []*lane {
	encoded := u.encoded.Load()
	var slow []*lane
	others := map[share.ServerID][]share.Number{}
	full := false
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, l := range u.lanes {
		switch backlog := encoded - l.taken.Load(); {
		case l.lost.Load():
		case backlog <= 1:
			// The lane's server is the one that places has the number under.
			for _, p := range u.places {
				if slices.Contains(p.Holds, l.number) && !p.Full {
					others[p.ID] = append(others[p.ID], l.number)
				}
			}
		default:
			slow = append(slow, l)
			full = full || backlog >= int64(u.buffers)-1
		}
	}
	if !full || placement.Happiness(others) < u.o.Params.Happy {
		return nil
	}
	return slow
}

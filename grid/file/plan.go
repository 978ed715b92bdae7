package file

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"cairn/grid/placement"
	"cairn/internal/awake"
	"cairn/share"
	"cairn/share/encoding"
)

// A past is what one server has of the upload from an earlier attempt.
type past struct {
	server  share.Server
	done    chan struct{} // closed when what follows is known
	err     error
	numbers []share.Number                      // whole or in part
	stored  map[share.Number]share.StorageIndex // whole
}

// plan decides which server gets which share, with regard to what they have already.
func (u *upload) plan(ctx context.Context) error {
	if u.o.Resume && (!u.small() || u.tight()) {
		if err := u.askPasts(ctx); err != nil {
			return err
		}
		u.usePasts()
	}
	plan, err := placement.New(u.id[:], u.o.Params, u.shareSize(), u.places)
	if err != nil {
		if unhappy, ok := errors.AsType[*share.UnhappyError](err); ok {
			unhappy.Causes = append(slices.Clone(u.failures), u.withoutRoom()...)
		}
		return err
	}
	for number := range u.o.Params.Total {
		u.addLane(share.Number(number), plan.Assign[share.Number(number)])
	}
	u.addCopies()
	return nil
}

// tight reports whether some server has no room for a share. It may have one from before, and then needs none.
func (u *upload) tight() bool {
	return slices.ContainsFunc(u.places, func(p placement.Server) bool { return p.Free <= 0 || p.Free < u.shareSize() })
}

// withoutRoom names the servers that have no room for a share.
func (u *upload) withoutRoom() []error {
	var full []error
	for _, p := range u.places {
		if p.Free <= 0 || p.Free < u.shareSize() {
			full = append(full, withoutRoom(u.servers[p.ID], p.Free, u.shareSize()))
		}
	}
	return full
}

// withoutRoom says why a server gets no share of a size.
func withoutRoom(s share.Server, free, size int64) error {
	if s.Trouble != nil {
		return wrapServer(s, s.Trouble)
	}
	return wrapServer(s, fmt.Errorf("%w: %d bytes free, %d wanted", share.ErrNoSpace, max(0, free), size))
}

func (u *upload) shareSize() int64 {
	if u.o.Size < 0 {
		return 0
	}
	return u.layout.RootOffset() + encoding.MaxRootSize
}

// askPasts asks the servers what they have of the upload, and waits for most of the answers: the lanes wait for the rest.
func (u *upload) askPasts(ctx context.Context) error {
	start := time.Now()
	answers := make(chan *past, len(u.servers))
	servers := slices.Collect(maps.Values(u.servers))
	if u.o.Copy.Store != nil {
		servers = append(servers, u.o.Copy)
	}
	for _, s := range servers {
		resumer, ok := s.Store.(share.Resumer)
		if !ok {
			continue
		}
		p := &past{server: s, done: make(chan struct{}), stored: map[share.Number]share.StorageIndex{}}
		u.pasts[s.ID] = p
		u.running.Go(func() {
			u.askPast(resumer, p)
			answers <- p
		})
	}
	var grace <-chan time.Time
	for count := 0; count < len(u.pasts); {
		if grace == nil && 2*count >= len(u.pasts) {
			grace = time.After(max(minGrace, time.Since(start)))
		}
		select {
		case <-answers:
			count++
		case <-grace:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (u *upload) askPast(resumer share.Resumer, p *past) {
	defer close(p.done)
	ctx, cancel := awake.WithTimeout(u.ctx, askTimeout)
	defer cancel()
	progress, err := resumer.Uploads(ctx, u.o.Owner, u.id)
	p.err = inTime(ctx, err)
	for _, share := range progress {
		if int(share.Number) >= u.o.Params.Total || slices.Contains(p.numbers, share.Number) {
			continue
		}
		p.numbers = append(p.numbers, share.Number)
		if !share.Index.IsZero() {
			p.stored[share.Number] = share.Index
		}
	}
}

// usePasts enters what the servers have into the places. One that failed to answer gets nothing new. One that did not
// answer yet is taken to have what it got when the upload was planned the first time; its lanes will know better.
func (u *upload) usePasts() {
	// What cannot be planned without the past may well be planned with it.
	first, _ := placement.New(u.id[:], u.o.Params, u.shareSize(), u.places)
	for i := range u.places {
		place := &u.places[i]
		p := u.pasts[place.ID]
		if p == nil {
			continue
		}
		select {
		case <-p.done:
			place.Holds = slices.Clone(p.numbers)
			if p.err != nil {
				u.failures = append(u.failures, wrapServer(p.server, p.err))
				place.Full = true
			}
		default:
			for number := range u.o.Params.Total {
				if first.Assign[share.Number(number)] == place.ID {
					place.Holds = append(place.Holds, share.Number(number))
				}
			}
		}
	}
}

func (u *upload) addLane(number share.Number, server share.ServerID) {
	l := &lane{u: u, number: number, queue: make(chan *encoding.Segment, u.buffers), giveUp: func(error) {}}
	l.move(sending)
	if server != "" {
		l.server = u.servers[server]
		u.hold(server, number)
	}
	u.lanes = append(u.lanes, l)
}

func (u *upload) place(server share.ServerID) *placement.Server {
	i := slices.IndexFunc(u.places, func(p placement.Server) bool { return p.ID == server })
	return &u.places[i]
}

// hold notes that a share is on its way to a server.
func (u *upload) hold(server share.ServerID, number share.Number) {
	place := u.place(server)
	if !slices.Contains(place.Holds, number) {
		place.Holds = append(place.Holds, number)
		place.Free -= u.shareSize()
	}
}

// replace notes why a lane's server failed, and gives the lane another one if there is one and the share can still be
// sent from its beginning.
func (u *upload) replace(l *lane, cause error) bool {
	given := u.ctx.Err() != nil // nobody failed, but all is over
	if !given {
		u.o.Log.Warn("a server did not take its share", "server", l.server.String(), "share", l.number, "error", cause)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if l.copies {
		u.copyErr = cmp.Or(u.copyErr, error(&CopyError{Server: l.server, Err: cause}))
		return false
	}
	if !given {
		u.failures = append(u.failures, wrapServer(l.server, cause))
	}
	place := u.place(l.server.ID)
	place.Full = true
	place.Holds = slices.DeleteFunc(place.Holds, func(n share.Number) bool { return n == l.number })
	if given || l.released {
		return false
	}
	id, ok := placement.Replace(u.id[:], u.shareSize(), u.places, l.number)
	if ok {
		u.hold(id, l.number)
		l.server = u.servers[id]
	}
	return ok
}

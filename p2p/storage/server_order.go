package storage

import (
	"container/list"
	"fmt"
	"sync"

	"cairn/p2p/wire"
	"cairn/share"
)

// orderKept is of how many uploads the order is remembered; it is more than there are in progress, which is what matters.
const orderKept = 4096

// An order lets the creates of an upload take it over in the order in which the client sent them. It is safe for concurrent use.
type order struct {
	kept int

	mu     sync.Mutex // guards what follows
	byKey  map[orderKey]*list.Element
	recent *list.List // of *place, the newest first
}

type orderKey struct {
	peer   share.ServerID
	id     share.UploadID
	number share.Number
}

// A place is the create of an upload that came last.
type place struct {
	key   orderKey
	users int // who have the mutex or wait for it; guarded by that of the order

	mu     sync.Mutex // guards what follows, and the creation at the store
	taken  bool
	series wire.Series
	turn   int64
}

func newOrder(kept int) *order {
	return &order{kept: kept, byKey: make(map[orderKey]*list.Element), recent: list.New()}
}

// enter waits until no other create of the same upload is under way and returns what lets the next one in. It returns
// share.ErrBusy for one that the client sent before another one that was here.
func (o *order) enter(peer share.ServerID, m wire.Create) (leave func(), err error) {
	p := o.use(orderKey{peer, m.ID, m.Number})
	p.mu.Lock()
	leave = func() {
		p.mu.Unlock()
		o.mu.Lock()
		defer o.mu.Unlock()
		p.users--
	}
	if p.taken && p.series == m.Series && m.Turn < p.turn {
		leave()
		return nil, fmt.Errorf("create share %d: %w: a later writer of the same upload has been here", m.Number, share.ErrBusy)
	}
	p.taken, p.series, p.turn = true, m.Series, m.Turn
	return leave, nil
}

// use finds or makes the place of an upload, and forgets what was not used for longest where there are too many.
func (o *order) use(key orderKey) *place {
	o.mu.Lock()
	defer o.mu.Unlock()
	e := o.byKey[key]
	if e == nil {
		e = o.recent.PushFront(&place{key: key})
		o.byKey[key] = e
	}
	o.recent.MoveToFront(e)
	found := e.Value.(*place)
	found.users++
	for e := o.recent.Back(); e != nil && o.recent.Len() > o.kept; {
		older := e.Prev()
		if p := e.Value.(*place); p.users == 0 {
			o.recent.Remove(e)
			delete(o.byKey, p.key)
		}
		e = older
	}
	return found
}

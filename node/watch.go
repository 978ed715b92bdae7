package node

import (
	"context"
	"sync"
	"time"

	"cairn/introducer"
	"cairn/node/control"
	"cairn/node/doctor"
)

// A watch tells who joined or ceased to be a member since it last looked. It is safe for concurrent use.
type watch struct {
	mu    sync.Mutex // guards what follows
	known map[introducer.AccountKey]introducer.Member
}

// look compares the members of a roster with those of the last look. The first look tells nothing.
func (w *watch) look(members []introducer.Member) []control.Event {
	w.mu.Lock()
	defer w.mu.Unlock()
	var news []control.Event
	now := make(map[introducer.AccountKey]introducer.Member, len(members))
	for _, m := range members {
		now[m.Account] = m
		before, known := w.known[m.Account]
		if w.known != nil {
			news = append(news, memberEvents(before, known, m)...)
		}
	}
	w.known = now
	return news
}

// memberEvents says what became of one account.
func memberEvents(before introducer.Member, known bool, m introducer.Member) []control.Event {
	e := control.Event{Kind: control.KindMembership, Nickname: m.Nickname, Reason: m.Reason}
	is, was := m.State == introducer.StateMember, known && before.State == introducer.StateMember
	switch {
	case is && !was:
		e.Text = m.Nickname + " is a member now"
	case !is && was:
		e.Text = m.Nickname + " is a member no longer"
	case is && len(m.Devices) > len(before.Devices):
		e.Text = m.Nickname + " has another node"
	case is && len(m.Devices) < len(before.Devices):
		e.Text = m.Nickname + " has a node less"
	default:
		return nil
	}
	return []control.Event{e}
}

// openWatch turns changes of the roster into events.
func (n *Node) openWatch(context.Context) error {
	if n.roster == nil {
		return nil
	}
	w := &watch{}
	look := func() {
		for _, e := range w.look(n.roster.Members(time.Now())) {
			n.history.add(e)
		}
	}
	look()
	cancel := n.roster.Subscribe(look)
	n.opened(closerFunc(func() error {
		cancel()
		return nil
	}))
	return nil
}

// membership says whether the node belongs to a member of its grid, and for how long.
func (n *Node) membership() []doctor.Check {
	if n.roster == nil {
		return nil
	}
	now := time.Now()
	if m, ok := n.roster.AccountOf(n.dir.id, now); ok {
		return []doctor.Check{doctor.Membership(doctor.Member{Nickname: m.Nickname, Member: true, Expires: m.Expires})}
	}
	former, _ := n.roster.OwnerOf(n.dir.id, now)
	reason := former.Reason
	if reason == "" && former.Nickname != "" {
		reason = former.Nickname + " has removed it"
	}
	return []doctor.Check{doctor.Membership(doctor.Member{Nickname: former.Nickname, Reason: reason, Expired: former.State == introducer.StateExpired})}
}

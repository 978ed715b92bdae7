package node

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"cairn/grid/dir"
	"cairn/grid/tree"
	"cairn/introducer"
	"cairn/introducer/inbox"
	"cairn/node/control"
	"cairn/share"
	"cairn/share/capability"
)

// Share hands what a target leads to to somebody.
func (a api) Share(ctx context.Context, request control.ShareRequest) (control.Share, error) {
	r, err := a.shareable(ctx, request)
	if err != nil {
		return control.Share{}, err
	}
	given, err := a.give(ctx, r, request)
	given.Ended = err == nil && a.ended(ctx, r.capability)
	return given, err
}

// give hands over what is shareable.
func (a api) give(ctx context.Context, r record, request control.ShareRequest) (control.Share, error) {
	if request.To == "" {
		return a.hand(ctx, r)
	}
	s := a.n.sharing
	if s == nil {
		return control.Share{}, a.n.errOpen("")
	}
	m, err := a.n.member(request.To)
	if err != nil {
		return control.Share{}, err
	}
	if err := s.mayReceive(m); err != nil {
		return control.Share{}, err
	}
	if err := a.n.mayStore(a.n.company()); err != nil {
		return control.Share{}, err
	}
	s.doing.Lock()
	defer s.doing.Unlock()
	given, err := s.records(ctx, givenDirectory)
	if err != nil {
		return control.Share{}, err
	}
	r.account = m.Account
	open := 0
	for _, g := range given {
		if g.account == m.Account && tree.ID(g.capability) == tree.ID(r.capability) && tree.ID(g.capability) != "" {
			r.id = g.id // the same thing once more
			if s.offered(g) {
				r.again(g, request)
			}
		} else if g.account == m.Account && s.offered(g) {
			open++
		}
	}
	if open >= inbox.MaxNotes {
		return control.Share{}, &control.Error{
			Code: control.CodeRefused, Message: fmt.Sprintf("%s has %d notes of yours", m.Nickname, open), Hint: "\"cairn unshare\" takes some back",
		}
	}
	if err := s.keep(ctx, givenDirectory, r); err != nil {
		return control.Share{}, err
	}
	if err := s.deliver(ctx, m.Account); err != nil {
		return control.Share{}, fmt.Errorf("the note for %s could not be left yet, it is tried again while this node runs: %w", m.Nickname, err)
	}
	return s.shown(r), nil
}

// again fills in what is not said anew of a thing that is offered already.
func (r *record) again(before record, request control.ShareRequest) {
	if request.Message == "" {
		r.message = before.message
	}
	if request.Name == "" {
		r.name = before.name
	}
}

// shareable finds what is to be shared, and reduces it to what is to be given.
func (a api) shareable(ctx context.Context, request control.ShareRequest) (record, error) {
	refuse := func(format string, args ...any) error {
		return &control.Error{Code: control.CodeMalformed, Message: fmt.Sprintf(format, args...)}
	}
	switch {
	case len(request.Name) > inbox.MaxName || !utf8.ValidString(request.Name):
		return record{}, refuse("the name has more than %d bytes, or is not UTF-8", inbox.MaxName)
	case len(request.Message) > inbox.MaxMessage || !utf8.ValidString(request.Message):
		return record{}, refuse("the message has more than %d bytes, or is not UTF-8", inbox.MaxMessage)
	case request.Valid < 0:
		return record{}, refuse("the offer would have ended already")
	}
	if request.Name != "" {
		if _, err := dir.CheckName(request.Name); err != nil {
			return record{}, refuse("--name: nobody could accept it under that name: %v", err)
		}
	}
	p, n, err := a.resolve(ctx, request.Target)
	if err != nil {
		return record{}, p.explain(a.n, err)
	}
	if tree.ID(n.Entry.Capability) == tree.ID(a.n.home.capability()) {
		return record{}, &control.Error{
			Code: control.CodeRefused, Message: "this is your root directory, with your aliases and with what others share with you",
			Hint: "share a directory in it",
		}
	}
	c := n.Entry.Capability
	if request.Write && c.Authority() != capability.AuthorityWrite {
		return record{}, p.explain(a.n, fmt.Errorf("%w: nothing can be written with what is here; leave --write out", capability.ErrAuthority))
	}
	if !request.Write {
		if c, err = c.Read(); err != nil {
			return record{}, p.explain(a.n, err)
		}
	}
	r := record{capability: c, state: control.ShareOpen, path: p.path(n.Path), name: request.Name, message: request.Message, sent: time.Now().Truncate(time.Second)}
	if r.name == "" {
		r.name = n.Entry.Name
	}
	if r.name == "" && p.target.Alias != "" {
		r.name = p.target.Alias
	}
	if r.name == "" {
		r.name = "unnamed"
	}
	if request.Valid > 0 {
		r.expires = time.Now().Add(request.Valid).Truncate(time.Second)
	}
	var id [inbox.NoteLen]byte
	rand.Read(id[:]) // never fails
	r.id = noteText.EncodeToString(id[:])
	return r, nil
}

// hand returns the capability itself. In a private grid it is written down that it was given away.
func (a api) hand(ctx context.Context, r record) (control.Share, error) {
	s := a.n.sharing
	if s == nil {
		out := control.Share{
			ID: r.id, State: r.state, Name: r.name, Type: typeOf(r.capability), Kind: r.capability.Kind().String(), Right: rightOf(r.capability),
			Sent: r.sent, Path: r.path, Capability: r.capability.Text(),
		}
		return out, nil
	}
	s.doing.Lock()
	defer s.doing.Unlock()
	given, err := s.records(ctx, givenDirectory)
	if err != nil {
		return control.Share{}, err
	}
	for _, g := range given {
		if g.account.IsZero() && g.capability.Equal(r.capability) {
			r.id = g.id
		}
	}
	r.message, r.expires = "", time.Time{}
	if err := s.keep(ctx, givenDirectory, r); err != nil {
		return control.Share{}, err
	}
	out := s.shown(r)
	out.Capability = r.capability.Text()
	return out, nil
}

// mayReceive returns why nothing can be left for somebody.
func (s *sharing) mayReceive(m introducer.Member) error {
	switch {
	case m.Account == s.account.Key():
		return &control.Error{Code: control.CodeRefused, Message: "this is yourself", Hint: "your other devices have the same root directory"}
	case m.State != introducer.StateMember:
		return &control.Error{Code: control.CodeRefused, Message: fmt.Sprintf("%s is no member: %s", m.Nickname, m.Reason)}
	case m.Card == "":
		return &control.Error{
			Code: control.CodeRefused, Message: fmt.Sprintf("%s has not published yet what notes are sealed to", m.Nickname),
			Hint: "a node of theirs does that within half a minute once it meets others; or hand the capability over yourself: \"cairn share PATH\" without --to prints it",
		}
	}
	return nil
}

// offered reports whether a record belongs into the box of its receiver.
func (s *sharing) offered(r record) bool {
	return r.state == control.ShareOpen && (r.expires.IsZero() || r.expires.After(time.Now()))
}

// deliver makes the box for a receiver hold what is offered to it.
func (s *sharing) deliver(ctx context.Context, to introducer.AccountKey) error {
	s.mu.Lock()
	delete(s.sent, to)
	s.mu.Unlock()
	given, err := s.records(ctx, givenDirectory)
	if err != nil {
		return err
	}
	var notes []inbox.Note
	for _, r := range given {
		id, err := noteText.DecodeString(r.id)
		if r.account != to || !s.offered(r) || err != nil || len(id) != inbox.NoteLen || len(notes) == inbox.MaxNotes {
			continue
		}
		notes = append(notes, inbox.Note{
			ID: [inbox.NoteLen]byte(id), Capability: r.capability, Name: r.name, Message: r.message, Sent: r.sent, Expires: r.expires,
		})
	}
	pair := inbox.Pair{Grid: s.n.address.Grid.Key(), From: s.account.Key(), To: to}
	key, err := inbox.BoxKey(s.account, pair)
	if err != nil {
		return err
	}
	signed, err := inbox.Sign(s.account, pair, notes)
	if err != nil {
		return err
	}
	err = s.write(ctx, key, func(box []byte) ([]byte, error) {
		if box == nil && len(notes) == 0 || inbox.Holds(box, signed) {
			return nil, nil
		}
		card, err := s.card(ctx, to)
		if err != nil {
			return nil, err
		}
		return inbox.Seal(card, pair, signed)
	})
	if err == nil {
		s.mu.Lock()
		s.sent[to] = time.Now()
		s.mu.Unlock()
	}
	return err
}

// card reads the card of a member.
func (s *sharing) card(ctx context.Context, of introducer.AccountKey) (inbox.Card, error) {
	m, _ := s.n.roster.Member(of, time.Now())
	if m.Card == "" {
		return inbox.Card{}, fmt.Errorf("card of %s: %w", m.Nickname, share.ErrNotFound)
	}
	c, err := capability.ParseKind(m.Card, capability.KindMutableRead)
	if err != nil {
		return inbox.Card{}, fmt.Errorf("card of %s: %w", m.Nickname, err)
	}
	data, _, err := s.read(ctx, c)
	if err == nil && data == nil {
		err = share.ErrNotFound
	}
	if err != nil {
		return inbox.Card{}, fmt.Errorf("card of %s: %w", m.Nickname, err)
	}
	return inbox.ParseCard(data)
}

// settleEvery is how often the boxes are compared with what they should hold.
const settleEvery = 12 * time.Hour

// settle makes sure that all receivers have what is offered to them, and that what was taken back has ended: after a crash, a failure, or a
// change by another device.
func (s *sharing) settle(ctx context.Context) error {
	s.doing.Lock()
	defer s.doing.Unlock()
	given, err := s.records(ctx, givenDirectory)
	if err != nil {
		return err
	}
	seen := map[introducer.AccountKey]bool{{}: true}
	for _, r := range given {
		m, _ := s.n.roster.Member(r.account, time.Now())
		s.mu.Lock()
		due := time.Since(s.sent[r.account]) > settleEvery
		s.mu.Unlock()
		if seen[r.account] || !due || s.mayReceive(m) != nil {
			continue
		}
		seen[r.account] = true
		err = errors.Join(err, s.deliver(ctx, r.account))
	}
	return errors.Join(err, s.endLeft(ctx))
}

// replaced has the boxes written anew of those with whom something was shared that was stored anew.
func (s *sharing) replaced(ctx context.Context, made map[string]capability.Capability) error {
	given, err := s.records(ctx, givenDirectory)
	if err != nil {
		return err
	}
	ids := make(map[string]bool, len(made))
	for _, c := range made {
		ids[tree.ID(c)] = true
	}
	s.mu.Lock()
	for _, r := range given {
		if ids[tree.ID(r.capability)] {
			delete(s.sent, r.account)
		}
	}
	s.mu.Unlock()
	return s.settle(ctx)
}

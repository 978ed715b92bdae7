package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"cairn/grid/dir"
	"cairn/grid/tree"
	"cairn/internal/awake"
	"cairn/introducer"
	"cairn/introducer/inbox"
	"cairn/node/control"
	"cairn/share"
	"cairn/share/capability"
)

// An offer is a note with who sent it, and what the person made of it.
type offer struct {
	from introducer.Member
	note inbox.Note
	id   string
	kept *record // nil while nobody decided
}

func (o offer) state() string {
	switch {
	case o.kept != nil && o.kept.state == control.ShareDeclined:
		return control.ShareDeclined
	case o.kept != nil && !o.kept.capability.Equal(o.note.Capability):
		return control.ShareRenewed
	case o.kept != nil:
		return control.ShareAccepted
	case o.note.Expired(time.Now()):
		return control.ShareExpired
	}
	return control.ShareNew
}

func (o offer) shown() control.Share {
	c := o.note.Capability
	out := control.Share{
		ID: o.id, State: o.state(), Member: o.from.Nickname, Account: o.from.Account.String(), Name: o.note.Name, Message: o.note.Message,
		Type: typeOf(c), Kind: c.Kind().String(), Right: rightOf(c), Sent: o.note.Sent, Expires: o.note.Expires,
	}
	if o.kept != nil {
		out.Path = o.kept.path
	}
	return out
}

// An arrival is everything that is known of what others share with the person.
type arrival struct {
	offers    []offer
	withdrawn []record // accepted, and not offered any more
	problems  []string
}

// received reads the boxes of all members and compares them with what the person decided. What was accepted and is offered under
// new keys now is put in its place. What is new is told as an event.
func (s *sharing) received(ctx context.Context) (arrival, error) {
	s.doing.Lock()
	defer s.doing.Unlock()
	return s.receive(ctx)
}

// receive is received for who holds doing already.
func (s *sharing) receive(ctx context.Context) (arrival, error) {
	kept, err := s.records(ctx, receivedDirectory)
	if err != nil {
		return arrival{}, err
	}
	var a arrival
	unread := map[introducer.AccountKey]bool{}
	offered := map[string]bool{}
	for _, b := range s.boxes(ctx) {
		if b.err != nil {
			unread[b.from.Account] = true
			a.problems = append(a.problems, fmt.Sprintf("what %s shares is not known: %v", b.from.Nickname, b.err))
			continue
		}
		for _, note := range b.notes {
			o := offer{from: b.from, note: note, id: noteText.EncodeToString(note.ID[:])}
			i := slices.IndexFunc(kept, func(r record) bool { return r.id == o.id })
			if i >= 0 && kept[i].account != b.from.Account {
				a.problems = append(a.problems, b.from.Nickname+" uses the number of somebody else's note, which is left out")
				continue
			}
			if i >= 0 {
				o.kept = &kept[i]
			}
			offered[o.id] = true
			a.offers = append(a.offers, o)
		}
	}
	for _, r := range kept {
		if !offered[r.id] && !unread[r.account] && r.state == control.ShareAccepted {
			a.withdrawn = append(a.withdrawn, r)
		}
	}
	s.renew(ctx, &a)
	s.tell(a)
	return a, ctx.Err()
}

// A box is what one member offers.
type box struct {
	from  introducer.Member
	notes []inbox.Note
	err   error
}

// boxes reads the boxes of everybody who is a member now.
func (s *sharing) boxes(ctx context.Context) []box {
	var list []box
	for _, m := range s.n.roster.Members(time.Now()) {
		if m.State == introducer.StateMember && m.Account != s.account.Key() {
			list = append(list, box{from: m})
		}
	}
	var reading sync.WaitGroup
	turns := make(chan struct{}, sharesAtATime)
	for i := range list {
		turns <- struct{}{}
		reading.Go(func() {
			defer func() { <-turns }()
			list[i].notes, list[i].err = s.open(ctx, list[i].from.Account)
		})
	}
	reading.Wait()
	return list
}

// open reads the box that a member has for the person.
func (s *sharing) open(ctx context.Context, from introducer.AccountKey) ([]inbox.Note, error) {
	ctx, cancel := awake.WithTimeout(ctx, shareTimeout)
	defer cancel()
	pair := inbox.Pair{Grid: s.n.address.Grid.Key(), From: from, To: s.account.Key()}
	key, err := inbox.BoxKey(s.account, pair)
	if err != nil {
		return nil, err
	}
	c, err := capability.Mutable(key).Read()
	if err != nil {
		return nil, err
	}
	data, _, err := s.read(ctx, c)
	if err != nil || data == nil {
		return nil, err
	}
	return inbox.Open(s.account, pair, data)
}

// renew puts what is offered under new keys in the place of what was accepted: of the same kind, and where the person linked it.
func (s *sharing) renew(ctx context.Context, a *arrival) {
	for i, o := range a.offers {
		if o.state() != control.ShareRenewed || o.kept.capability.Kind() != o.note.Capability.Kind() {
			continue
		}
		r := *o.kept
		if err := s.replace(ctx, r, o.note.Capability); err != nil {
			if !errors.Is(err, share.ErrNotFound) {
				s.n.log.Info("what was shared has new keys, which could not be put in its place yet", "path", r.path, "error", err)
			}
			continue
		}
		r.capability = o.note.Capability
		if err := s.keep(ctx, receivedDirectory, r); err != nil {
			s.n.log.Info("new keys of what was shared could not be written down yet", "path", r.path, "error", err)
			continue
		}
		a.offers[i].kept = &r
		s.n.history.add(control.Event{
			Kind: control.KindShared, Nickname: o.from.Nickname, Text: fmt.Sprintf("%s handed over new keys of %s", o.from.Nickname, r.path),
		})
	}
}

// replace changes the entry at which the person linked what was shared, if it is still that. It returns share.ErrNotFound where
// it is not.
func (s *sharing) replace(ctx context.Context, r record, c capability.Capability) error {
	p, err := s.n.place(ctx, r.path)
	if err != nil {
		return err
	}
	n, err := s.n.names().Resolve(ctx, p.root, p.target.Path)
	if err != nil {
		return err
	}
	_, err = s.n.grid.Dirs().Update(ctx, n.Parent, func(e *dir.Editor) error {
		entry, err := e.Get(n.Entry.Name)
		switch {
		case err != nil:
			return err
		case entry.Capability.Equal(c):
			return nil // done, by another device or before a crash
		case !entry.Capability.Equal(r.capability):
			return share.ErrNotFound
		}
		entry.Capability, entry.Changed = c, time.Now()
		return e.Set(entry)
	})
	return err
}

// tell makes events of what is new since the node last looked.
func (s *sharing) tell(a arrival) {
	s.mu.Lock()
	defer s.mu.Unlock()
	known := map[string]string{}
	for _, o := range a.offers {
		key, text := o.from.Account.String()+o.id, o.note.Capability.Text()
		known[key] = text
		before, told := s.known[key]
		if state := o.state(); state != control.ShareNew && state != control.ShareRenewed || told && before == text {
			continue
		}
		s.n.history.add(control.Event{
			Kind: control.KindShared, Nickname: o.from.Nickname,
			Text: fmt.Sprintf("%s shares %q with you, to %s; \"cairn shares accept %s\" links it into your tree", o.from.Nickname, o.note.Name, rightOf(o.note.Capability), o.id[:8]),
		})
	}
	gone := map[string]bool{}
	for _, r := range a.withdrawn {
		gone[r.id] = true
		if s.gone[r.id] {
			continue
		}
		m, _ := s.n.roster.Member(r.account, time.Now())
		s.n.history.add(control.Event{
			Kind: control.KindWithdrawn, Nickname: m.Nickname, Text: fmt.Sprintf("%s shares %s with you no longer", m.Nickname, r.path),
		})
	}
	s.known, s.gone = known, gone
}

// Shares lists what is shared with the person and what the person shares.
func (a api) Shares(ctx context.Context) (control.Shares, error) {
	s := a.n.sharing
	if s == nil {
		return control.Shares{}, a.n.errOpen("")
	}
	if self, _ := a.n.roster.Member(s.account.Key(), time.Now()); self.Card == "" && a.n.company().alone() == "" {
		s.publishes(ctx) // who looks for shares need not wait until it is time
	}
	arrived, err := s.received(ctx)
	if err != nil {
		return control.Shares{}, err
	}
	list := control.Shares{Received: []control.Share{}, Given: []control.Share{}, Problems: arrived.problems}
	for _, o := range arrived.offers {
		list.Received = append(list.Received, o.shown())
	}
	for _, r := range arrived.withdrawn {
		r.state = control.ShareWithdrawn
		list.Received = append(list.Received, s.shown(r))
	}
	given, err := s.records(ctx, givenDirectory)
	if err != nil {
		return control.Shares{}, err
	}
	for _, r := range given {
		if r.state == control.ShareOpen && !s.offered(r) {
			r.state = control.ShareExpired
		}
		list.Given = append(list.Given, s.shown(r))
	}
	return list, nil
}

// find returns the offer with an id or the start of one.
func (s *sharing) find(ctx context.Context, id string) (offer, error) {
	arrived, err := s.receive(ctx)
	if err != nil {
		return offer{}, err
	}
	var found []offer
	for _, o := range arrived.offers {
		if len(id) >= 4 && strings.HasPrefix(o.id, id) {
			found = append(found, o)
		}
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		return offer{}, &control.Error{Code: control.CodeMalformed, Message: fmt.Sprintf("%.40q is the start of %d ids", id, len(found)), Hint: "give more of it"}
	}
	return offer{}, &control.Error{
		Code: control.CodeNotFound, Message: fmt.Sprintf("nothing with the id %.40q is shared with you", id), Hint: "\"cairn shares\" lists what is, with the ids",
	}
}

// AcceptShare links what is offered into the tree.
func (a api) AcceptShare(ctx context.Context, request control.AcceptRequest) (control.Share, error) {
	s := a.n.sharing
	if s == nil {
		return control.Share{}, a.n.errOpen("")
	}
	s.doing.Lock()
	defer s.doing.Unlock()
	o, err := s.find(ctx, request.ID)
	if err != nil {
		return control.Share{}, err
	}
	switch state := o.state(); {
	case state == control.ShareAccepted:
		return control.Share{}, &control.Error{Code: control.CodeFailed, Message: "accepted already: it is " + o.kept.path}
	case o.note.Expired(time.Now()):
		return control.Share{}, &control.Error{
			Code: control.CodeRefused, Message: fmt.Sprintf("the offer ended on %s", o.note.Expires.Format(time.DateTime)), Hint: "ask " + o.from.Nickname + " for it again",
		}
	}
	path, err := a.linkOffer(ctx, o, request.Target)
	if err != nil {
		return control.Share{}, err
	}
	r := record{
		id: o.id, account: o.from.Account, capability: o.note.Capability, state: control.ShareAccepted, path: path, name: o.note.Name, message: o.note.Message,
		sent: o.note.Sent, expires: o.note.Expires,
	}
	if err := s.keep(ctx, receivedDirectory, r); err != nil {
		return control.Share{}, err
	}
	out := s.shown(r)
	out.Ended = a.ended(ctx, r.capability)
	return out, nil
}

// linkOffer puts what is offered into a directory and returns the path.
func (a api) linkOffer(ctx context.Context, o offer, target string) (string, error) {
	name, badName := dir.CheckName(o.note.Name)
	numbered := target == ""
	if target == "" {
		if badName == nil && !prints(name) {
			badName = errors.New("it has characters that do not print")
		}
		if badName != nil {
			return "", &control.Error{
				Code: control.CodeRefused, Message: fmt.Sprintf("no entry can be called %.80q, as %s calls it: %v", o.note.Name, o.from.Nickname, badName),
				Hint: fmt.Sprintf("\"cairn shares accept %s PATH\" links it under a name of yours", o.id[:8]),
			}
		}
		target = control.HomeAlias + ":" + sharedDirectory + "/" + folderOf(o.from) + "/" + name
	}
	p, err := a.n.writable(ctx, target)
	if err != nil {
		return "", err
	}
	path := p.target.Path
	if numbered {
		names, _, err := tree.Split(path)
		if err != nil {
			return "", p.explain(a.n, err)
		}
		if _, err := a.n.names().MkdirAll(ctx, p.root, tree.Join(names[:len(names)-1])); err != nil {
			return "", p.explain(a.n, err)
		}
	} else {
		if badName != nil {
			name = ""
		}
		if path, _, err = a.destination(ctx, p, name); err != nil {
			return "", p.explain(a.n, err)
		}
	}
	entry := dir.Entry{Capability: o.note.Capability}
	entry.Modified = o.note.Sent
	a.describe(ctx, &entry)
	for i := 1; ; i++ {
		linked, err := a.n.names().Link(ctx, p.root, numberedName(path, i), entry, tree.LinkOptions{})
		if err == nil {
			return p.path(linked.Path), nil
		}
		if !numbered || !errors.Is(err, share.ErrExists) || i == maxNumber {
			return "", p.explain(a.n, err)
		}
	}
}

// maxNumber bounds the numbers that tell things of one name apart.
const maxNumber = 1000

func numberedName(path string, i int) string {
	if i == 1 {
		return path
	}
	suffix := fmt.Sprintf(" (%d)", i)
	at := strings.LastIndexByte(path, '/') + 1
	name := path[at:]
	for len(name)+len(suffix) > dir.MaxName {
		name = strings.ToValidUTF8(name[:len(name)-1], "")
	}
	return path[:at] + name + suffix
}

// folderOf returns the name of the directory for what a member shares.
func folderOf(m introducer.Member) string {
	if name, err := dir.CheckName(m.Nickname); err == nil && prints(name) {
		return name
	}
	return m.Account.Short()
}

// prints reports whether a text shows as what it is.
func prints(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) })
}

// DeclineShare says that what is offered is not wanted.
func (a api) DeclineShare(ctx context.Context, id string) (control.Share, error) {
	s := a.n.sharing
	if s == nil {
		return control.Share{}, a.n.errOpen("")
	}
	s.doing.Lock()
	defer s.doing.Unlock()
	o, err := s.find(ctx, id)
	if err != nil {
		return control.Share{}, err
	}
	if o.kept != nil && o.kept.state == control.ShareAccepted {
		return control.Share{}, &control.Error{
			Code: control.CodeFailed, Message: "it is accepted: " + o.kept.path, Hint: "\"cairn rm -r " + o.kept.path + "\" takes it out of your tree",
		}
	}
	nothing, err := capability.Literal(nil)
	if err != nil {
		return control.Share{}, err
	}
	r := record{id: o.id, account: o.from.Account, capability: nothing, state: control.ShareDeclined, name: o.note.Name, sent: o.note.Sent, expires: o.note.Expires}
	if err := s.keep(ctx, receivedDirectory, r); err != nil {
		return control.Share{}, err
	}
	out := o.shown()
	out.State = control.ShareDeclined
	return out, nil
}

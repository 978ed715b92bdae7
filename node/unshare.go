package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"cairn/grid"
	"cairn/grid/dir"
	"cairn/grid/tree"
	"cairn/introducer"
	"cairn/node/control"
	"cairn/share"
	"cairn/share/capability"
)

// Unshare takes back what was shared: the note, and for what can change the keys.
//
// The order of the writes makes a crash harmless: the share is marked first, the copies are complete and written down before anything
// leads to them, and the mark goes last. Doing it again finishes it.
func (a api) Unshare(ctx context.Context, request control.UnshareRequest, progress func(control.Progress)) (control.Unshared, error) {
	s := a.n.sharing
	if s == nil {
		return control.Unshared{}, a.n.errOpen("")
	}
	s.doing.Lock()
	defer s.doing.Unlock()
	u := &unsharing{a: a, s: s, progress: progress}
	if err := u.find(ctx, request); err != nil {
		return control.Unshared{}, err
	}
	if err := u.withdraw(ctx); err != nil {
		return control.Unshared{}, err
	}
	if u.rotates() {
		if err := u.rotate(ctx); err != nil {
			return control.Unshared{}, err
		}
	}
	if err := s.drop(ctx, givenDirectory, u.ending...); err != nil {
		return control.Unshared{}, err
	}
	if u.goesOn > 0 {
		return u.told(), nil
	}
	if err := s.endLeft(ctx); err != nil {
		a.n.log.Info("what earlier unsharings left is ended later", "error", err)
	}
	return u.told(), nil
}

// An unsharing is one Unshare on its way.
type unsharing struct {
	a        api
	s        *sharing
	progress func(control.Progress)

	place    place
	node     tree.Node // what the path leads to; zero where it leads to nothing
	path     string
	ending   []record
	others   []record // everything else that is given
	rotation *grid.Rotation
	renewed  []record
	goesOn   int      // how many of the former copies do not say that they have ended
	former   []string // what had new keys made for it that never came into use, by tree.ID
}

// find finds the thing and the shares of it that end.
func (u *unsharing) find(ctx context.Context, request control.UnshareRequest) error {
	var to introducer.AccountKey
	if request.To != "" {
		m, err := u.a.n.member(request.To)
		if err != nil {
			return err
		}
		to = m.Account
	}
	var err error
	if u.place, u.node, err = u.a.resolve(ctx, request.Target); err != nil && !errors.Is(err, share.ErrNotFound) {
		return u.place.explain(u.a.n, err)
	}
	u.path = u.place.path(u.node.Path)
	if err != nil { // it is gone, and what was shared can end all the same
		names, _, split := tree.Split(u.place.target.Path)
		if split != nil {
			return u.place.explain(u.a.n, split)
		}
		u.path, u.node = u.place.path(names), tree.Node{}
	}
	given, failed := u.s.records(ctx, givenDirectory)
	if failed != nil {
		return failed
	}
	id := tree.ID(u.node.Entry.Capability)
	for _, r := range given {
		same := id != "" && tree.ID(r.capability) == id || r.path == u.path
		if same && (request.To == "" || r.account == to) {
			u.ending = append(u.ending, r)
		} else {
			u.others = append(u.others, r)
		}
	}
	if len(u.ending) > 0 {
		return nil
	}
	if err != nil {
		return u.place.explain(u.a.n, err)
	}
	with := ""
	if request.To != "" {
		with = " with " + request.To
	}
	return &control.Error{Code: control.CodeNotFound, Message: u.path + " is not shared" + with, Hint: "\"cairn shares\" lists what is"}
}

// withdraw takes the notes back.
func (u *unsharing) withdraw(ctx context.Context) error {
	for i := range u.ending {
		u.ending[i].state = control.ShareEnding
	}
	if err := u.s.keep(ctx, givenDirectory, u.ending...); err != nil {
		return err
	}
	return u.deliver(ctx, u.ending)
}

// deliver writes the boxes of those who are named in records and are members.
func (u *unsharing) deliver(ctx context.Context, list []record) error {
	done := map[introducer.AccountKey]bool{{}: true}
	for _, r := range list {
		m, _ := u.s.n.roster.Member(r.account, time.Now())
		if done[r.account] || u.s.mayReceive(m) != nil {
			continue
		}
		done[r.account] = true
		if err := u.s.deliver(ctx, r.account); err != nil {
			return fmt.Errorf("the box for %s: %w; run it again", m.Nickname, err)
		}
	}
	return nil
}

// rotates reports whether new keys make a difference and can be put in place: the thing can change, and its name can be written.
func (u *unsharing) rotates() bool {
	c := u.node.Entry.Capability
	if kind := c.Kind(); kind != capability.KindDir && kind != capability.KindMutable {
		return false
	}
	return u.parent().Authority() == capability.AuthorityWrite || u.place.target.Alias != "" && u.place.target.Alias != control.HomeAlias && len(u.node.Path) == 0
}

func (u *unsharing) parent() capability.Capability { return u.node.Parent }

// rotate makes the thing anew under other keys, puts that in its place, and hands it to those who keep it.
func (u *unsharing) rotate(ctx context.Context) error {
	theirs, err := u.accepted(ctx)
	if err != nil {
		return err
	}
	if theirs[tree.ID(u.node.Entry.Capability)] {
		return nil // it is another member's, whose keys it has
	}
	theirs[tree.ID(u.a.n.home.capability())] = true // its key follows from the recovery phrase
	u.rotation, err = u.a.n.grid.Rotate(ctx, u.node.Entry.Capability, func(id string) bool { return theirs[id] }, func(c grid.Copied) {
		u.progress(control.Progress{Note: "changing keys", Done: int64(c.Directories + c.Files), Total: -1})
	})
	if err != nil {
		return u.place.explain(u.a.n, err)
	}
	if err := u.journal(ctx); err != nil {
		return err
	}
	for _, r := range u.others {
		if made, moved := u.rotation.Replaces(r.capability); moved {
			r.capability = made
			u.renewed = append(u.renewed, r)
		}
	}
	if len(u.renewed) > 0 {
		if err := u.s.keep(ctx, givenDirectory, u.renewed...); err != nil {
			return err
		}
	}
	if err := u.relink(ctx); err != nil {
		return err
	}
	if err := u.deliver(ctx, u.renewed); err != nil {
		return err
	}
	if err := u.finished(ctx); err != nil {
		return err
	}
	done := u.s.end(ctx, u.rotation.Former, u.progress)
	u.goesOn = len(u.rotation.Former) - len(done)
	return u.s.forget(ctx, done)
}

// journal writes down which copies take the place of what, before anything leads to them. What an earlier attempt wrote down and did
// not finish is either in the place of what it was made from by now, and was copied again, or it is not, and the new copies go
// where it was to go.
func (u *unsharing) journal(ctx context.Context) error {
	moved := u.rotation.Moved
	earlier, err := u.s.moving(ctx)
	if err != nil {
		return err
	}
	for was, c := range earlier {
		id := tree.ID(c)
		switch {
		case !moved[was].IsZero():
			moved[id] = moved[was]
		case !moved[id].IsZero():
			moved[was] = moved[id]
		default:
			u.former = append(u.former, was)
		}
	}
	err = u.s.edit(ctx, movingDirectory, func(e *dir.Editor) error {
		for was, c := range moved {
			if err := e.Set(dir.Entry{Name: was, Capability: c}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return u.s.remember(ctx, u.rotation.Former)
}

// moving returns the copies of rotations that were not finished, by the tree.ID of what they are copies of.
func (s *sharing) moving(ctx context.Context) (map[string]capability.Capability, error) {
	copies := map[string]capability.Capability{}
	in, err := s.n.names().Resolve(ctx, s.n.home.capability(), movingDirectory)
	if errors.Is(err, share.ErrNotFound) {
		return copies, nil
	}
	if err == nil {
		err = s.n.names().List(ctx, in, "", 0, func(n tree.Node) error {
			copies[n.Entry.Name] = n.Entry.Capability
			return nil
		})
	}
	return copies, err
}

// finished forgets which copies take the place of what, from when on the former ones are to be ended.
func (u *unsharing) finished(ctx context.Context) error {
	return u.s.edit(ctx, movingDirectory, func(e *dir.Editor) error {
		for was := range u.rotation.Moved {
			if err := e.Remove(was); err != nil && !errors.Is(err, share.ErrNotFound) {
				return err
			}
		}
		return nil
	})
}

// accepted returns what others shared with the person, by tree.ID.
func (u *unsharing) accepted(ctx context.Context) (map[string]bool, error) {
	received, err := u.s.records(ctx, receivedDirectory)
	ids := map[string]bool{}
	for _, r := range received {
		if id := tree.ID(r.capability); id != "" && r.state == control.ShareAccepted {
			ids[id] = true
		}
	}
	return ids, err
}

// relink puts the copies in the place of what they were made from: at the path first, then wherever else the person's tree leads to it.
func (u *unsharing) relink(ctx context.Context) error {
	g := u.a.n.grid
	if len(u.node.Path) > 0 && !u.copied(u.node.Parent) {
		if _, err := g.Relink(ctx, u.node.Parent, u.node.Entry.Name, u.rotation); err != nil {
			return u.place.explain(u.a.n, err)
		}
	}
	err := u.a.n.names().Walk(ctx, u.a.n.home.capability(), "", func(v tree.Visit) error {
		if v.Opened == nil || v.Entry.Capability.Kind() != capability.KindDir {
			return nil
		}
		path := tree.Join(v.Path)
		if path == receivedDirectory || path == givenDirectory || path == movingDirectory || path == endingDirectory || u.copied(v.Entry.Capability) {
			return tree.ErrSkip
		}
		for entry, err := range v.Opened.All(ctx) {
			if err != nil {
				return err
			}
			if _, moved := u.rotation.Replaces(entry.Capability); moved {
				_, err = g.Relink(ctx, v.Entry.Capability, "", u.rotation)
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("%s: the path has new keys; other links to it could not all be changed: %w; run it again", u.path, err)
	}
	u.a.n.aliases.replace(u.rotation.Replaces)
	return nil
}

// copied reports whether a directory is one that copies were made of. Those with whom it was shared read it, so nothing in it may lead
// to the copies.
func (u *unsharing) copied(c capability.Capability) bool {
	id := tree.ID(c)
	_, moved := u.rotation.Moved[id]
	return moved || slices.Contains(u.former, id)
}

func (u *unsharing) told() control.Unshared {
	out := control.Unshared{Path: u.path, Withdrawn: []control.Share{}, Renewed: []control.Share{}, Remains: u.remains()}
	for _, r := range u.ending {
		r.state = control.ShareWithdrawn
		out.Withdrawn = append(out.Withdrawn, u.s.shown(r))
	}
	for _, r := range u.renewed {
		out.Renewed = append(out.Renewed, u.s.shown(r))
	}
	if u.rotation != nil {
		out.Rotated, out.Directories, out.Files = true, u.rotation.Directories, u.rotation.Files
	}
	return out
}

// remains says what cannot be taken back.
func (u *unsharing) remains() []string {
	var list []string
	for _, r := range u.renewed {
		if !r.account.IsZero() && rightOf(r.capability) == control.RightWrite {
			list = append(list, "another member's writes are refused until their node has fetched the new keys, which it does every two minutes, or when they run \"cairn shares\"; what they wrote in the last moments may be in the old copy alone")
			break
		}
	}
	if u.goesOn > 0 {
		list = append(list, fmt.Sprintf("%d old copies could not be marked as such yet, so who could write there still can, and is not told that nobody looks at it; your nodes try it again until it is done", u.goesOn))
	}
	switch {
	case u.rotation != nil:
		list = append(list, "what was read or copied before stays with who did it, and so do the versions up to now for as long as the servers keep them",
			"files in it that never change stay readable for who has seen their capabilities; what you put there from now on is not to be seen")
	case u.node.Entry.Capability.IsZero():
		list = append(list, "nothing is at the path any more; who accepted it still reads what it held, for as long as the servers keep it")
	case u.node.Entry.Capability.Kind() == capability.KindDir, u.node.Entry.Capability.Kind() == capability.KindMutable:
		list = append(list, "its keys stay as they are, because it is another member's or because nothing can be written where its name stands: who accepted it still reads it")
	default:
		list = append(list, "it never changes, so there are no keys to change: who accepted it can read it for as long as the servers keep it")
	}
	for _, e := range u.ending {
		for _, r := range u.others {
			if r.account == e.account && r.state == control.ShareOpen && strings.HasPrefix(u.path+"/", strings.TrimSuffix(r.path, "/")+"/") {
				list = append(list, fmt.Sprintf("it is in %s, which is still shared with the same person", r.path))
			}
		}
	}
	return list
}

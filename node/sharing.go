package node

import (
	"context"
	"encoding/base32"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"cairn/grid/dir"
	"cairn/grid/mutable"
	"cairn/grid/tree"
	"cairn/introducer"
	"cairn/introducer/inbox"
	"cairn/node/control"
	"cairn/share"
	"cairn/share/capability"
	"cairn/share/keys"
)

// Where a person's shares are kept in the root directory, so that they come back with it. Each is an entry under its id, with
// the capability that was shared and the rest as the entry's user data.
const (
	givenDirectory    = internals + "/shares/given"
	receivedDirectory = internals + "/shares/received"
	// movingDirectory holds the copies that unshare makes, until they are in place.
	movingDirectory = internals + "/shares/moving"
	// endingDirectory holds former copies, with their write capabilities, until they are ended.
	endingDirectory = internals + "/shares/ending"
	// sharedDirectory is where what was accepted is linked.
	sharedDirectory = "shared"
	// maxShares bounds how many are kept of each.
	maxShares = 10000
)

// When a node looks into the boxes of the others, and how often it writes its own anew, so that their leases do not end.
const (
	shareAfter   = 10 * time.Second
	shareEvery   = 2 * time.Minute
	shareRewrite = 7 * 24 * time.Hour
	// shareTimeout bounds how long one member's box is waited for, sharesAtATime how many are read at once.
	shareTimeout  = 20 * time.Second
	sharesAtATime = 8
)

// A sharing is what a node does to hand capabilities to other members, and to get theirs.
type sharing struct {
	n       *Node
	account introducer.Account
	// doing is held by who changes what is given or received.
	doing   sync.Mutex
	endedTo string // the last former copy that was tried to be ended, under doing

	mu    sync.Mutex                          // guards what follows
	known map[string]string                   // the capability of each note that was told of, by its id and sender
	gone  map[string]bool                     // the ids of those of which it was told that they were withdrawn
	sent  map[introducer.AccountKey]time.Time // when the box of a receiver was last known to be right
}

func (n *Node) openSharing(context.Context) error {
	if n.roster == nil {
		return nil
	}
	account, err := n.dir.Account()
	if err != nil {
		return err
	}
	n.sharing = &sharing{
		n: n, account: account, known: map[string]string{}, gone: map[string]bool{}, sent: map[introducer.AccountKey]time.Time{},
	}
	ctx, cancel := context.WithCancel(context.Background())
	var task sync.WaitGroup
	task.Go(func() { n.sharing.run(ctx) })
	n.opened(closerFunc(func() error {
		cancel()
		task.Wait()
		return nil
	}))
	return nil
}

// run publishes the person's card, keeps the boxes right and looks for what is new, until the context ends.
func (s *sharing) run(ctx context.Context) {
	for wait := shareAfter; pause(ctx, wait); {
		if s.n.company().alone() != "" {
			continue // nobody else would have it, and nothing is to be found
		}
		wait = shareEvery
		if !s.publishes(ctx) {
			wait = shareAfter
		}
		if _, err := s.received(ctx); err != nil && ctx.Err() == nil {
			s.n.log.Info("cannot look for what is shared with you; it is tried again", "error", err)
		}
		if err := s.settle(ctx); err != nil && ctx.Err() == nil {
			s.n.log.Info("what you share could not be handed over; it is tried again", "error", err)
		}
	}
}

// publishes publishes the person's card and reports whether that is done.
func (s *sharing) publishes(ctx context.Context) bool {
	err := s.publish(ctx)
	if err != nil && ctx.Err() == nil {
		s.n.log.Info("the card that others need to share with you could not be published; it is tried again", "error", err)
	}
	return err == nil
}

// publish stores the person's card, unless it is there, and says in the roster where.
func (s *sharing) publish(ctx context.Context) error {
	card, err := inbox.CardOf(s.account)
	if err != nil {
		return err
	}
	key, err := inbox.CardKey(s.account, s.n.address.Grid.Key())
	if err != nil {
		return err
	}
	err = s.write(ctx, key, func(data []byte) ([]byte, error) {
		if string(data) == string(card.Encoded()) {
			return nil, nil
		}
		return card.Encoded(), nil
	})
	if err != nil {
		return err
	}
	read, err := capability.Mutable(key).Read()
	if err != nil {
		return err
	}
	if self, _ := s.n.roster.Member(s.account.Key(), time.Now()); self.Card == read.Text() {
		return nil
	}
	return s.n.roster.SetCard(s.account, read.Text(), time.Now())
}

// writeTries is how often a file is written anew that another device of the person writes too.
const writeTries = 5

// write makes a mutable file hold what next returns, given what it holds now, nil where it does not exist. Where next returns
// nothing, it is as it should be, and is written only when that was long ago.
func (s *sharing) write(ctx context.Context, key keys.WriteKey, next func([]byte) ([]byte, error)) error {
	for range writeTries {
		data, v, err := s.read(ctx, capability.Mutable(key))
		if err != nil {
			return err
		}
		wanted, err := next(data)
		if err != nil {
			return err
		}
		if wanted == nil {
			if v == nil || time.Since(v.Head.Written) < rewriteAfter(s.n.terms().Lease) {
				return nil
			}
			wanted = data
		}
		_, err = s.n.grid.Files().Write(ctx, key, v, strings.NewReader(string(wanted)), mutable.WriteOptions{})
		if !errors.Is(err, share.ErrConflict) {
			return err
		}
	}
	return fmt.Errorf("another device writes it all the time: %w", share.ErrConflict)
}

// rewriteAfter returns when a file that is right is written anew, so that its leases do not end while its reader is away.
func rewriteAfter(lease time.Duration) time.Duration {
	if lease == 0 {
		lease = share.DefaultLease
	}
	return min(shareRewrite, lease/3)
}

// read returns what a card or a box holds, nothing where there is none.
func (s *sharing) read(ctx context.Context, c capability.Capability) ([]byte, *mutable.Version, error) {
	v, err := s.n.grid.Files().Read(ctx, c)
	if errors.Is(err, share.ErrNotFound) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	data, err := v.Bytes(ctx, inbox.MaxBox)
	return data, v, err
}

// A record is what is kept of one share.
type record struct {
	id         string
	account    introducer.AccountKey // the other one; zero for whoever has the capability
	capability capability.Capability
	state      string
	path       string // what was shared, or where it was linked
	name       string
	message    string
	sent       time.Time
	expires    time.Time
}

var noteText = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

func timeText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

func (r record) entry() dir.Entry {
	user := map[string]string{}
	for key, value := range map[string]string{
		"state": r.state, "path": r.path, "name": r.name, "message": r.message, "sent": timeText(r.sent), "expires": timeText(r.expires),
	} {
		if value != "" {
			user[key] = value
		}
	}
	if !r.account.IsZero() {
		user["account"] = r.account.String()
	}
	now := time.Now()
	return dir.Entry{Name: r.id, Capability: r.capability, Metadata: dir.Metadata{Created: r.sent, Changed: now, User: user}}
}

func recordOf(e dir.Entry) (record, error) {
	r := record{
		id: e.Name, capability: e.Capability, state: e.User["state"], path: e.User["path"], name: e.User["name"], message: e.User["message"],
	}
	if text := e.User["account"]; text != "" {
		var err error
		if r.account, err = introducer.ParseAccountKey(text); err != nil {
			return r, err
		}
	}
	// A time that cannot be read is none.
	r.sent, _ = time.Parse(time.RFC3339, e.User["sent"])
	r.expires, _ = time.Parse(time.RFC3339, e.User["expires"])
	return r, nil
}

// records returns what is kept in one of the directories, oldest first.
func (s *sharing) records(ctx context.Context, directory string) ([]record, error) {
	if !s.n.home.exists(ctx) {
		return nil, nil
	}
	in, err := s.n.names().Resolve(ctx, s.n.home.capability(), directory)
	if errors.Is(err, share.ErrNotFound) {
		return nil, nil
	}
	var list []record
	if err == nil {
		err = s.n.names().List(ctx, in, "", maxShares, func(n tree.Node) error {
			if r, err := recordOf(n.Entry); err == nil {
				list = append(list, r)
			} else {
				s.n.log.Warn("an entry in "+directory+" is none of a share", "entry", n.Entry.Name, "error", err)
			}
			return nil
		})
	}
	if err != nil {
		return nil, fmt.Errorf("what is known of your shares: %w", err)
	}
	slices.SortStableFunc(list, func(a, b record) int { return a.sent.Compare(b.sent) })
	return list, nil
}

// keep writes records into one of the directories, in one write.
func (s *sharing) keep(ctx context.Context, directory string, list ...record) error {
	return s.edit(ctx, directory, func(e *dir.Editor) error {
		for _, r := range list {
			if err := e.Set(r.entry()); err != nil {
				return err
			}
		}
		return nil
	})
}

// drop removes records.
func (s *sharing) drop(ctx context.Context, directory string, list ...record) error {
	return s.edit(ctx, directory, func(e *dir.Editor) error {
		for _, r := range list {
			if err := e.Remove(r.id); err != nil && !errors.Is(err, share.ErrNotFound) {
				return err
			}
		}
		return nil
	})
}

func (s *sharing) edit(ctx context.Context, directory string, edit func(*dir.Editor) error) error {
	if err := s.n.home.make(ctx); err != nil {
		return err
	}
	in, err := s.n.names().MkdirAll(ctx, s.n.home.capability(), directory)
	if err == nil {
		_, err = s.n.grid.Dirs().Update(ctx, in.Entry.Capability, edit)
	}
	if err != nil {
		return fmt.Errorf("keep what is known of your shares: %w", err)
	}
	return nil
}

func rightOf(c capability.Capability) string {
	if c.Authority() == capability.AuthorityWrite {
		return control.RightWrite
	}
	return control.RightRead
}

// shown describes a record.
func (s *sharing) shown(r record) control.Share {
	out := control.Share{
		ID: r.id, State: r.state, Name: r.name, Message: r.message, Type: typeOf(r.capability), Kind: r.capability.Kind().String(),
		Right: rightOf(r.capability), Sent: r.sent, Expires: r.expires, Path: r.path,
	}
	if !r.account.IsZero() {
		out.Account = r.account.String()
		m, _ := s.n.roster.Member(r.account, time.Now())
		out.Member = m.Nickname
	}
	return out
}

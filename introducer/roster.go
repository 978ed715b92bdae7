package introducer

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"cairn/internal/wholefile"
	"cairn/share"
)

// Limits of a roster.
const (
	// MaxAccounts is how many accounts can be vouched for, those whose membership ended included.
	MaxAccounts = 10_000
	// MaxDevices is how many devices of an account count.
	MaxDevices = 32
	// MaxSkew is how far in the future a statement may be issued: clocks differ.
	MaxSkew = 24 * time.Hour

	maxClaims      = 4 * MaxDevices  // nodes that one account named, those removed included
	maxGrants      = 16              // issuers of grants for one account
	maxRevocations = MaxAccounts     // accounts that introducers revoked
	maxDead        = 2 * MaxAccounts // statements kept whose issuer has no authority
	maxBytes       = 64 << 20        // of all statements together; more only for the grid's key and for revocations
)

// A Roster knows who belongs to a grid: it holds signed statements and works out what they mean. It is safe for concurrent
// use.
type Roster struct {
	grid   Descriptor
	path   string // empty: in memory alone
	now    func() time.Time
	save   func(path string, data []byte) error
	verify func(*Statement) error

	maxBytes int

	view atomic.Pointer[view]

	adding sync.Mutex // one Add at a time, with what it writes to the file
	dirty  bool       // guarded by adding: the file lacks statements

	mu          sync.Mutex // guards what follows
	set         *set
	changed     chan struct{}
	subscribers map[int]func()
	subscribed  int
}

// NewRoster returns a roster in memory that knows nobody.
func NewRoster(grid Descriptor) *Roster {
	return &Roster{
		grid: grid, now: time.Now, set: newSet(), changed: make(chan struct{}), subscribers: map[int]func(){},
		save:   func(path string, data []byte) error { return wholefile.Write(path, data, 0o600) },
		verify: (*Statement).verify, maxBytes: maxBytes,
	}
}

// Grid returns the descriptor of the grid.
func (r *Roster) Grid() Descriptor { return r.grid }

// at returns what the roster means at a time.
func (r *Roster) at(now time.Time) *view {
	if v := r.view.Load(); v != nil && v.holdsAt(now) {
		return v
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return look(r.grid, r.set, now)
}

// current returns what the roster means by the clock, and remembers it until something expires or changes.
func (r *Roster) current() *view {
	now := r.now()
	if v := r.view.Load(); v != nil && v.holdsAt(now) {
		return v
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.refresh(now)
}

// refresh is current for who holds mu.
func (r *Roster) refresh(now time.Time) *view {
	v := r.view.Load()
	if v == nil || !v.holdsAt(now) {
		v = look(r.grid, r.set, now)
		r.view.Store(v)
	}
	return v
}

// Members returns everybody whom the roster knows as of now, sorted by nickname: members and, with their State and Reason, those
// who are none.
func (r *Roster) Members(now time.Time) []Member {
	v := r.at(now)
	sorted := slices.Clone(v.order)
	slices.SortFunc(sorted, func(a, b *standing) int {
		return cmp.Or(cmp.Compare(a.folded, b.folded), bytes.Compare(a.Account[:], b.Account[:]))
	})
	list := make([]Member, 0, len(sorted))
	for _, m := range sorted {
		list = append(list, m.copied())
	}
	return list
}

func (s *standing) copied() Member {
	m := s.Member
	m.Devices = slices.Clone(m.Devices)
	return m
}

// Member returns what the roster knows of one account as of now, whatever its State.
func (r *Roster) Member(account AccountKey, now time.Time) (Member, bool) {
	m := r.at(now).accounts[account]
	if m == nil {
		return Member{}, false
	}
	return m.copied(), true
}

// AccountOf returns the member to whom a node belongs.
func (r *Roster) AccountOf(id share.ServerID, now time.Time) (Member, bool) {
	c := r.at(now).nodes[id]
	if c == nil || c.fault != "" {
		return Member{}, false
	}
	return c.of.copied(), true
}

// NicknameTaken returns the account of the member, or of the one who can be again, that has this nickname. Capitals do not
// make a nickname another one.
func (r *Roster) NicknameTaken(nickname string, now time.Time) (AccountKey, bool) {
	v := r.at(now)
	want := fold(nickname)
	var signed *standing // whose grant says so, though it is shown by another nickname
	for _, m := range v.order {
		if !m.claims() {
			continue
		}
		if m.folded == want {
			return m.Account, true
		}
		if fold(m.Granted.Nickname) == want {
			signed = m
		}
	}
	if signed == nil {
		return AccountKey{}, false
	}
	return signed.Account, true
}

// Settings returns the settings that count as of now; where nobody signed any, those of the grid's descriptor with the
// default policy, and Seq 0.
func (r *Roster) Settings(now time.Time) Settings { return r.at(now).settings }

// NextChange returns when the membership changes by itself next, because something expires.
func (r *Roster) NextChange(now time.Time) (time.Time, bool) {
	until := r.at(now).until
	return until, !until.IsZero()
}

// Credentials returns what shows to somebody who holds nothing but the grid's descriptor that a node belongs to a member: the
// grants from the grid's key down to the account, then the account's statement about the node. The error is Admit's where it
// does not.
func (r *Roster) Credentials(id share.ServerID) ([][]byte, error) {
	v := r.current()
	c := v.nodes[id]
	if c == nil || c.fault != "" {
		return nil, v.admit(id)
	}
	chain := []*Statement{c.st}
	for m := c.of; m != nil; m = v.accounts[m.GrantedBy] {
		chain = append(chain, m.grant)
	}
	slices.Reverse(chain)
	return raw(chain), nil
}

// Admit returns nil when the node belongs to a member, and otherwise an error that wraps share.ErrDenied and says why. It
// costs a look into a table. An open grid admits everybody.
func (r *Roster) Admit(id share.ServerID) error {
	if r.grid.Open {
		return nil
	}
	return r.current().admit(id)
}

var _ Gate = (*Roster)(nil)

func (v *view) admit(id share.ServerID) error {
	c := v.nodes[id]
	switch {
	case c == nil:
		return fmt.Errorf("peer %s is not a member of grid %s: %w", id.Short(), v.grid, share.ErrDenied)
	case c.fault != "":
		return fmt.Errorf("peer %s is not a member of grid %s: %s: %w", id.Short(), v.grid, c.fault, share.ErrDenied)
	}
	return nil
}

// Changed returns a channel that is closed at the next change of the statements. Something that expires is no change: see
// NextChange.
func (r *Roster) Changed() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.changed
}

// Subscribe has a function called after each change of the statements, from the goroutine that made it and while it holds no
// lock, until cancel is called.
func (r *Roster) Subscribe(f func()) (cancel func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	id := r.subscribed
	r.subscribed++
	r.subscribers[id] = f
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.subscribers, id)
	}
}

// tell tells everybody who waits for a change.
func (r *Roster) tell() {
	r.mu.Lock()
	close(r.changed)
	r.changed = make(chan struct{})
	calls := make([]func(), 0, len(r.subscribers))
	for _, f := range r.subscribers {
		calls = append(calls, f)
	}
	r.mu.Unlock()
	for _, f := range calls {
		f()
	}
}

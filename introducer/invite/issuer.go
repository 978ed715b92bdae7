package invite

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"cairn/introducer"
	"cairn/share"
)

// MaxValidity is how long an invitation may be valid.
const MaxValidity = 366 * 24 * time.Hour

// Config describes the issuing side of a node. Path, Roster, Self and Addresses are required.
type Config struct {
	// Path is the file that keeps what was issued and used.
	Path   string
	Roster *introducer.Roster
	// Signer vouches for new members; nil where this node has no key that may.
	Signer *introducer.Signer
	// Account is whose devices are paired; zero where none can be.
	Account introducer.Account
	// Kit is what else a paired device gets, at most MaxKit bytes that mean something to nodes alone.
	Kit []byte
	// Self is the id of this node.
	Self share.ServerID
	// Addresses returns full multiaddrs at which this node is reached, the best first.
	Addresses func() []string
	// Contacts returns full multiaddrs of members that a new one tries first; Addresses when nil.
	Contacts func() []string
	// Now is the clock; time.Now when nil.
	Now func() time.Time
	// Logger receives what happens; nothing is logged when nil.
	Logger *slog.Logger
}

// Terms are what an invitation offers.
type Terms struct {
	Kind Kind // KindMember when zero
	// Nickname is what the grid calls the new member; empty leaves it to them, as it does for more than one use where they
	// wish for another one.
	Nickname   string
	Quota      int64 // bytes; 0: by the grid's policy
	Introducer bool
	// MemberUntil is when the membership ends; zero is never.
	MemberUntil time.Time
	// Expires is when the invitation ends, at most MaxValidity from now.
	Expires time.Time
	// Uses is how many people may use it, 1 when zero, at most MaxUses.
	Uses int
}

// A State says whether an invitation can be used.
type State string

// The states of an invitation.
const (
	Open      State = "open"
	Used      State = "used"
	Expired   State = "expired"
	Cancelled State = "cancelled"
)

// An Issued is an invitation as the issuing node knows it. It does not hold the secret.
type Issued struct {
	ID    string `json:"id"` // eight hexadecimal digits
	State State  `json:"state"`
	Terms Terms  `json:"terms"`
	// Created is when it was issued.
	Created time.Time `json:"created"`
	// Used are those that it let in.
	Used []Use `json:"used"`
}

// A Use is one person, or one device, that an invitation let in.
type Use struct {
	Account  introducer.AccountKey `json:"account,omitzero"`
	Node     share.ServerID        `json:"node"`
	Nickname string                `json:"nickname,omitempty"`
	Time     time.Time             `json:"time"`
}

// An Issuer issues, lists, cancels and redeems the invitations of one node. It is safe for concurrent use.
type Issuer struct {
	cfg  Config
	log  *slog.Logger
	now  func() time.Time
	save func([]*entry) error
	// consumed runs between the moment a use is on disk and the answer; tests stop there.
	consumed func() error

	guesses guesses // by address
	holders guesses // by invitation
	slots   chan struct{}

	mu      sync.Mutex
	entries []*entry
}

// OpenIssuer reads the file of invitations. One that is damaged, or of another grid, is moved aside with a warning: the
// invitations in it are void then.
func OpenIssuer(cfg Config) (*Issuer, error) {
	if cfg.Path == "" || cfg.Roster == nil || cfg.Self == "" || cfg.Addresses == nil {
		return nil, errors.New("invitations: file, roster, own id or own addresses are missing")
	}
	if len(cfg.Kit) > MaxKit {
		return nil, fmt.Errorf("invitations: a kit of %d bytes: %w", len(cfg.Kit), share.ErrTooLarge)
	}
	if cfg.Contacts == nil {
		cfg.Contacts = cfg.Addresses
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	grid := cfg.Roster.Grid().ID()
	i := &Issuer{
		cfg: cfg, log: cfg.Logger, now: cfg.Now, consumed: func() error { return nil }, slots: make(chan struct{}, servedAtOnce),
		save: func(list []*entry) error { return writeLedger(cfg.Path, grid, list) },
	}
	var err error
	i.entries, err = readLedger(cfg.Path, grid)
	switch {
	case err == nil:
		i.entries = prune(i.entries, i.now())
	case errors.Is(err, share.ErrCorrupt), errors.Is(err, share.ErrDenied), errors.Is(err, share.ErrTooLarge):
		aside := cfg.Path + ".damaged"
		i.log.Warn("the invitations cannot be read and are void; the file is moved aside", "to", aside, "error", err)
		if err := os.Rename(cfg.Path, aside); err != nil {
			return nil, fmt.Errorf("invitations: %w", err)
		}
	default:
		return nil, fmt.Errorf("invitations: %w", err)
	}
	return i, nil
}

// Issue makes an invitation and keeps what is needed to redeem it. It returns share.ErrDenied, wrapped, where this node may not
// take in members, introducer.ErrNicknameTaken where the nickname is another member's, and share.ErrTooLarge where too
// many invitations are open.
func (i *Issuer) Issue(t Terms) (Invitation, error) {
	inv, err := i.issue(t)
	if err != nil {
		return Invitation{}, fmt.Errorf("invite: %w", err)
	}
	return inv, nil
}

func (i *Issuer) issue(t Terms) (Invitation, error) {
	now := i.now()
	if t.Kind == 0 {
		t.Kind = KindMember
	}
	if t.Uses == 0 {
		t.Uses = 1
	}
	if err := i.check(t, now); err != nil {
		return Invitation{}, err
	}
	inv, err := newInvitation(t.Kind, t.Expires, chooseAddresses(i.cfg.Self, i.cfg.Addresses()))
	if err != nil {
		return Invitation{}, err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	list := prune(i.entries, now)
	open := 0
	for _, e := range list {
		if e.closed(now).IsZero() {
			open++
		}
	}
	if open >= maxOpen {
		return Invitation{}, fmt.Errorf("%w: %d invitations are open; cancel some", share.ErrTooLarge, open)
	}
	list = append(list, &entry{
		ID: inv.id(), Key: inv.key(), Kind: t.Kind, Nickname: t.Nickname, Quota: t.Quota, Introducer: t.Introducer,
		MemberUntil: t.MemberUntil, Uses: t.Uses, Created: now.UTC().Truncate(time.Second), Expires: inv.Expires,
	})
	if err := i.save(list); err != nil {
		return Invitation{}, err
	}
	i.entries = list
	return inv, nil
}

// check finds terms that this node cannot keep.
func (i *Issuer) check(t Terms, now time.Time) error {
	switch {
	case t.Kind != KindMember && t.Kind != KindDevice:
		return fmt.Errorf("unknown %s", t.Kind)
	case !t.Expires.After(now) || t.Expires.Sub(now) > MaxValidity:
		return fmt.Errorf("it would expire at %s: want a time within a year from now", t.Expires.Format(time.RFC3339))
	case t.Uses < 1 || t.Uses > MaxUses:
		return fmt.Errorf("%d uses: want 1 to %d", t.Uses, MaxUses)
	case t.Quota < 0 || t.Quota > introducer.MaxQuota:
		return fmt.Errorf("a quota of %d bytes: want 0 to %d", t.Quota, int64(introducer.MaxQuota))
	case !t.MemberUntil.IsZero() && !t.MemberUntil.After(now):
		return errors.New("the membership would be over already")
	}
	if t.Kind == KindDevice {
		return i.checkDevice(t, now)
	}
	if err := i.mayVouch(now); err != nil {
		return err
	}
	if t.Nickname == "" {
		return nil
	}
	if err := introducer.ValidNickname(t.Nickname); err != nil {
		return err
	}
	if other, taken := i.cfg.Roster.NicknameTaken(t.Nickname, now); taken && t.Uses == 1 {
		return fmt.Errorf("%q: %w by account %s", t.Nickname, introducer.ErrNicknameTaken, other.Short())
	}
	return nil
}

func (i *Issuer) checkDevice(t Terms, now time.Time) error {
	if t.Nickname != "" || t.Quota != 0 || t.Introducer || !t.MemberUntil.IsZero() {
		return errors.New("a device has the terms of its owner")
	}
	if i.cfg.Account.IsZero() {
		return fmt.Errorf("%w: this node has no account", share.ErrDenied)
	}
	m, known := i.cfg.Roster.Member(i.cfg.Account.Key(), now)
	if !known || m.State != introducer.StateMember {
		return fmt.Errorf("%w: the account of this node is not a member", share.ErrDenied)
	}
	return nil
}

// mayVouch returns nil where this node has the authority to take in members.
func (i *Issuer) mayVouch(now time.Time) error {
	if i.cfg.Signer == nil {
		return fmt.Errorf("%w: only introducers invite, and this node is none", share.ErrDenied)
	}
	account := i.cfg.Signer.Issuer()
	if account.IsZero() {
		return nil // the grid's key
	}
	m, known := i.cfg.Roster.Member(account, now)
	if !known || m.State != introducer.StateMember || !m.Introducer {
		return fmt.Errorf("%w: only introducers invite, and account %s is none", share.ErrDenied, account.Short())
	}
	return nil
}

// List returns the invitations, the newest first; those that ended are listed for a month.
func (i *Issuer) List() []Issued {
	i.mu.Lock()
	defer i.mu.Unlock()
	now := i.now()
	list := make([]Issued, 0, len(i.entries))
	for _, e := range slices.Backward(prune(i.entries, now)) {
		list = append(list, e.issued(now))
	}
	return list
}

func (e *entry) issued(now time.Time) Issued {
	out := Issued{
		ID: e.ID.String(), State: Open, Created: e.Created, Used: []Use{},
		Terms: Terms{
			Kind: e.Kind, Nickname: e.Nickname, Quota: e.Quota, Introducer: e.Introducer, MemberUntil: e.MemberUntil,
			Expires: e.Expires, Uses: e.Uses,
		},
	}
	switch {
	case !e.Cancelled.IsZero():
		out.State = Cancelled
	case len(e.Used) >= e.Uses:
		out.State = Used
	case !now.Before(e.Expires):
		out.State = Expired
	}
	for _, u := range e.Used {
		out.Used = append(out.Used, Use(u))
	}
	return out
}

// idStart is how many digits of an invitation's id name it at least: a mistyped nickname is hardly the start of one.
const idStart = 4

// Cancel makes an invitation useless from now on, named by its id, by the first four digits of it or more, or by the nickname in it. Members that
// it let in stay. It returns share.ErrNotFound, wrapped, when there is none that can still be used, and an error when there are several.
func (i *Issuer) Cancel(name string) (Issued, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	now := i.now()
	list := slices.Clone(i.entries)
	found := -1
	for n, e := range list {
		match := name != "" && strings.EqualFold(e.Nickname, name) || len(name) >= idStart && strings.HasPrefix(e.ID.String(), strings.ToLower(name))
		if !match || !e.valid(now) || !e.closed(now).IsZero() {
			continue
		}
		if found >= 0 {
			return Issued{}, fmt.Errorf("cancel invitation: %q names several; give the id", name)
		}
		found = n
	}
	if found < 0 {
		return Issued{}, fmt.Errorf("cancel invitation: no open invitation is called %q: %w", name, share.ErrNotFound)
	}
	cancelled := *list[found]
	cancelled.Cancelled = now.UTC().Truncate(time.Second)
	list[found] = &cancelled
	if err := i.save(list); err != nil {
		return Issued{}, fmt.Errorf("cancel invitation: %w", err)
	}
	i.entries = list
	return cancelled.issued(now), nil
}

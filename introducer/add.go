package introducer

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"cairn/share"
)

// A RefusedError says that a roster did not take statements, and why it did not take the first of them.
type RefusedError struct {
	Refused int
	// Reasons are at most three. Each wraps share.ErrDenied (no authority, another grid, the future), share.ErrCorrupt
	// (malformed or forged), share.ErrTooLarge (a limit) or share.ErrVersion.
	Reasons []error
}

// maxReasons bounds a RefusedError.
const maxReasons = 3

func (e *RefusedError) Error() string {
	if e.Refused == 1 && len(e.Reasons) == 1 {
		return "refused a statement: " + e.Reasons[0].Error()
	}
	return fmt.Sprintf("refused %d statements: %v", e.Refused, errors.Join(e.Reasons...))
}

// Unwrap gives access to the reasons.
func (e *RefusedError) Unwrap() []error { return e.Reasons }

func (e *RefusedError) add(reason error) {
	e.Refused++
	if len(e.Reasons) < maxReasons {
		e.Reasons = append(e.Reasons, reason)
	}
}

// Add takes statements in any order and returns how many were news. What the roster has already, or has newer, is neither
// news nor an error. What it refuses is told by a *RefusedError; it keeps the others. When there is news it writes its file
// before it returns; should that fail, the news counts all the same, the error says so, and the next Add tries again.
func (r *Roster) Add(statements ...[]byte) (news int, err error) {
	var refused RefusedError
	candidates := r.read(statements, &refused)

	r.adding.Lock()
	news = r.take(candidates, &refused)
	r.dirty = r.dirty || news > 0
	if r.dirty {
		err = r.write()
		r.dirty = err != nil
	}
	r.adding.Unlock()

	if news > 0 {
		r.tell()
	}
	if refused.Refused > 0 {
		err = errors.Join(&refused, err)
	}
	return news, err
}

// read parses statements and verifies the signatures of those that the roster does not hold.
func (r *Roster) read(statements [][]byte, refused *RefusedError) []*Statement {
	list := make([]*Statement, 0, len(statements))
	for _, data := range statements {
		st, err := parseStatement(r.grid, data)
		if err != nil {
			refused.add(err)
			continue
		}
		list = append(list, st)
	}
	r.mu.Lock()
	wanted := list[:0]
	for _, st := range list {
		if r.set.wants(st) {
			wanted = append(wanted, st)
		}
	}
	r.mu.Unlock()
	faults := verifyAll(wanted, r.verify)
	good := wanted[:0]
	for i, st := range wanted {
		if faults[i] != nil {
			refused.add(faults[i])
			continue
		}
		good = append(good, st)
	}
	return good
}

// verifyAll verifies the signatures of statements on all processors and returns what is wrong with each.
func verifyAll(list []*Statement, verify func(*Statement) error) []error {
	faults := make([]error, len(list))
	workers := min(runtime.GOMAXPROCS(0), 1+len(list)/64)
	var group sync.WaitGroup
	for w := range workers {
		group.Go(func() {
			for i := w; i < len(list); i += workers {
				faults[i] = verify(list[i])
			}
		})
	}
	group.Wait()
	return faults
}

// take puts statements into the set whose issuer has the authority, as the statements themselves may give it to each other.
func (r *Roster) take(candidates []*Statement, refused *RefusedError) (news int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	for len(candidates) > 0 {
		v := r.refresh(now)
		room := &room{set: r.set, view: v, now: now, bytes: r.maxBytes, newcomers: map[AccountKey]bool{}, barred: map[AccountKey]bool{}}
		waiting, taken := candidates[:0], 0
		var reasons []error
		for _, st := range candidates {
			if !r.set.wants(st) {
				continue
			}
			switch reason, final := room.refuses(st); {
			case reason == nil:
				r.set.put(st)
				taken++
			case final:
				refused.add(reason)
			default:
				waiting, reasons = append(waiting, st), append(reasons, reason)
			}
		}
		news += taken
		if taken == 0 {
			for _, reason := range reasons {
				refused.add(reason)
			}
			break
		}
		r.view.Store(nil)
		candidates = waiting
	}
	if news > 0 {
		r.view.Store(nil)
		r.refresh(now)
		r.forget(now)
	}
	return news
}

// A room says what there is room for in a set.
type room struct {
	set               *set
	view              *view
	now               time.Time
	bytes             int                 // see maxBytes
	newcomers, barred map[AccountKey]bool // accounts that were added since the view was made
}

// refuses returns why the set does not take a statement that it wants, and whether other statements cannot change that.
func (m *room) refuses(st *Statement) (reason error, final bool) {
	if st.issued().After(m.now.Add(MaxSkew)) {
		return fmt.Errorf("%s: issued on %s, which is in the future; check the clocks: %w",
			st.Kind, st.issued().Format(time.RFC3339), share.ErrDenied), true
	}
	if reason := m.unauthorised(st); reason != nil {
		return reason, false
	}
	if m.set.slots[st.slot()] != nil {
		return nil, true
	}
	if !st.Issuer.IsZero() && st.Kind != KindRevocation && m.set.bytes > m.bytes {
		return fmt.Errorf("%s: the roster has %d bytes: %w", st.Kind, m.set.bytes, share.ErrTooLarge), true
	}
	account := AccountKey(st.subject)
	switch st.Kind {
	case KindGrant:
		if m.view.accounts[account] == nil || m.view.accounts[account].Depth == 0 {
			if len(m.newcomers)+m.view.vouched >= MaxAccounts && !m.newcomers[account] {
				return fmt.Errorf("grant: the grid has %d accounts: %w", MaxAccounts, share.ErrTooLarge), true
			}
			m.newcomers[account] = true
		}
		if !st.Issuer.IsZero() && m.issuers(account) >= maxGrants {
			return fmt.Errorf("grant: %d others vouch for account %s: %w", maxGrants, account.Short(), share.ErrTooLarge), true
		}
	case KindRevocation:
		if len(m.set.revocations[account]) == 0 && !m.barred[account] && !st.Issuer.IsZero() {
			if len(m.barred)+m.view.barred >= maxRevocations {
				return fmt.Errorf("revocation: %d accounts are revoked: %w", maxRevocations, share.ErrTooLarge), true
			}
			m.barred[account] = true
		}
	case KindDevice:
		if len(m.set.devices[st.Issuer]) >= maxClaims {
			return fmt.Errorf("device: account %s named %d devices: %w", st.Issuer.Short(), maxClaims, share.ErrTooLarge), true
		}
	case KindSettings, KindContact:
	}
	return nil, true
}

// unauthorised returns why nobody has to heed the issuer of a statement.
func (m *room) unauthorised(st *Statement) error {
	if st.Issuer.IsZero() {
		return nil
	}
	issuer := m.view.accounts[st.Issuer]
	if issuer == nil {
		return fmt.Errorf("%s: nobody vouches for account %s, which signed it: %w", st.Kind, st.Issuer.Short(), share.ErrDenied)
	}
	ofItself := st.Kind == KindDevice || st.Kind == KindContact
	switch {
	case ofItself && issuer.claims(), !ofItself && issuer.introduces():
		return nil
	case issuer.State != StateMember:
		return fmt.Errorf("%s: signed by %s (%s), who is no member: %s: %w", st.Kind, issuer.Nickname, st.Issuer.Short(),
			issuer.Reason, share.ErrDenied)
	}
	return fmt.Errorf("%s: signed by %s (%s), who is no introducer: %w", st.Kind, issuer.Nickname, st.Issuer.Short(), share.ErrDenied)
}

// issuers returns how many of those who vouch for an account have the authority.
func (m *room) issuers(account AccountKey) int {
	n := 0
	for issuer := range m.set.grantsOf[account] {
		if _, ok := m.view.authority(issuer); ok {
			n++
		}
	}
	return n
}

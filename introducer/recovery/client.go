package recovery

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/libp2p/go-libp2p/core/crypto"

	"cairn/internal/awake"
	"cairn/introducer"
	"cairn/introducer/message"
	"cairn/p2p"
	"cairn/share"
)

// answerWithin bounds one exchange, once the member is reached.
const answerWithin = 9 * time.Second

// A Reacher reaches nodes that this one is no member with: p2p.Host.
type Reacher interface {
	ID() share.ServerID
	Reach(ctx context.Context, addresses []string, name string) (p2p.Stream, share.ServerID, error)
}

// A Claimant is who wants to be let back in.
type Claimant struct {
	Account introducer.Account
	// Node is the key of the new node; its id is the Reacher's. Device is what it is called.
	Node   crypto.PrivKey
	Device string
	// Grid is the short id of the grid that is looked for; empty takes whichever the member belongs to.
	Grid string
}

// A Membership is what came back.
type Membership struct {
	Grid introducer.Descriptor
	// Contacts are full multiaddrs of members to meet first, the one that was asked before all.
	Contacts []string
	// Member is how the grid knows the person; its devices include the new node.
	Member introducer.Member
	// Statements are for introducer.Roster.Add.
	Statements [][]byte
	// From is the member that answered.
	From share.ServerID
}

// Recover asks members in turn, whose full multiaddrs these are, until one lets the account back in. The error is ErrUnknown,
// ErrOtherGrid, a *RefusedError where the account was revoked or has expired, or wraps share.ErrUnavailable when nobody was
// reached; where members answered differently, the one that says most.
func Recover(ctx context.Context, host Reacher, addresses []string, who Claimant) (Membership, error) {
	if who.Account.IsZero() || who.Node == nil {
		return Membership{}, errors.New("recover: an account or the node's key is missing")
	}
	worst := fmt.Errorf("%w: no address of a member is known", share.ErrUnavailable)
	for i, at := range byPeer(addresses) {
		m, err := recoverAt(ctx, host, at, who)
		if err == nil {
			return m, nil
		}
		if i == 0 || weight(err) > weight(worst) {
			worst = err
		}
		if ctx.Err() != nil {
			break
		}
	}
	return Membership{}, fmt.Errorf("recover: %w", worst)
}

// weight orders errors by how much they tell.
func weight(err error) int {
	if _, refused := errors.AsType[*RefusedError](err); refused {
		return 3
	}
	switch {
	case errors.Is(err, share.ErrDenied):
		return 2
	case errors.Is(err, share.ErrUnavailable):
		return 0
	}
	return 1
}

// byPeer groups addresses by the peer at their end, in the order of their first appearance.
func byPeer(addresses []string) [][]string {
	var groups [][]string
	at := map[string]int{}
	for _, a := range addresses {
		id := a[strings.LastIndex(a, "/")+1:]
		n, known := at[id]
		if !known {
			n = len(groups)
			at[id], groups = n, append(groups, nil)
		}
		groups[n] = append(groups[n], a)
	}
	return groups
}

func recoverAt(ctx context.Context, host Reacher, addresses []string, who Claimant) (m Membership, err error) {
	err = awake.Again(ctx, func() error {
		m, err = recoverOnce(ctx, host, addresses, who)
		return err
	})
	return m, err
}

func recoverOnce(ctx context.Context, host Reacher, addresses []string, who Claimant) (Membership, error) {
	s, member, err := host.Reach(ctx, addresses, Protocol)
	if err != nil {
		return Membership{}, p2p.Reason(err)
	}
	defer s.Close()
	s.SetDeadline(time.Now().Add(answerWithin))
	defer context.AfterFunc(ctx, func() { s.Reset() })()
	x := exchange{stream: s, who: who, claimant: host.ID(), member: member}
	m, err := x.run()
	if err != nil {
		s.Reset()
		return Membership{}, err
	}
	m.Contacts = append(append([]string(nil), addresses...), m.Contacts...)
	return m, nil
}

// An exchange is the claimant's side of one.
type exchange struct {
	stream           p2p.Stream
	who              Claimant
	claimant, member share.ServerID
}

func (x *exchange) run() (Membership, error) {
	a, err := x.ask()
	if err != nil {
		return Membership{}, fmt.Errorf("ask %s: %w", x.member.Short(), p2p.Reason(err))
	}
	switch a.Verdict {
	case verdictKnown:
	case verdictRefused:
		return Membership{}, &RefusedError{Text: printable(a.Text)}
	case verdictBusy:
		return Membership{}, share.ErrBusy
	default:
		return Membership{}, ErrUnknown
	}
	m, device, err := x.accept(a)
	if err != nil {
		return Membership{}, err
	}
	if err := message.Write(x.stream, naming{Device: device}, maxSmall); err != nil {
		return m, nil // the node shows the statement itself to whomever it meets
	}
	var named answer
	if err := message.Read(x.stream, &named, maxSmall); err == nil && named.Verdict == verdictRefused {
		return Membership{}, &RefusedError{Text: printable(named.Text)}
	}
	return m, nil
}

// ask proves who this is and returns the answer.
func (x *exchange) ask() (answer, error) {
	nonce := newNonce()
	if err := message.Write(x.stream, hail{Nonce: nonce}, maxSmall); err != nil {
		return answer{}, err
	}
	var theirs hail
	if err := message.Read(x.stream, &theirs, maxSmall); err != nil {
		return answer{}, err
	}
	if err := theirs.validate(); err != nil {
		return answer{}, err
	}
	account := x.who.Account.Key()
	signature := ed25519.Sign(ed25519.NewKeyFromSeed(x.who.Account.Seed()), signed(nonce, theirs.Nonce, x.claimant, x.member))
	if err := message.Write(x.stream, claim{Account: account[:], Signature: signature}, maxSmall); err != nil {
		return answer{}, err
	}
	var a answer
	return a, message.Read(x.stream, &a, maxAnswer)
}

// accept checks what the answer says, and signs that this node is the person's.
func (x *exchange) accept(a answer) (m Membership, device []byte, err error) {
	address, err := introducer.ParseAddress(a.Grid)
	if err != nil {
		return m, nil, err
	}
	m = Membership{Grid: address.Grid, Contacts: address.Bootstrap, From: x.member}
	if x.who.Grid != "" && m.Grid.ID() != x.who.Grid {
		return m, nil, fmt.Errorf("%w: %s", ErrOtherGrid, m.Grid)
	}
	roster := introducer.NewRoster(m.Grid)
	if _, err := roster.Add(a.Statements...); err != nil {
		if _, some := errors.AsType[*introducer.RefusedError](err); !some {
			return m, nil, err
		}
	}
	if m.Grid.Open || roster.Admit(x.member) != nil {
		return m, nil, fmt.Errorf("%w: whoever answered does not belong to grid %s", share.ErrDenied, m.Grid)
	}
	now := time.Now()
	if device, err = roster.AddDevice(x.who.Account, x.who.Node, introducer.Device{Name: x.who.Device}, now); err != nil {
		return m, nil, err
	}
	if err := roster.Admit(x.claimant); err != nil {
		return m, nil, err
	}
	m.Member, _ = roster.Member(x.who.Account.Key(), now)
	m.Statements = roster.Statements()
	return m, device, nil
}

// printable leaves out of a peer's text what a terminal would not just print, and cuts it.
func printable(text string) string {
	return cut(strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return -1
	}, text))
}

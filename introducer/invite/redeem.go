package invite

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

const (
	// attempts is how often one node is asked where the answer was lost; it gives the same one again.
	attempts = 2
	// answerWithin bounds one exchange, once the node is reached.
	answerWithin = 9 * time.Second
	// maxRefusal is how much of the text of a refusal is shown, in characters.
	maxRefusal = 300
)

// A Reacher reaches nodes that this one is no member with: p2p.Host.
type Reacher interface {
	ID() share.ServerID
	Reach(ctx context.Context, addresses []string, name string) (p2p.Stream, share.ServerID, error)
}

// A Joiner is who redeems an invitation.
type Joiner struct {
	// Account is the person; none for a device, which gets the account of its owner.
	Account introducer.Account
	// Node is the key of this node; its id is the Reacher's.
	Node crypto.PrivKey
	// Nickname is what the person wishes to be called, Device what the node is.
	Nickname string
	Device   string
}

// A Membership is what an invitation gave.
type Membership struct {
	Grid introducer.Descriptor
	// Contacts are full multiaddrs of members to meet first, the node that was asked before all.
	Contacts []string
	// Account is the person: the joiner's own, or the one of the owner of a paired device.
	Account introducer.Account
	// Kit is what else the owner of a paired device gave it, empty where that runs an earlier version.
	Kit []byte
	// Member is how the grid knows the person.
	Member introducer.Member
	// Statements are for introducer.Roster.Add; one of them is about this node.
	Statements [][]byte
	// From is the node that answered.
	From share.ServerID
}

// Redeem uses an invitation and returns what makes this node one of the grid's. It asks the nodes in the invitation in turn.
// Asking again after a lost answer uses nothing up as long as the account, or for a device the node, is the same. The error is
// ErrExpired, without asking anybody, when the time is over by this machine's clock; ErrNotValid; a *RefusedError, after which
// the invitation can be used again with another nickname or account; or wraps share.ErrBusy, or share.ErrUnavailable when
// no node was reached.
func Redeem(ctx context.Context, host Reacher, inv Invitation, me Joiner) (Membership, error) {
	if err := inv.Usable(time.Now()); err != nil {
		return Membership{}, fmt.Errorf("join: %w", err)
	}
	if inv.Kind == KindMember && me.Account.IsZero() || me.Node == nil {
		return Membership{}, errors.New("join: an account or the node's key is missing")
	}
	err := fmt.Errorf("%w: the invitation names no node", share.ErrUnavailable)
	for _, addresses := range inv.peers() {
		var m Membership
		if m, err = redeemAt(ctx, host, addresses, inv, me); err == nil {
			return m, nil
		}
		if _, refused := errors.AsType[*RefusedError](err); refused || ctx.Err() != nil {
			break
		}
	}
	return Membership{}, fmt.Errorf("join: %w", err)
}

// errLost says that the answer did not arrive whole; the node may have let us in.
var errLost = errors.New("the answer was lost")

func redeemAt(ctx context.Context, host Reacher, addresses []string, inv Invitation, me Joiner) (m Membership, err error) {
	for range attempts {
		err = awake.Again(ctx, func() error {
			m, err = redeemOnce(ctx, host, addresses, inv, me)
			return err
		})
		if !errors.Is(err, errLost) || ctx.Err() != nil {
			return m, err
		}
	}
	return m, err
}

func redeemOnce(ctx context.Context, host Reacher, addresses []string, inv Invitation, me Joiner) (Membership, error) {
	s, issuer, err := host.Reach(ctx, addresses, Protocol)
	if errors.Is(err, share.ErrVersion) {
		s, issuer, err = host.Reach(ctx, addresses, Earlier)
	}
	if err != nil {
		return Membership{}, fmt.Errorf("the node that issued the invitation: %w", p2p.Reason(err))
	}
	defer s.Close()
	s.SetDeadline(time.Now().Add(answerWithin))
	defer context.AfterFunc(ctx, func() { s.Reset() })()
	x := joining{stream: s, inv: inv, me: me, joiner: host.ID(), issuer: issuer}
	m, err := x.run()
	if err != nil {
		s.Reset()
		return Membership{}, err
	}
	m.Contacts = append(append([]string(nil), addresses...), m.Contacts...)
	return m, nil
}

// A joining is the joiner's side of one exchange.
type joining struct {
	stream         p2p.Stream
	inv            Invitation
	me             Joiner
	joiner, issuer share.ServerID
	keys           session
}

func (x *joining) run() (Membership, error) {
	sealed, err := x.ask()
	if err != nil {
		return Membership{}, err
	}
	plain, err := open(x.keys.answer, sealed)
	if err != nil {
		return Membership{}, err
	}
	var a answer
	if err := message.Unmarshal(plain, &a); err != nil {
		return Membership{}, err
	}
	if a.Refusal != 0 {
		return Membership{}, &RefusedError{Refusal: a.Refusal, Text: printable(a.Text)}
	}
	m, device, err := x.accept(a)
	if err != nil {
		return Membership{}, fmt.Errorf("what the node answered does not make this one a member: %w", err)
	}
	x.name(device)
	return m, nil
}

// ask sends the request and returns the sealed answer.
func (x *joining) ask() ([]byte, error) {
	id, nonce := x.inv.id(), random(nonceSize)
	if err := message.Write(x.stream, hail{ID: id[:], Nonce: nonce}, maxSmall); err != nil {
		return nil, fmt.Errorf("%w: %w", errLost, p2p.Reason(err))
	}
	var theirs ready
	if err := message.Read(x.stream, &theirs, maxSmall); err != nil {
		return nil, fmt.Errorf("%w: %w", errLost, p2p.Reason(err))
	}
	if len(theirs.Nonce) != nonceSize {
		return nil, fmt.Errorf("%w: a nonce of %d bytes", share.ErrCorrupt, len(theirs.Nonce))
	}
	x.keys = newSession(x.inv.key(), nonce, theirs.Nonce, x.joiner, x.issuer)
	r := request{Kind: x.inv.Kind}
	if x.inv.Kind == KindMember {
		account := x.me.Account.Key()
		r.Account, r.Nickname = account[:], x.me.Nickname
		r.Proof = ed25519.Sign(ed25519.NewKeyFromSeed(x.me.Account.Seed()), x.keys.signed())
	}
	plain, err := message.Marshal(r, maxSmall)
	if err != nil {
		return nil, err
	}
	if err := message.Write(x.stream, envelope{Sealed: seal(x.keys.request, plain)}, maxSmall); err != nil {
		return nil, fmt.Errorf("%w: %w", errLost, p2p.Reason(err))
	}
	var v reply
	if err := message.Read(x.stream, &v, maxAnswer+maxSmall); err != nil {
		return nil, fmt.Errorf("%w: %w", errLost, p2p.Reason(err))
	}
	switch v.Verdict {
	case verdictSealed:
		return v.Sealed, nil
	case verdictBusy:
		return nil, fmt.Errorf("%w: the node has had too many attempts; try again in a minute", share.ErrBusy)
	}
	return nil, ErrNotValid
}

// printable leaves out of a peer's text what a terminal would not just print, and cuts it.
func printable(text string) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return -1
	}, text)
	runes := []rune(text)
	return string(runes[:min(len(runes), maxRefusal)])
}

// accept checks what the answer says, and signs that this node is the person's.
func (x *joining) accept(a answer) (m Membership, device []byte, err error) {
	address, err := introducer.ParseAddress(a.Grid)
	if err != nil {
		return m, nil, err
	}
	m = Membership{Grid: address.Grid, Contacts: address.Bootstrap, Account: x.me.Account, From: x.issuer}
	if x.inv.Kind == KindDevice {
		if m.Account, err = introducer.AccountFromSeed(a.Seed); err != nil {
			return m, nil, err
		}
		m.Kit = a.Kit
	}
	roster := introducer.NewRoster(m.Grid)
	if _, err := roster.Add(a.Statements...); err != nil {
		if _, some := errors.AsType[*introducer.RefusedError](err); !some {
			return m, nil, err
		}
	}
	if m.Grid.Open || roster.Admit(x.issuer) != nil {
		return m, nil, fmt.Errorf("%w: it does not belong to grid %s itself", share.ErrDenied, m.Grid)
	}
	now := time.Now()
	if device, err = roster.AddDevice(m.Account, x.me.Node, introducer.Device{Name: x.me.Device}, now); err != nil {
		return m, nil, err
	}
	if err := roster.Admit(x.joiner); err != nil {
		return m, nil, err
	}
	m.Member, _ = roster.Member(m.Account.Key(), now)
	m.Statements = roster.Statements()
	return m, device, nil
}

// name tells the issuing node about this one, so that it is a member everywhere sooner. Should that be lost, this node shows
// the statement itself to whomever it meets.
func (x *joining) name(device []byte) {
	if err := message.Write(x.stream, envelope{Sealed: seal(x.keys.third, device)}, maxSmall); err != nil {
		return
	}
	var v reply
	_ = message.Read(x.stream, &v, maxSmall) // nothing depends on it
}

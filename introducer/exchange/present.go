package exchange

import (
	"context"
	"errors"
	"fmt"

	"cairn/introducer"
	"cairn/introducer/message"
	"cairn/p2p"
	"cairn/share"
)

const (
	// maxCredentials bounds what shows that a node belongs to a member, in statements and in bytes.
	maxCredentials  = introducer.MaxDepth + 2
	maxPresent      = 32 << 10
	maxVerdict      = 1 << 10
	verdictAdmitted = 1
	verdictRefused  = 2
)

// credentials is what the unknown member sends.
type credentials struct {
	Statements [][]byte `cbor:"1,keyasint"`
}

// A verdict answers it.
type verdict struct {
	Verdict int    `cbor:"1,keyasint"`
	Text    string `cbor:"2,keyasint,omitempty"` // why it is refused, only where it proved to be of this grid
}

// Present returns what a host of the grid shows to members that do not know it: p2p.Config.Present.
func Present(roster *introducer.Roster, self share.ServerID) func(ctx context.Context, s p2p.Stream) error {
	return func(_ context.Context, s p2p.Stream) error {
		chain, err := roster.Credentials(self)
		if err != nil {
			return fmt.Errorf("this node has no credentials to show: %w", err)
		}
		if err := message.Write(s, credentials{Statements: chain}, maxPresent); err != nil {
			return p2p.Reason(err)
		}
		var v verdict
		if err := message.Read(s, &v, maxVerdict); err != nil {
			return p2p.Reason(err)
		}
		switch {
		case v.Verdict == verdictAdmitted:
			return nil
		case v.Text == "":
			return fmt.Errorf("%w: the peer does not admit this node", share.ErrDenied)
		}
		return fmt.Errorf("%w: the peer says: %.200q", share.ErrDenied, v.Text)
	}
}

// servePresent takes in the credentials of a node that is not known yet.
func (x *Exchange) servePresent(s p2p.Stream) {
	defer s.Close()
	id := share.ServerID(s.Conn().RemotePeer().String())
	var shown credentials
	err := message.Read(s, &shown, maxPresent)
	if err == nil && len(shown.Statements) > maxCredentials {
		err = fmt.Errorf("%w: %d statements", share.ErrTooLarge, len(shown.Statements))
	}
	if err != nil {
		x.log.Debug("credentials not understood", "peer", id.Short(), "error", err)
		s.Reset()
		return
	}
	v := x.judge(id, shown.Statements)
	if err := message.Write(s, v, maxVerdict); err != nil {
		s.Reset()
	}
}

// judge adds credentials to the roster and says whether the node is a member now. Whoever cannot show a statement of this grid
// about itself learns nothing about the grid from the answer.
func (x *Exchange) judge(id share.ServerID, chain [][]byte) verdict {
	own := false
	for _, data := range chain {
		st, err := introducer.ParseStatement(x.roster.Grid(), data)
		if err != nil {
			return verdict{Verdict: verdictRefused}
		}
		own = own || st.Device != nil && st.Device.ID == id
	}
	if !own {
		return verdict{Verdict: verdictRefused}
	}
	_, err := x.roster.Add(chain...)
	if refused, ok := errors.AsType[*introducer.RefusedError](err); err != nil && !ok {
		x.log.Warn("the roster is not saved", "error", err)
	} else if ok {
		x.log.Debug("credentials refused", "peer", id.Short(), "error", refused)
	}
	if err := x.roster.Admit(id); err != nil {
		return verdict{Verdict: verdictRefused, Text: cut(err.Error())}
	}
	x.log.Info("a member showed its credentials", "peer", id.Short())
	return verdict{Verdict: verdictAdmitted}
}

// cut shortens a text to what a verdict may carry.
func cut(text string) string {
	runes := []rune(text)
	return string(runes[:min(len(runes), 200)])
}

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
	maxEvidence     = 32 << 10
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

// An evidence follows a verdict that has a text: the statements that ended the membership, for a node that was not told.
type evidence struct {
	Statements [][]byte `cbor:"1,keyasint"`
}

// Present returns what a host of the grid shows to members that do not know it: p2p.Config.Present. Where a member answers that the
// membership has ended, the statements that ended it are added to the roster.
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
		var e evidence
		if err := message.Read(s, &e, maxEvidence); err == nil {
			_, _ = roster.Add(e.Statements...) // whatever proves itself is taken, the refusal is told anyway
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
	err = message.Write(s, v, maxVerdict)
	if err == nil && v.Text != "" {
		err = message.Write(s, evidence{Statements: x.against(id, shown.Statements)}, maxEvidence)
	}
	if err != nil {
		s.Reset()
	}
}

// against returns the statements that take a node's membership away: its removal, and revocations of those whom its credentials
// name, with the grants that they rest on.
func (x *Exchange) against(id share.ServerID, credentials [][]byte) (list [][]byte) {
	concerned := make(map[introducer.AccountKey]bool)
	for _, data := range credentials {
		if st, err := introducer.ParseStatement(x.roster.Grid(), data); err == nil && st.Grant != nil {
			concerned[st.Grant.Account] = true
		}
	}
	return rested(x.roster, x.roster.Statements(), maxEvidence*7/8, func(st introducer.Statement) bool {
		return st.Revocation != nil && concerned[st.Revocation.Account] || st.Device != nil && st.Device.ID == id && st.Device.Removed
	})
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

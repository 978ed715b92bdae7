package introducer

import (
	"fmt"

	"cairn/share"
)

// A Gate decides which peers may use this node. It is safe for concurrent use.
type Gate interface {
	// Admit returns nil when the peer belongs to the grid, and otherwise an error that wraps share.ErrDenied.
	Admit(id share.ServerID) error
}

// Gate returns the gate of the grid. An open grid admits every peer that speaks the grid's protocols; any other
// grid admits nobody, because nothing vouches for a peer.
func (d Descriptor) Gate() Gate {
	if d.Open {
		return everybody{}
	}
	return nobody{grid: d.String()}
}

type everybody struct{}

func (everybody) Admit(share.ServerID) error { return nil }

type nobody struct{ grid string }

func (g nobody) Admit(id share.ServerID) error {
	return fmt.Errorf("peer %s is not a member of grid %s: %w", id.Short(), g.grid, share.ErrDenied)
}

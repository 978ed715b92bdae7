package node

import (
	"context"
	"fmt"
	"strings"

	"cairn/node/control"
	"cairn/share"
	"cairn/share/capability"
)

// A company is who would take shares of this node now.
type company struct {
	storing int // others that store and answer
	denying int // that do not admit this node
	away    int // that do not answer
	// out says why the node is no member of its private grid, empty where it is.
	out string
}

func (n *Node) company() company {
	var c company
	for _, p := range n.host.Peers() {
		switch {
		case p.Denies:
			c.denying++
		case p.Problem != "":
		case p.Storage && p.Responsive:
			c.storing++
		case !p.Responsive:
			c.away++
		}
	}
	if n.roster != nil {
		if err := n.roster.Admit(n.dir.id); err != nil {
			c.out = strings.TrimSuffix(err.Error(), ": "+share.ErrDenied.Error())
		}
	}
	return c
}

// alone says why what is stored now stays with this node, empty where others take shares.
func (c company) alone() string {
	switch {
	case c.out != "":
		return c.out
	case c.storing > 0:
		return ""
	case c.denying > 0 && c.away > 0:
		return fmt.Sprintf("other nodes do not admit this one (%d) or do not answer (%d)", c.denying, c.away)
	case c.denying > 0:
		return fmt.Sprintf("no other node admits this one (asked: %d)", c.denying)
	case c.away > 0:
		return fmt.Sprintf("no other node that stores answers (known: %d)", c.away)
	}
	return "no other node of the grid stores yet"
}

// mayStore refuses what a person would take for stored on the grid while the grid does not take it.
func (n *Node) mayStore(c company) error {
	if c.out == "" && (c.storing > 0 || c.denying == 0) {
		return nil
	}
	return &control.Error{
		Code: control.CodeRefused, Message: "store: " + c.alone(),
		Hint: "an introducer of the grid can tell why, and invite you again; --alone stores the file on the disk of this node, and nowhere else",
	}
}

// told completes what a person is told of a file that was stored, or was not.
func (n *Node) told(ctx context.Context, c company, result control.PutResult, err error) (control.PutResult, error) {
	if err == nil && result.Warning == "" && (result.Happiness == 1 || isMutable(result.Capability)) { // 0 for what needs no server
		result.Warning = n.warning(c)
	}
	return result, n.explainBucket(n.explainQuota(ctx, err))
}

func isMutable(text string) bool {
	c, err := capability.Parse(text)
	return err == nil && c.Kind() == capability.KindMutable
}

// ownStore says where the node keeps shares.
func (n *Node) ownStore() string {
	switch {
	case n.own != nil, n.spill != nil && n.disk == nil:
		return "in the bucket of this node"
	case n.spill != nil:
		return "on the disk or in the bucket of this node"
	}
	return "on the disk of this node"
}

// warning says that only this node has what was stored.
func (n *Node) warning(c company) string {
	if why := c.alone(); why != "" && n.store != nil {
		return "the file is " + n.ownStore() + " only: " + why + "; store it again when others take it"
	}
	return ""
}

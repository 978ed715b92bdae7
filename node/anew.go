package node

import (
	"context"
	"errors"
	"fmt"

	"cairn/grid/tree"
	"cairn/node/control"
	"cairn/share"
	"cairn/share/capability"
)

// beginAnew writes a directory that is on no server any more anew, with nothing in it. The version follows none: what servers that come back
// hold of it is brought together with it.
func (n *Node) beginAnew(ctx context.Context, c capability.Capability, path string, force bool) (control.Version, error) {
	if err := c.Want(capability.KindDir, capability.KindDirRead, capability.KindIDir); err != nil {
		return control.Version{}, err
	}
	if err := tree.Writable(c); err != nil {
		return control.Version{}, err
	}
	name, _ := c.Name()
	key, _ := c.WriteKey()
	switch _, err := n.grid.Files().Newest(ctx, name); {
	case err == nil:
		return control.Version{}, refuseAnew("it is not lost: servers have versions of it", formerVersions(path))
	case !errors.Is(err, share.ErrNotFound):
		return control.Version{}, err
	}
	if away := n.awayServers(); away > 0 && !force {
		return control.Version{}, refuseAnew(fmt.Sprintf("%d nodes that store and may have it do not answer", away),
			"wait until they are there: \"cairn peers\" shows who is; --force begins anew without them, and what they have is brought together with it later")
	}
	if err := n.grid.Dirs().CreateAt(ctx, key, nil); err != nil {
		return control.Version{}, err
	}
	x, err := n.grid.Dirs().Open(ctx, c)
	if err != nil {
		return control.Version{}, err
	}
	v := x.Version()
	return control.Version{Version: v.Sequence, Written: v.Written, Size: -1, Current: true, Record: tagOf(v.Digest)}, nil
}

func refuseAnew(why, hint string) error {
	return &control.Error{Code: control.CodeRefused, Message: "begin anew: " + why, Hint: hint}
}

// awayServers returns how many members that store do not answer.
func (n *Node) awayServers() int {
	away := 0
	for _, p := range n.host.Peers() {
		if p.Storage && !p.Responsive {
			away++
		}
	}
	return away
}

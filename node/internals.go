package node

import (
	"context"
	"fmt"
	"strings"

	"cairn/grid/tree"
	"cairn/node/control"
	"cairn/share/capability"
)

// internals is where nodes keep in the root directory what they need themselves: aliases, and what is shared.
const internals = control.Internals

// omitted returns what a copy of everything in a directory leaves out.
func (h *home) omitted(directory capability.Capability) []string {
	if h.is(directory) {
		return []string{internals}
	}
	return nil
}

// is reports whether a capability is one of the root directory, whatever it allows.
func (h *home) is(c capability.Capability) bool { return tree.ID(c) == tree.ID(h.capability()) }

// spare returns an error when a path leads to what nodes keep for themselves, which nobody removes, moves or replaces by accident.
func (a api) spare(ctx context.Context, p place, path string) error {
	names, _, err := tree.Split(path)
	if err != nil || len(names) == 0 {
		return nil //nolint:nilerr // what is done with the path tells what is wrong
	}
	inside := a.n.home.is(p.root) && names[0] == internals
	if last := len(names) - 1; !inside && names[last] == internals {
		above, err := a.n.names().Resolve(ctx, p.root, tree.Join(names[:last]))
		inside = err == nil && a.n.home.is(above.Entry.Capability)
	}
	if !inside {
		return nil
	}
	return &control.Error{
		Code: control.CodeRefused,
		Message: fmt.Sprintf("%s: your nodes keep here %s: that would be lost",
			p.path(names), strings.Join([]string{
				a.count(ctx, aliasDirectory, "alias", "aliases"), a.count(ctx, givenDirectory, "thing that you share", "things that you share"),
				a.count(ctx, receivedDirectory, "thing that is shared with you", "things that are shared with you"),
			}, ", ")),
		Hint: "\"cairn alias remove\" and \"cairn unshare\" change what is in it; \"cairn rm --force\" removes it all the same",
	}
}

// count says how many entries a directory below the root directory has.
func (a api) count(ctx context.Context, path, one, many string) string {
	found := 0
	in, err := a.n.names().Resolve(ctx, a.n.home.capability(), path)
	if err == nil {
		err = a.n.names().List(ctx, in, "", maxShares, func(tree.Node) error {
			found++
			return nil
		})
	}
	switch {
	case err != nil:
		return many
	case found == 1:
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", found, many)
}

package node

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"cairn/grid/dir"
	"cairn/grid/mutable"
	"cairn/grid/tree"
	"cairn/node/control"
	"cairn/share"
	"cairn/share/capability"
)

// A place is a target whose root is known.
type place struct {
	target control.Target
	root   capability.Capability
}

// names returns the paths of the node's grid.
func (n *Node) names() *tree.Tree { return n.grid.Tree() }

// place reads a target and finds where it begins.
func (n *Node) place(ctx context.Context, text string) (place, error) {
	target, err := control.ParseTarget(text)
	if err != nil {
		return place{}, err
	}
	p := place{target: target, root: target.Capability}
	if target.Alias != "" {
		p.root, err = n.aliases.find(ctx, target.Alias)
	}
	return p, err
}

// writable is place for a target that is to be written below. It makes the root directory where that is where the target
// begins and nothing was ever put into it.
func (n *Node) writable(ctx context.Context, text string) (place, error) {
	p, err := n.place(ctx, text)
	if err == nil && p.target.Alias == control.HomeAlias {
		err = n.home.make(ctx)
	}
	return p, err
}

// prefix returns what stands before the path in messages.
func (p place) prefix() string {
	if p.target.Alias != "" {
		return p.target.Alias + ":"
	}
	return p.root.String() + "/"
}

// path returns the whole path of a node below the place's root, without keys.
func (p place) path(names []string) string {
	if len(names) == 0 && p.target.Alias == "" {
		return p.root.String()
	}
	return p.prefix() + tree.Join(names)
}

// explain says in an error where its path begins, and what to do about it.
func (p place) explain(n *Node, err error) error {
	if err == nil {
		return nil
	}
	wrong, directory := p.target.String(), false
	if e, ok := errors.AsType[*tree.PathError](err); ok {
		wrong, err, directory = p.path([]string{e.Path}), e.Err, true
		if e.Path == "" {
			wrong = p.path(nil)
		}
	}
	wrong = tree.OneLine(wrong)
	if p.target.Alias == control.HomeAlias && errors.Is(err, share.ErrNotFound) && !n.home.exists(context.Background()) {
		if away := n.rootAway(); away != nil {
			return away
		}
		err = fmt.Errorf("%w: nothing was put into the root directory yet", share.ErrNotFound)
	}
	told := control.ErrorOf(n.explainBucket(fmt.Errorf("%s: %w", strings.TrimRight(wrong, "/:"), err)))
	if few, ok := errors.AsType[*share.NotEnoughSharesError](err); ok && directory && few.Answered == few.Asked { // otherwise nothing may be lost
		told.Hint = strings.TrimPrefix(told.Hint+"; "+formerVersions(typable(wrong)), "; ")
	}
	if _, beside := errors.AsType[*besideError](err); beside {
		told.Hint = hintBeside(typable(wrong))
	}
	if told.Hint == "" {
		told.Hint = hintFor(typable(wrong), err)
	}
	return told
}

// advise adds the next step to an error about what a capability leads to.
func (n *Node) advise(c capability.Capability, err error) error {
	if err == nil {
		return nil
	}
	told := control.ErrorOf(n.explainBucket(err))
	if _, changes := c.Name(); changes && told.Hint == "" {
		told.Hint = hintFor(control.AnyCapability, err)
	}
	return told
}

// typable returns a path as it may stand in a command: a capability, which is shown shortened, is for the person to fill in.
func typable(path string) string {
	if shown, rest, found := strings.Cut(path, "]"); found && strings.HasPrefix(shown, "[cairn:") {
		return control.AnyCapability + rest
	}
	return path
}

// hintFor returns the next step after an error about a path, or nothing.
func hintFor(path string, err error) string {
	collision, _ := errors.AsType[*mutable.CollisionError](err)
	rolled, _ := errors.AsType[*share.RollbackError](err)
	switch {
	case errors.Is(err, mutable.ErrEnded):
		return "\"cairn shares\" fetches the new keys where it is still shared with you: run the same command again then. Otherwise ask its owner to share it with you anew; " +
			"\"cairn cp -r\" copies what is in it to a place of your own"
	case collision != nil && !collision.Kept.IsZero():
		return fmt.Sprintf("what you wrote is kept on this node until %s: \"cairn restore %s %s\" makes it the newest version; \"cairn history %s\" shows both",
			collision.Kept.Local().Format(time.DateOnly), path, control.VersionText(collision.Ours.Sequence, tagOf(collision.Ours.Digest)), path)
	case errors.Is(err, tree.ErrIsDirectory):
		return control.HintDirectory
	case errors.Is(err, share.ErrNotFound) && strings.ContainsAny(path, "*?["):
		return "patterns are not expanded on the grid; \"cairn find\" lists what one matches"
	case errors.Is(err, errLink):
		return "\"cairn ls -l\" shows where it points; \"cairn cp\" copies the link"
	case rolled != nil && rolled.Found == 0:
		return fmt.Sprintf("wait until the members that have it are up; \"cairn peers\" shows who is there. Where they never come back, "+
			"\"cairn restore --empty %s\" begins a directory anew, with nothing in it", path)
	case errors.Is(err, share.ErrRollback):
		return "wait until the members that have the newer version are up; " + formerVersions(path)
	case errors.Is(err, share.ErrConflict):
		return "what you wrote was not stored; \"cairn history " + path + "\" shows what the other one wrote: run the same command again if it still applies"
	case errors.Is(err, share.ErrCorrupt):
		return formerVersions(path)
	}
	return ""
}

// formerVersions says how to get an older version back.
func formerVersions(path string) string {
	return fmt.Sprintf("\"cairn history %s\" shows the versions before; \"cairn restore %s VERSION\" brings one of them back", path, path)
}

// entry describes a node.
func (p place) entry(n tree.Node, capabilities bool) control.Entry {
	e := n.Entry
	out := control.Entry{
		Path: p.path(n.Path), Name: e.Name, Type: typeOf(e.Capability), Kind: e.Capability.Kind().String(), ID: tree.ID(e.Capability),
		Writable: e.Capability.Authority() == capability.AuthorityWrite, Size: sizeOf(e),
		Modified: e.Modified, Created: e.Created, Changed: e.Changed,
		ContentType: e.ContentType, Executable: e.Executable, User: e.User,
	}
	_, out.Mutable = e.Capability.Name()
	if isLink(e) {
		data, _ := e.Capability.Data()
		out.Type, out.Link, out.Executable = control.TypeLink, string(data), false
	}
	if capabilities {
		out.Capability = e.Capability.Text()
	}
	return out
}

func typeOf(c capability.Capability) string {
	switch {
	case tree.IsDirectory(c):
		return control.TypeDirectory
	case c.Kind() == capability.KindUnknown:
		return control.TypeUnknown
	}
	return control.TypeFile
}

// isLink reports whether an entry is a symbolic link.
func isLink(e dir.Entry) bool {
	kind := e.Capability.Kind()
	return e.ContentType == control.LinkContent && sizeOf(e) <= control.MaxLink && (kind == capability.KindFile || kind == capability.KindLiteral)
}

// shown describes a node like entry, and tells where a link points also where that has to be fetched. What cannot be read stays
// unknown.
func (a api) shown(ctx context.Context, p place, n tree.Node, capabilities, links bool) control.Entry {
	e := p.entry(n, capabilities)
	if !links || e.Type != control.TypeLink || e.Kind == capability.KindLiteral.String() {
		return e
	}
	data, errs, err := a.n.grid.GetBatch(ctx, []capability.Capability{n.Entry.Capability})
	if err == nil && errs[0] == nil {
		e.Link = string(data[0])
	}
	return e
}

// sizeOf returns the size of an entry in bytes, as far as its directory tells.
func sizeOf(e dir.Entry) int64 {
	if data, ok := e.Capability.Data(); ok {
		return int64(len(data))
	}
	if e.Name == "" && !tree.IsDirectory(e.Capability) {
		return -1 // no directory tells
	}
	return e.Size
}

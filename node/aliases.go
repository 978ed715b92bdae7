package node

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"sync"

	"cairn/grid/dir"
	"cairn/grid/tree"
	"cairn/internal/wholefile"
	"cairn/node/control"
	"cairn/share"
	"cairn/share/capability"
)

const (
	aliasFile = "aliases" // a copy of the person's aliases
	// aliasDirectory is where aliases are kept in the root directory, so that they come back with it.
	aliasDirectory = internals + "/aliases"
	// maxAliases and maxAliasFile bound what is kept and read.
	maxAliases   = 1000
	maxAliasFile = 2 << 20
)

// The aliases of a person are the entries of a directory in the root directory. A file in the node's directory is a copy of them, so that
// an alias leads somewhere without a look at the grid. It is sealed under a key that follows from the root directory's.
type aliases struct {
	path string
	n    *Node
	seal cipher.AEAD

	mu    sync.Mutex // guards what follows
	known map[string]capability.Capability
}

const infoAliases = "cairn/v1/node/aliases"

func openAliases(path string, n *Node) (*aliases, error) {
	key, err := hkdf.Key(sha256.New, n.home.key[:], nil, infoAliases, 32)
	if err != nil {
		return nil, fmt.Errorf("aliases: %w", err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("aliases: %w", err)
	}
	a := &aliases{path: path, n: n, known: map[string]capability.Capability{}}
	if a.seal, err = cipher.NewGCMWithRandomNonce(block); err != nil {
		return nil, fmt.Errorf("aliases: %w", err)
	}
	known, err := a.read()
	switch {
	case err == nil:
		a.known = known
	case !errors.Is(err, fs.ErrNotExist):
		n.log.Warn("the copy of the aliases cannot be read; it is made anew from the root directory", "path", path, "error", err)
	}
	return a, nil
}

// read reads the copy.
func (a *aliases) read() (map[string]capability.Capability, error) {
	data, err := readSmall(a.path, maxAliasFile)
	if err != nil {
		return nil, err
	}
	text, err := a.seal.Open(nil, nil, data, nil)
	if err != nil {
		return nil, fmt.Errorf("%w: it was not sealed with the key of this root directory", share.ErrCorrupt)
	}
	known := map[string]capability.Capability{}
	for line := range strings.Lines(string(text)) {
		alias, text, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		c, err := capability.Parse(text)
		if err != nil || control.CheckAlias(alias) != nil {
			return nil, share.ErrCorrupt
		}
		known[alias] = c
	}
	return known, nil
}

// find returns what an alias stands for.
func (a *aliases) find(ctx context.Context, alias string) (capability.Capability, error) {
	if alias == control.HomeAlias {
		return a.n.home.capability(), nil
	}
	a.mu.Lock()
	c, ok := a.known[alias]
	a.mu.Unlock()
	if ok {
		return c, nil
	}
	// Another device of the same person may have made it.
	found, err := a.n.names().Resolve(ctx, a.n.home.capability(), aliasDirectory+"/"+alias)
	if err != nil && !errors.Is(err, share.ErrNotFound) {
		return c, fmt.Errorf("look for the alias %s: %w", alias, err)
	}
	if err != nil {
		return c, &control.Error{
			Code: control.CodeNotFound, Message: fmt.Sprintf("there is no alias %s: here", alias),
			Hint: "\"cairn alias list\" shows those that there are; a file on disk whose name has a colon is written ./NAME",
		}
	}
	return found.Entry.Capability, a.keep(func(known map[string]capability.Capability) { known[alias] = found.Entry.Capability })
}

// replace makes the copy of the aliases follow things that have other capabilities now.
func (a *aliases) replace(with func(capability.Capability) (capability.Capability, bool)) {
	err := a.keep(func(known map[string]capability.Capability) {
		for alias, c := range known {
			known[alias], _ = with(c)
		}
	})
	if err != nil {
		a.n.log.Warn("the copy of the aliases could not be written", "error", err)
	}
}

// keep changes the copy.
func (a *aliases) keep(change func(map[string]capability.Capability)) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	changed := maps.Clone(a.known)
	change(changed)
	var text strings.Builder
	for _, alias := range slices.Sorted(maps.Keys(changed)) {
		fmt.Fprintf(&text, "%s %s\n", alias, changed[alias].Text())
	}
	if err := wholefile.Write(a.path, a.seal.Seal(nil, nil, []byte(text.String()), nil), 0o600); err != nil {
		return fmt.Errorf("aliases: %w", err)
	}
	a.known = changed
	return nil
}

// list returns all aliases but home. Where the root directory cannot be read the copy has to do.
func (a *aliases) list(ctx context.Context) (map[string]capability.Capability, error) {
	found := map[string]capability.Capability{}
	in, err := a.n.names().Resolve(ctx, a.n.home.capability(), aliasDirectory)
	if err == nil {
		err = a.n.names().List(ctx, in, "", maxAliases, func(n tree.Node) error {
			if control.CheckAlias(n.Entry.Name) == nil && n.Entry.Name != control.HomeAlias {
				found[n.Entry.Name] = n.Entry.Capability
			}
			return nil
		})
	}
	if errors.Is(err, share.ErrNotFound) {
		err = nil // there are none yet
	}
	if err != nil {
		a.n.log.Warn("the aliases in the root directory cannot be read; those that this node remembers are used", "error", err)
		a.mu.Lock()
		defer a.mu.Unlock()
		return maps.Clone(a.known), nil
	}
	return found, a.keep(func(known map[string]capability.Capability) {
		clear(known)
		maps.Copy(known, found)
	})
}

// set gives a capability a name.
func (a *aliases) set(ctx context.Context, alias string, c capability.Capability) error {
	if err := a.n.home.make(ctx); err != nil {
		return err
	}
	root := a.n.home.capability()
	if _, err := a.n.names().MkdirAll(ctx, root, aliasDirectory); err != nil {
		return fmt.Errorf("aliases: %w", err)
	}
	path := aliasDirectory + "/" + alias
	_, err := a.n.names().Link(ctx, root, path, dir.Entry{Capability: c}, tree.LinkOptions{})
	if errors.Is(err, share.ErrExists) {
		return &control.Error{
			Code: control.CodeFailed, Message: fmt.Sprintf("the alias %s: stands for something else", alias), Hint: "\"cairn alias remove " + alias + "\" first",
		}
	}
	if err != nil {
		return fmt.Errorf("aliases: %w", err)
	}
	return a.keep(func(known map[string]capability.Capability) { known[alias] = c })
}

// remove forgets a name, and returns what it stood for.
func (a *aliases) remove(ctx context.Context, alias string) (capability.Capability, error) {
	c, err := a.find(ctx, alias)
	if err != nil {
		return c, err
	}
	_, err = a.n.names().Unlink(ctx, a.n.home.capability(), aliasDirectory+"/"+alias, tree.UnlinkOptions{Directories: true})
	if err != nil && !errors.Is(err, share.ErrNotFound) {
		return c, fmt.Errorf("aliases: %w", err)
	}
	return c, a.keep(func(known map[string]capability.Capability) { delete(known, alias) })
}

func aliasOf(alias string, c capability.Capability) control.Alias {
	return control.Alias{Alias: alias, Kind: c.Kind().String(), Writable: c.Authority() == capability.AuthorityWrite, Capability: c.Text()}
}

func (a api) Aliases(ctx context.Context) ([]control.Alias, error) {
	all, err := a.n.aliases.list(ctx)
	if err != nil {
		return nil, err
	}
	list := []control.Alias{aliasOf(control.HomeAlias, a.n.home.capability())}
	for _, alias := range slices.Sorted(maps.Keys(all)) {
		list = append(list, aliasOf(alias, all[alias]))
	}
	return list, nil
}

func (a api) SetAlias(ctx context.Context, request control.AliasRequest) (control.Alias, error) {
	alias := strings.TrimSuffix(request.Alias, ":")
	if err := control.CheckAlias(alias); err != nil {
		return control.Alias{}, err
	}
	if alias == control.HomeAlias {
		return control.Alias{}, &control.Error{Code: control.CodeMalformed, Message: "home: is the root directory, and stays it"}
	}
	if known, err := a.n.aliases.find(ctx, alias); err == nil && request.Target == "" {
		return aliasOf(alias, known), &control.Error{Code: control.CodeFailed, Message: fmt.Sprintf("the alias %s: exists already", alias)}
	}
	var c capability.Capability
	if request.Target == "" {
		var err error
		if c, err = a.n.grid.Dirs().Create(ctx, nil); err != nil {
			return control.Alias{}, err
		}
	} else {
		p, found, err := a.resolve(ctx, request.Target)
		if err != nil {
			return control.Alias{}, p.explain(a.n, err)
		}
		c = found.Entry.Capability
	}
	return aliasOf(alias, c), a.n.aliases.set(ctx, alias, c)
}

func (a api) RemoveAlias(ctx context.Context, alias string) (control.Alias, error) {
	alias = strings.TrimSuffix(alias, ":")
	if alias == control.HomeAlias {
		return control.Alias{}, &control.Error{Code: control.CodeMalformed, Message: "home: is the root directory, and stays it"}
	}
	if err := control.CheckAlias(alias); err != nil {
		return control.Alias{}, err
	}
	c, err := a.n.aliases.remove(ctx, alias)
	if err != nil {
		return control.Alias{}, err
	}
	return aliasOf(alias, c), nil
}

package backup

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"slices"
	"strings"
	"time"

	"cairn/node/localtree"
	"cairn/node/transfer"
	"cairn/share"
	"cairn/share/capability"
)

const (
	// Archives is the directory inside a backup's target that holds the snapshots.
	Archives = "Archives"
	// Latest is the newest of them, beside Archives.
	Latest = "Latest"
	// timeLayout names a snapshot after the time at which it began. It sorts by time, and every system can have it as a name.
	timeLayout = "2006-01-02T15-04-05Z"
)

// Name returns the name of a snapshot that began at a time.
func Name(t time.Time) string { return t.UTC().Format(timeLayout) }

// A Snapshot is one state of a folder, as it is kept in the grid.
type Snapshot struct {
	Name string    `json:"name"`
	Time time.Time `json:"time"`
}

// ParseName returns the snapshot of that name, and false for what is none.
func ParseName(name string) (Snapshot, bool) {
	t, err := time.Parse(timeLayout, name)
	return Snapshot{name, t}, err == nil && Name(t) == name
}

// Snapshots returns those among the names in a directory that are snapshots, oldest first.
func Snapshots(names []string) []Snapshot {
	var all []Snapshot
	for _, name := range names {
		if s, ok := ParseName(name); ok {
			all = append(all, s)
		}
	}
	slices.SortFunc(all, func(a, b Snapshot) int { return cmp.Compare(a.Name, b.Name) })
	return all
}

// Free returns the name of a snapshot that began at a time: that of the first second from then on which none of the others has.
func Free(others []Snapshot, began time.Time) string {
	name := Name(began)
	for slices.ContainsFunc(others, func(s Snapshot) bool { return s.Name == name }) {
		began = began.Add(time.Second)
		name = Name(began)
	}
	return name
}

// ErrAmbiguous says that several snapshots begin with what was asked for.
var ErrAmbiguous = errors.New("several snapshots begin like this")

// Select returns the snapshot that is meant by a text: its name, the beginning of one, such as 2026-11-22, or "latest". It returns
// ErrNotFound or ErrAmbiguous.
func Select(snapshots []Snapshot, text string) (Snapshot, error) {
	if strings.EqualFold(text, Latest) && len(snapshots) > 0 {
		return snapshots[len(snapshots)-1], nil
	}
	var found []Snapshot
	for _, s := range snapshots {
		if text != "" && strings.HasPrefix(s.Name, text) {
			found = append(found, s)
		}
	}
	switch len(found) {
	case 0:
		return Snapshot{}, fmt.Errorf("snapshot %q: %w", text, share.ErrNotFound)
	case 1:
		return found[0], nil
	}
	return Snapshot{}, fmt.Errorf("snapshot %q: %w: %s to %s", text, ErrAmbiguous, found[0].Name, found[len(found)-1].Name)
}

// A Maker makes immutable directories.
type Maker interface {
	MakeImmutable(ctx context.Context, items []transfer.Item) (capability.Capability, error)
}

// Folders makes a snapshot's directories, and those that have not changed not again. It is the transfer.Folders of a backup.
type Folders struct {
	Maker Maker
	Files *Files
}

// Folder makes one directory.
func (f Folders) Folder(ctx context.Context, _ localtree.Entry, items []transfer.Item) (capability.Capability, []localtree.Problem, error) {
	contents := digest(items)
	if c, ok := f.Files.Folder(contents); ok {
		return c, nil, nil
	}
	c, err := f.Maker.MakeImmutable(ctx, items)
	if err != nil {
		return capability.Capability{}, nil, err
	}
	return c, nil, f.Files.RememberFolder(contents, c)
}

// digest identifies what a directory holds, to the last attribute.
func digest(items []transfer.Item) [sha256.Size]byte {
	h := sha256.New()
	for _, it := range items {
		text(h, it.Name)
		text(h, it.Capability.Text())
		text(h, fmt.Sprintf("%d %d %d %v", it.Kind, it.Size, it.Modified.UnixNano(), it.Executable))
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// text adds a text with its length, so that two texts cannot be taken for one.
func text(h hash.Hash, s string) {
	h.Write(binary.BigEndian.AppendUint32(nil, uint32(len(s))))
	h.Write([]byte(s))
}

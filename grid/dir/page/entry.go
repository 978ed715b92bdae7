package page

import (
	"fmt"
	"maps"
	"strings"
	"time"
	"unicode/utf8"

	"cairn/share"
	"cairn/share/capability"
)

// Bounds of an entry.
const (
	// MaxType is the longest content type in bytes.
	MaxType = 255
	// MaxUser is how many values of its user's an entry holds, MaxUserKey the longest key in bytes, and MaxUserBytes the
	// bytes of all keys and values together.
	MaxUser      = 64
	MaxUserKey   = 255
	MaxUserBytes = 4096
	// MaxSealed is the longest sealed capability in bytes.
	MaxSealed = capability.MaxText + Overhead
)

// Metadata is what a directory tells of an entry beside its capability. It says what the writer of the entry knew; the
// thing itself may have changed since.
type Metadata struct {
	Size        int64     // bytes of a file; 0 where it is not known
	Modified    time.Time // when the content was changed; zero where it is not known, as the others
	Created     time.Time // when the thing was made
	Changed     time.Time // when the entry was changed
	ContentType string
	Executable  bool
	User        map[string]string
}

// Equal reports whether both say the same.
func (m Metadata) Equal(o Metadata) bool {
	return m.Size == o.Size && m.Modified.Equal(o.Modified) && m.Created.Equal(o.Created) && m.Changed.Equal(o.Changed) &&
		m.ContentType == o.ContentType && m.Executable == o.Executable && maps.Equal(m.User, o.User)
}

// Check returns an error that wraps ErrTooLarge, or says what else no entry can hold.
func (m Metadata) Check() error {
	total := 0
	for key, value := range m.User {
		total += len(key) + len(value)
		switch {
		case key == "" || len(key) > MaxUserKey:
			return fmt.Errorf("user metadata: a key of %d bytes: %w: 1 to %d", len(key), share.ErrTooLarge, MaxUserKey)
		case !utf8.ValidString(key) || !utf8.ValidString(value):
			return fmt.Errorf("user metadata: %.80q is not valid UTF-8", key)
		}
	}
	switch {
	case len(m.User) > MaxUser:
		return fmt.Errorf("user metadata: %d values: %w: at most %d", len(m.User), share.ErrTooLarge, MaxUser)
	case total > MaxUserBytes:
		return fmt.Errorf("user metadata: %d bytes: %w: at most %d", total, share.ErrTooLarge, MaxUserBytes)
	case m.Size < 0:
		return fmt.Errorf("metadata: a size of %d bytes", m.Size)
	case len(m.ContentType) > MaxType:
		return fmt.Errorf("metadata: a content type of %d bytes: %w: at most %d", len(m.ContentType), share.ErrTooLarge, MaxType)
	case !printable(m.ContentType):
		return fmt.Errorf("metadata: the content type %.80q is not printable ASCII", m.ContentType)
	}
	for _, at := range []time.Time{m.Modified, m.Created, m.Changed} {
		if !at.IsZero() && !at.Equal(time.Unix(0, at.UnixNano())) {
			return fmt.Errorf("metadata: the time %v is not between 1678 and 2262", at)
		}
	}
	return nil
}

func printable(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r > '~' }) < 0
}

// An Entry is one name of a leaf.
type Entry struct {
	Name string
	// Capability is the text of what every reader of the directory may have. It never gives write authority. It is
	// empty where the capability is of a kind whose authority is not known, which is sealed.
	Capability string
	// Sealed holds what writers of the directory may have beyond that; see Sealer. Empty where that is nothing.
	Sealed []byte
	Metadata
}

// Equal reports whether both are the same entry.
func (e Entry) Equal(o Entry) bool {
	return e.Name == o.Name && e.SameThing(o) && e.Metadata.Equal(o.Metadata)
}

// SameThing reports whether both lead to the same thing with the same authority.
func (e Entry) SameThing(o Entry) bool {
	return e.Capability == o.Capability && string(e.Sealed) == string(o.Sealed)
}

// Weak reports whether a capability can stand where every reader of a directory sees it: no known kind that gives write
// authority, and of unknown kinds those whose name ends in -read or -verify.
func Weak(c capability.Capability) bool {
	if c.Kind() != capability.KindUnknown {
		return c.Authority() < capability.AuthorityWrite
	}
	kind := c.Describe().Kind
	return strings.HasSuffix(kind, "-read") || strings.HasSuffix(kind, "-verify")
}

// Immutable reports whether what the capability leads to is known never to change.
func Immutable(c capability.Capability) bool {
	_, mutable := c.Name()
	return c.Kind() != capability.KindUnknown && !mutable
}

func (e Entry) block() entryBlock {
	return entryBlock{
		Name: e.Name, Capability: e.Capability, Sealed: e.Sealed, Size: e.Size,
		Modified: stamp(e.Modified), Created: stamp(e.Created), Changed: stamp(e.Changed),
		Type: e.ContentType, Executable: e.Executable, User: e.User,
	}
}

func stamp(at time.Time) *int64 {
	if at.IsZero() {
		return nil
	}
	ns := at.UnixNano()
	return &ns
}

func unstamp(ns *int64) time.Time {
	if ns == nil {
		return time.Time{}
	}
	return time.Unix(0, *ns).UTC()
}

func (b entryBlock) entry() (Entry, error) {
	e := Entry{
		Name: b.Name, Capability: b.Capability, Sealed: b.Sealed,
		Metadata: Metadata{
			Size: b.Size, Modified: unstamp(b.Modified), Created: unstamp(b.Created), Changed: unstamp(b.Changed),
			ContentType: b.Type, Executable: b.Executable, User: b.User,
		},
	}
	if err := checkStored(e.Name); err != nil {
		return e, err
	}
	if err := e.Check(); err != nil {
		return e, corrupt("entry %.300q: %v", e.Name, err)
	}
	return e, e.checkCapability()
}

func (e Entry) checkCapability() error {
	if e.Capability == "" && len(e.Sealed) == 0 || len(e.Sealed) > 0 && len(e.Sealed) <= Overhead || len(e.Sealed) > MaxSealed {
		return corrupt("entry %.300q: the capability is missing, or has the wrong length", e.Name)
	}
	if e.Capability == "" {
		return nil
	}
	c, err := capability.Parse(e.Capability)
	switch {
	case err != nil:
		return corrupt("entry %.300q: %v", e.Name, err)
	case !Weak(c):
		return corrupt("entry %.300q: a write capability that is not sealed", e.Name)
	case len(e.Sealed) > 0 && c.Kind() != capability.KindMutableRead && c.Kind() != capability.KindDirRead:
		return corrupt("entry %.300q: a sealed write capability of what nobody can write", e.Name)
	}
	return nil
}

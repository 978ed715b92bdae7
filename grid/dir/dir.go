// Package dir is directories: names that lead to capabilities, kept in a tree of small encrypted pages.
//
// A directory is a value with versions. Open gives one version of it, which never changes; Update makes the next one. The
// root page is a version of a mutable file, or an immutable file; the other pages are immutable files. A look-up or a
// change touches one page of each level, so both cost O(log n) bytes. docs/formats.md, "Directories", is the
// specification.
package dir

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"cairn/grid/dir/page"
	"cairn/grid/mutable"
	"cairn/grid/turn"
	"cairn/share"
	"cairn/share/capability"
	"cairn/share/head"
	"cairn/share/keys"
)

// ErrMutable says that something that can change was to be in an immutable directory.
var ErrMutable = errors.New("an immutable directory holds only immutable things")

// A NameError says why a name cannot be the name of an entry.
type NameError = page.NameError

// Metadata is what a directory tells of an entry beside its capability.
type Metadata = page.Metadata

// MaxName is the longest name in bytes of UTF-8, after normalisation.
const MaxName = page.MaxName

// CheckName returns the normalised form (Unicode NFC) of a name, under which it is stored and looked up: names that differ
// only in normalisation are the same name. Names that differ in case are different names. It returns a *NameError for
// what no entry can be called: the empty name, '.', '..', what contains a slash or a control character, is not valid
// UTF-8, or is longer than MaxName bytes.
func CheckName(name string) (nfc string, err error) { return page.CheckName(name) }

// ShortName returns a name for a message: of one that is longer than any can be, the beginning.
func ShortName(name string) string { return page.Short(name) }

// An Entry is one name of a directory.
type Entry struct {
	Name string
	// Capability is the strongest that the reader of the directory may have: the write capability, where the entry has one
	// and the directory was opened with its own, otherwise one that reads or verifies. Capabilities of unknown kinds
	// are here verbatim. It is zero (IsZero) where the kind is unknown and only writers of the directory may have it.
	Capability capability.Capability
	Metadata
}

// A Version says which version of a directory something is.
type Version struct {
	// Sequence counts the versions of a mutable directory from 1. It is 0 for an immutable one.
	Sequence uint64
	// Root is the storage index of the root page.
	Root share.StorageIndex
	// Written is the writer's clock; zero for an immutable directory.
	Written time.Time
	// Digest identifies the version's head, and Parents those of the versions that it follows.
	Digest  share.Digest
	Parents []share.Digest
	// Ties are those of the head.
	Ties []head.Tie
	// Keep and Ended are those of the head.
	Keep  share.Retention
	Ended bool
	// Cut says that the version which it replaced should be kept still and was not found, or was not asked for.
	Cut bool
	// Unsure says that the version may not be on enough servers to stay, because its writer did not get that far.
	Unsure bool
	// Handle is for the Files that the version came from.
	Handle any
}

// A Page is a small immutable file, and the code that its storage index was worked out for.
type Page struct {
	Index  share.StorageIndex
	Key    keys.ReadKey
	Data   []byte
	Params share.Params
	// sealed is the encoded page.
	sealed mutable.Page
}

// A Content is one version of a mutable file.
type Content struct {
	Version
	Data []byte
	// Forks are the heads of other versions that are not ancestors of this one, as far as they were found.
	Forks []Version
	// Unclear, if set, says why it cannot be told now whether there are any.
	Unclear error
}

// A Write is the next version of a mutable file.
type Write struct {
	// Bases are the versions that it has the content of, the one that it replaces first; none for the first version, and then
	// nothing may be there.
	Bases []Version
	Data  []byte
	// Follows are versions that were refused, and whose change is made once more in this one or given up. It has nothing of those that
	// are not among the Bases.
	Follows []Version
	// Pages are stored with it. Drops are files of the versions before that it needs no longer.
	Pages []Page
	Drops []share.StorageIndex
	// Retention, if set, says which past versions are wanted from this one on, and Ended that no other one follows.
	Retention share.Retention
	Ended     bool
	// All returns every page that the version needs. It may read pages.
	All func(ctx context.Context) ([]share.StorageIndex, error)
}

// Files are the mutable files in which the root pages of directories live.
type Files interface {
	// Read returns the newest version of the file that a directory's read or write capability names, share.ErrNotFound
	// when there is none.
	Read(ctx context.Context, c capability.Capability) (Content, error)
	// ReadVersion returns a version that Read or History named.
	ReadVersion(ctx context.Context, c capability.Capability, v Version) (Content, error)
	// Write stores the next version. The error wraps share.ErrConflict when the file has another version than the first
	// of the Bases meanwhile.
	Write(ctx context.Context, key keys.WriteKey, w Write) (Version, error)
	// History returns the versions with a sequence of since or higher that can be found, newest first, forks among them. It may
	// return others too. A version that replaced one of a lower sequence, which is not returned, is Cut.
	History(ctx context.Context, c capability.Capability, since uint64) ([]Version, error)
}

// Pages are small immutable files.
type Pages interface {
	// Params returns k, happy and N of new pages.
	Params(ctx context.Context) share.Params
	// Store stores files.
	Store(ctx context.Context, pages []Page) error
	// Fetch returns the plaintexts of files, in the same order. A file that is longer than page.MaxSize is an error.
	Fetch(ctx context.Context, refs []page.Ref) ([][]byte, error)
}

// Config is what Dirs work with.
type Config struct {
	Files Files
	Pages Pages
	// Secret makes immutable directories convergent: the same entries are the same directory.
	Secret keys.ConvergenceSecret
	Logger *slog.Logger
}

// Dirs reads and changes directories. It is safe for concurrent use.
type Dirs struct {
	Config
	cache    *cache
	turns    turn.Turns[share.Name] // so that the changes of this process to one directory do not collide
	courtesy courtesy
	last     written

	pageBytes int // usual length of a page
}

// New returns the directories on these files.
func New(c Config) *Dirs {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return &Dirs{
		Config: c, cache: newCache(cacheBytes), pageBytes: pageBytes,
		courtesy: courtesy{manners: map[share.Name]*manners{}}, last: written{last: map[share.Name]*Directory{}},
	}
}

// Open returns the newest version of a directory, given its write capability, its read capability, or that of an immutable
// directory. A capability of another kind is a *capability.KindError. A fork of the newest version that is out of reach is left out
// with a warning, and the directory cannot be changed meanwhile.
func (d *Dirs) Open(ctx context.Context, c capability.Capability) (*Directory, error) {
	if err := wantDirectory(c); err != nil {
		return nil, err
	}
	if c.Kind() == capability.KindIDir {
		return d.openImmutable(ctx, c)
	}
	opened := glancesOf(ctx)
	if x := opened.get(c); x != nil {
		return x, nil
	}
	x, err := d.openNewest(ctx, c, func(Version) *trial { return nil })
	if err == nil {
		opened.put(x)
	}
	return x, err
}

// errUnclear says that nobody within reach knows how versions follow each other.
var errUnclear = fmt.Errorf("%w: the servers that know which version follows which do not answer", share.ErrUnavailable)

// openNewest asks the servers for the newest version of a directory, and brings its forks in but for the caller's own trials.
func (d *Dirs) openNewest(ctx context.Context, c capability.Capability, own func(Version) *trial) (*Directory, error) {
	content, err := d.Files.Read(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("directory %v: %w", c, err)
	}
	x, err := d.directory(c, content)
	if err != nil {
		return nil, err
	}
	x.apart = content.Unclear
	whole := x
	if len(content.Forks) > 0 {
		whole, err = d.merged(ctx, x, content.Forks, own)
	}
	if few := (*share.NotEnoughSharesError)(nil); (errors.As(err, &few) || errors.Is(err, errUnclear)) && ctx.Err() == nil {
		x.apart = err
	}
	if x.apart != nil {
		d.Logger.Warn("a directory is shown without what was changed in a fork that is out of reach", "directory", c, "error", x.apart)
		return x, nil
	}
	return whole, err
}

func wantDirectory(c capability.Capability) error {
	return c.Want(capability.KindDir, capability.KindDirRead, capability.KindIDir)
}

func (d *Dirs) openImmutable(ctx context.Context, c capability.Capability) (*Directory, error) {
	index, _ := c.StorageIndex()
	key, _ := c.ReadKey()
	pages, err := d.fetch(ctx, c, []page.Ref{{Index: index, Key: key}})
	if err != nil {
		return nil, fmt.Errorf("directory %v: %w", c, err)
	}
	return &Directory{d: d, c: c, version: Version{Root: index}, root: pages[0]}, nil
}

// directory returns the version of a directory that has this root page.
func (d *Dirs) directory(c capability.Capability, content Content) (*Directory, error) {
	root, err := page.Parse(content.Data)
	if err != nil {
		return nil, fmt.Errorf("directory %v: %w", c, err)
	}
	x := &Directory{d: d, c: c, version: content.Version, root: root}
	if key, ok := c.WriteKey(); ok {
		x.sealer = page.NewSealer(key)
	}
	return x, nil
}

// ReadOnly returns the error for a change that the capability does not allow, which says what would.
func ReadOnly(c capability.Capability) error {
	if c.Kind() == capability.KindIDir {
		return fmt.Errorf("change directory %v: %w: it is immutable, nobody can change it", c, share.ErrReadOnly)
	}
	return fmt.Errorf("change directory %v: %w: %w: this is %s, the directory's write capability (cairn:dir:…) is needed",
		c, share.ErrReadOnly, capability.ErrAuthority, c.Kind().Noun())
}

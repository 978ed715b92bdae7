package mutable

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"slices"

	"cairn/grid/file"
	"cairn/share"
	"cairn/share/capability"
	"cairn/share/encoding"
	"cairn/share/head"
	"cairn/share/keys"
)

const (
	// smallShare is the largest share in bytes of a version that travels with its head.
	smallShare = 64 << 10
	// saltSize is the length of the random salt that gives every version keys of its own.
	saltSize = 16
	// exchangeBytes and exchangeShares bound what travels with one head to one server. What is more goes before it.
	exchangeBytes  = 2 << 20
	exchangeShares = 1024
)

// WriteOptions say what else belongs to a version.
type WriteOptions struct {
	// Extra are further small immutable files that the version needs: they are stored before, or in the same step as, its
	// head. All of them are sealed with the same parameters, those of the version.
	Extra []Page
	// Params is the encoding, zero for the environment's.
	Params share.Params
	// Adds are files stored by other means that belong to this version and not to the one before. Drops are those
	// that belong to the version before and no longer to this one. Both without Extra and the versions' own files.
	Adds, Drops []share.StorageIndex
	// All, if set, returns every file that the version needs beside its own. It is called when a server held something else
	// than the version before, as after a collision: the server may have let go of files that this version needs.
	All func(context.Context) ([]share.StorageIndex, error)
	// Merges are heads whose content is in this version beside that of the one before. The Forks of that one are taken for such too.
	Merges []head.Head
	// Follows are heads of versions that the writer wrote too, and that were refused, and whose change is made once more in this one or
	// given up. The version follows them as far as there is room, and its head says so. What is not among the Merges it has nothing of.
	Follows []head.Head
	// Keep says that what loses a collision is stored all the same, for KeptFor, and kept in the history of who wrote it. It is for a
	// version without Extra that is not written again on the newer one.
	Keep bool
	// Retention says which past versions are wanted from this version on, within the bounds of package head. The zero value is what the
	// version before said, and that of the environment for the first one.
	Retention share.Retention
	// Ended makes this the last version under its name: Write refuses to follow it.
	Ended bool
}

// ErrEnded says that the last version under a name said that no other one follows: the keys of the thing were changed.
var ErrEnded = errors.New("its keys were changed, and it goes on under other ones")

// Write stores what r yields as the version that follows base, or as the first one where base is nil. It succeeds
// when enough distinct servers (Happy) hold its shares and more than half of the head servers that answer, and at least
// Happy, hold its head, all of it on stable storage. A server that has missed versions is brought up to date on the way.
//
// A small version costs one exchange with each server. A large one is uploaded like an immutable file before its head is set.
//
// It returns a *CollisionError, which wraps a *share.ConflictError, when somebody else has written a version meanwhile; nothing of the
// other version is lost then, nor of this one where Keep is set. A *share.UnhappyError says that too few servers took the version: it may be found by
// readers all the same, or not, until the next write.
func (m *Files) Write(ctx context.Context, key keys.WriteKey, base *Version, r io.Reader, o WriteOptions) (*Version, error) {
	w, err := m.newWrite(ctx, key, base, o)
	if err == nil {
		err = w.content(ctx, r)
	}
	if err == nil {
		err = w.heal(ctx)
	}
	var v *Version
	if err == nil {
		v, err = w.commit(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("write %s: %w", capability.NameOf(key), err)
	}
	return v, nil
}

// A write is one run of Write.
type write struct {
	m      *Files
	o      WriteOptions
	key    keys.WriteKey
	read   keys.ReadKey
	name   share.Name
	base   *Version // never nil: a first version is based on one with sequence 0
	params share.Params

	servers []headServer
	data    []byte // of a small version
	size    int64
	root    share.StorageIndex
	adds    []share.StorageIndex
	drops   []share.StorageIndex
	parcels []*file.Small // that travel with the head
}

func (m *Files) newWrite(ctx context.Context, key keys.WriteKey, base *Version, o WriteOptions) (*write, error) {
	w := &write{m: m, o: o, key: key, read: key.ReadKey(), name: capability.NameOf(key), base: base, params: o.Params}
	if w.params.IsZero() {
		w.params = m.env.Params(ctx)
	}
	switch {
	case base == nil:
		w.base = &Version{m: m, key: w.read}
		if w.o.Retention == (share.Retention{}) {
			w.o.Retention = m.env.Retention()
		}
	case base.Head.Name != w.name:
		return nil, fmt.Errorf("%w: the version before is one of %s", share.ErrDenied, base.Head.Name)
	case base.Head.Ended:
		return nil, fmt.Errorf("%w: %w", share.ErrDenied, ErrEnded)
	case w.o.Retention == (share.Retention{}):
		w.o.Retention = base.Head.Retention()
	}
	w.servers = m.headServers(ctx, w.name)
	w.drops = slices.Clone(o.Drops)
	if base != nil {
		w.drops = append(w.drops, base.Head.Root)
	}
	return w, w.params.Validate()
}

// smallSize is the size in bytes up to which a version travels with its head.
func (w *write) smallSize() int {
	return w.params.Needed * min(smallShare-w.params.Total*encoding.DigestSize-encoding.MaxRootSize, encoding.BlockSizeFor(w.params.Total))
}

// content encodes what the version consists of and stores what does not travel with the head.
func (w *write) content(ctx context.Context, r io.Reader) error {
	salt := make([]byte, saltSize)
	rand.Read(salt) // never fails: crypto/rand ends the program instead
	w.data = make([]byte, 0, 512)
	small, err := io.ReadAll(io.LimitReader(r, int64(max(0, w.smallSize()))+1))
	if err != nil {
		return fmt.Errorf("read: %w", err)
	}
	if len(small) <= w.smallSize() {
		w.data, w.size = small, int64(len(small))
		small, err := file.EncodeSmall(w.params, 0, w.read, salt, small)
		if err != nil {
			return err
		}
		w.root = small.Index
		w.parcels = append(w.parcels, &small)
	} else if err := w.upload(ctx, salt, io.MultiReader(bytes.NewReader(small), r)); err != nil {
		return err
	}
	w.adds = append(slices.Clone(w.o.Adds), w.root)
	return w.extras(ctx)
}

// upload stores a large version.
func (w *write) upload(ctx context.Context, salt []byte, r io.Reader) error {
	w.data = nil
	result, err := file.Upload(ctx, w.m.env.Servers(ctx), r, file.UploadOptions{
		Params: w.params, BlockSize: encoding.BlockSizeFor(w.params.Total), Key: w.read, Salt: salt, Size: -1,
		Owner: w.m.env.Owner, Lease: w.m.env.Lease(), Background: w.m.env.Background, Log: w.m.env.Logger,
	})
	if err != nil {
		result.LetGo()
	}
	w.root, w.size = result.Root.StorageIndex(), result.Root.Size
	return err
}

// extras seals the pages. They travel with the head where there is room for them, and before it otherwise.
func (w *write) extras(ctx context.Context) error {
	bytes := 0
	for _, p := range w.parcels {
		bytes += len(p.Shares[0])
	}
	var pages []*file.Small
	for i := range w.o.Extra {
		page := &w.o.Extra[i]
		if page.small == nil {
			if err := page.seal(w.params); err != nil {
				return err
			}
		} else if page.params.Needed != w.params.Needed || page.params.Total != w.params.Total {
			return fmt.Errorf("page: %w: it was sealed as %s, the version is %s", share.ErrDenied, page.params, w.params)
		}
		w.adds = append(w.adds, page.small.Index)
		pages = append(pages, page.small)
		bytes += len(page.small.Shares[0])
	}
	w.adds = distinct(w.adds, nil)
	if len(w.adds) > share.MaxHeadIndexes || len(w.drops) > share.MaxHeadIndexes {
		return fmt.Errorf("%w: %d files added and %d dropped, at most %d each", share.ErrTooLarge, len(w.adds), len(w.drops), share.MaxHeadIndexes)
	}
	each := w.params.Total/max(1, len(w.servers)) + 1 // shares of one file for one server, at most
	if bytes*each <= exchangeBytes && len(pages)*each < exchangeShares {
		w.parcels = append(w.parcels, pages...)
		return nil
	}
	files := make([]file.SmallFile, len(pages))
	for i, page := range pages {
		files[i].Encoded = page
	}
	servers := make([]share.Server, len(w.servers))
	for i, s := range w.servers {
		servers[i] = s.Server
	}
	_, err := file.UploadBatch(ctx, servers, files, file.BatchOptions{
		Params: w.params, Owner: w.m.env.Owner, Lease: w.m.env.Lease(), Log: w.m.env.Logger,
	})
	return err
}

// sequence returns the sequence of the next version, which is higher than those of all that it follows.
func (w *write) sequence() uint64 {
	seen, _ := w.m.env.Memory.Seen(w.name)
	last := max(w.base.Head.Sequence, w.base.top, seen.Sequence)
	for _, h := range slices.Concat(w.o.Merges, w.base.Forks, w.o.Follows) {
		last = max(last, h.Sequence)
	}
	return last + 1
}

// parents returns what the next version follows, and how it stands to each.
func (w *write) parents() ([]share.Digest, []head.Tie) {
	if w.base.Head.Sequence == 0 {
		return nil, nil
	}
	in := func(heads []head.Head, digest share.Digest) bool {
		return slices.ContainsFunc(heads, func(h head.Head) bool { return h.Digest == digest })
	}
	has := append([]head.Head{w.base.Head}, w.o.Merges...)
	var parents []share.Digest
	var ties []head.Tie
	for _, h := range slices.Concat(has, w.base.Forks, w.o.Follows) {
		if len(parents) == head.MaxParents || slices.Contains(parents, h.Digest) {
			continue
		}
		tie := head.Has
		switch {
		case !in(w.o.Follows, h.Digest):
		case in(has, h.Digest):
			tie = head.Remade
		default:
			tie = head.Left
		}
		parents, ties = append(parents, h.Digest), append(ties, tie)
	}
	if slices.Max(ties) == head.Has {
		ties = nil
	}
	return parents, ties
}

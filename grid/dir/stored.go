package dir

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"cairn/grid/dir/page"
	"cairn/grid/file"
	"cairn/grid/mutable"
	"cairn/share"
	"cairn/share/capability"
	"cairn/share/head"
	"cairn/share/keys"
)

// A Store keeps the pages of directories on servers: root pages as versions of mutable files, in one exchange with the pages
// that are new, and immutable directories as batches of small files. It is Files and Pages.
type Store struct {
	env   mutable.Env
	files *mutable.Files

	mu sync.Mutex
	// litter are pages of versions that were refused after some server may have taken them, per directory.
	litter map[share.Name][]share.StorageIndex
}

var (
	_ Files = (*Store)(nil)
	_ Pages = (*Store)(nil)
)

// maxLitter bounds the pages of one directory that wait to be dropped.
const maxLitter = 1024

// NewStore returns the store over mutable files, which are those of the environment.
func NewStore(env mutable.Env, files *mutable.Files) *Store {
	return &Store{env: env, files: files, litter: map[share.Name][]share.StorageIndex{}}
}

// Read implements Files.
func (s *Store) Read(ctx context.Context, c capability.Capability) (Content, error) {
	v, err := s.files.Read(ctx, c)
	if err != nil {
		return Content{}, err
	}
	return contentOf(ctx, v)
}

// ReadVersion implements Files.
func (s *Store) ReadVersion(ctx context.Context, c capability.Capability, v Version) (Content, error) {
	name, _ := c.Name()
	read, err := s.files.ReadHead(ctx, c, HeadOf(name, v))
	if err != nil {
		return Content{}, gone(err)
	}
	return contentOf(ctx, read)
}

// gone says that a version is not kept any more where every server that was asked answered and none has a share of it.
func gone(err error) error {
	var few *share.NotEnoughSharesError
	if errors.As(err, &few) && few.Found == 0 && few.Answered == few.Asked {
		return fmt.Errorf("%w: %w", share.ErrNotFound, err)
	}
	return err
}

func contentOf(ctx context.Context, v *mutable.Version) (Content, error) {
	data, err := v.Bytes(ctx, page.MaxSize)
	content := Content{Version: VersionOf(v.Head), Data: data}
	content.Handle, content.Unsure, content.Unclear = v, !v.Confirmed, v.Unclear
	for _, fork := range v.Forks {
		content.Forks = append(content.Forks, VersionOf(fork))
	}
	return content, err
}

// VersionOf returns the version of a directory that a head names.
func VersionOf(h head.Head) Version {
	return Version{
		Sequence: h.Sequence, Root: h.Root, Written: h.Written, Digest: h.Digest, Parents: h.Parents, Ties: h.Ties, Keep: h.Keep, Ended: h.Ended,
	}
}

// HeadOf returns the head of a version of the directory with this name.
func HeadOf(name share.Name, v Version) head.Head {
	return head.Head{
		Name: name, Sequence: v.Sequence, Root: v.Root, Parents: v.Parents, Ties: v.Ties, Written: v.Written, Digest: v.Digest, Keep: v.Keep,
		Ended: v.Ended,
	}
}

// History implements Files.
func (s *Store) History(ctx context.Context, c capability.Capability, since uint64) ([]Version, error) {
	versions, err := s.files.HistorySince(ctx, c, since)
	out := make([]Version, len(versions))
	for i, v := range versions {
		out[i] = VersionOf(v.Head)
		out[i].Cut = v.Unclear != nil
	}
	return out, err
}

// Write implements Files.
func (s *Store) Write(ctx context.Context, key keys.WriteKey, w Write) (Version, error) {
	base, err := s.base(ctx, key, w.Bases)
	if err != nil {
		return Version{}, err
	}
	name := capability.NameOf(key)
	o := mutable.WriteOptions{Drops: slices.Clone(w.Drops), All: w.All, Retention: w.Retention, Ended: w.Ended}
	for _, p := range w.Pages {
		o.Extra, o.Params = append(o.Extra, p.sealed), p.Params
	}
	for _, fork := range w.Bases[min(1, len(w.Bases)):] {
		o.Drops = append(o.Drops, fork.Root)
		o.Merges = append(o.Merges, HeadOf(name, fork))
	}
	for _, v := range w.Follows {
		o.Follows = append(o.Follows, HeadOf(name, v))
	}
	swept := s.left(name)
	if len(swept) > 0 {
		needed, err := w.All(ctx)
		if err != nil {
			return Version{}, err
		}
		o.Drops = append(o.Drops, slices.DeleteFunc(slices.Clone(swept), func(i share.StorageIndex) bool { return slices.Contains(needed, i) })...)
	}
	v, err := s.files.Write(ctx, key, base, bytes.NewReader(w.Data), o)
	if err != nil {
		if errors.Is(err, share.ErrConflict) {
			s.leave(name, w.Pages)
		}
		return Version{}, err
	}
	s.sweep(name, len(swept))
	version := VersionOf(v.Head)
	version.Handle = v
	return version, nil
}

// base returns the version that a write follows, as the mutable files know it.
func (s *Store) base(ctx context.Context, key keys.WriteKey, bases []Version) (*mutable.Version, error) {
	if len(bases) == 0 {
		return nil, nil //nolint:nilnil // the first version has none before it
	}
	if v, ok := bases[0].Handle.(*mutable.Version); ok {
		return v, nil
	}
	return s.files.Overrule(ctx, key, HeadOf(capability.NameOf(key), bases[0]))
}

func (s *Store) leave(name share.Name, pages []Page) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range pages {
		if len(s.litter[name]) < maxLitter {
			s.litter[name] = append(s.litter[name], p.Index)
		}
	}
}

func (s *Store) left(name share.Name) []share.StorageIndex {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.litter[name])
}

// sweep forgets the first n pages that were left.
func (s *Store) sweep(name share.Name, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.litter[name] = s.litter[name][min(n, len(s.litter[name])):]
	if len(s.litter[name]) == 0 {
		delete(s.litter, name)
	}
}

// Params implements Pages.
func (s *Store) Params(ctx context.Context) share.Params {
	if s.env.Params == nil {
		return share.DefaultParams(len(s.env.Servers(ctx)))
	}
	return s.env.Params(ctx)
}

// Store implements Pages. Pages that servers have already are not sent again.
func (s *Store) Store(ctx context.Context, pages []Page) error {
	if len(pages) == 0 {
		return nil
	}
	o := file.BatchOptions{Params: pages[0].Params, Owner: s.env.Owner, Lease: share.DefaultLease, Resume: true, Log: s.env.Logger}
	if s.env.Lease != nil {
		o.Lease = s.env.Lease()
	}
	if s.env.Copies != nil {
		var err error
		if o.Copy, err = s.env.Copies(ctx); err != nil {
			return fmt.Errorf("keep a copy: %w", err)
		}
	}
	files := make([]file.SmallFile, len(pages))
	for i, p := range pages {
		files[i] = file.SmallFile{Key: p.Key, Data: p.Data}
	}
	results, err := file.UploadBatch(ctx, s.env.Servers(ctx), files, o)
	if err != nil {
		return err
	}
	for i, r := range results {
		if r.Root.StorageIndex() != pages[i].Index {
			return fmt.Errorf("store page: %w: it was encoded differently", share.ErrCorrupt)
		}
	}
	return nil
}

// Fetch implements Pages.
func (s *Store) Fetch(ctx context.Context, refs []page.Ref) ([][]byte, error) {
	return s.files.Fetch(ctx, wanted(refs))
}

// FetchOf reads pages of a mutable directory, whose head servers have them.
func (s *Store) FetchOf(ctx context.Context, name share.Name, refs []page.Ref) ([][]byte, error) {
	return s.files.Pages(ctx, name, wanted(refs))
}

func wanted(refs []page.Ref) []mutable.Ref {
	out := make([]mutable.Ref, len(refs))
	for i, ref := range refs {
		out[i] = mutable.Ref{Index: ref.Index, Key: ref.Key}
	}
	return out
}

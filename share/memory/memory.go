// Package memory is a Store that forgets: shares live in a map. It serves tests, and shows in little code what
// every Store does.
package memory

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"time"

	"cairn/share"
	"cairn/share/column"
)

// MaxSessions bounds how many unfinished uploads a Store keeps; the oldest idle one makes room for a new one.
const MaxSessions = 1024

// Options bound a Store.
type Options struct {
	Offer int64 // bytes of shares it takes; 0 means 1 TiB
}

// A Store keeps shares in memory. It implements share.Store and every optional interface of package share.
type Store struct {
	offer int64

	mu       sync.Mutex
	files    map[share.StorageIndex]*file
	names    map[share.Name]*name
	sessions map[sessionKey]*session
	done     map[sessionKey]share.Progress // committed uploads
	used     int64                         // bytes of committed shares and of unfinished ones
	clock    int64                         // counts sessions, to find the oldest
	released func(owner string, index share.StorageIndex)
}

// A file is what the store holds under one storage index.
type file struct {
	root   []byte
	shares map[share.Number][]byte
	leases map[string]time.Time
	unheld time.Time // when the last lease was released; zero while there is one
}

type sessionKey struct {
	owner  string
	id     share.UploadID
	number share.Number
}

var (
	_ share.Store     = (*Store)(nil)
	_ share.Resumer   = (*Store)(nil)
	_ share.Spacer    = (*Store)(nil)
	_ share.Accounter = (*Store)(nil)
	_ share.HeadStore = (*Store)(nil)
	_ share.Batcher   = (*Store)(nil)
	_ share.Mover     = (*Store)(nil)

	_ share.NameMover     = (*Store)(nil)
	_ share.ReleaseTeller = (*Store)(nil)
	_ share.Rechecker     = (*Store)(nil)
	_ share.Staler        = reader{}
)

// New returns an empty Store.
func New(o Options) *Store {
	return &Store{
		offer: cmp.Or(o.Offer, 1<<40), files: map[share.StorageIndex]*file{}, names: map[share.Name]*name{},
		sessions: map[sessionKey]*session{}, done: map[sessionKey]share.Progress{},
	}
}

// Numbers says which shares are held.
func (s *Store) Numbers(ctx context.Context, indexes []share.StorageIndex) ([]share.Held, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	held := make([]share.Held, len(indexes))
	for i, index := range indexes {
		held[i].Index = index
		if f := s.files[index]; f != nil {
			held[i].Numbers = slices.Sorted(maps.Keys(f.shares))
			held[i].Root = bytes.Clone(f.root)
		}
	}
	return held, nil
}

// Open opens one share. It returns ErrNotFound when the share is not held.
func (s *Store) Open(ctx context.Context, index share.StorageIndex, number share.Number) (share.Reader, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if f := s.files[index]; f != nil {
		if data, ok := f.shares[number]; ok {
			if !whole(data, f.root) {
				s.drop(index, number)
				return nil, fmt.Errorf("share %d of %s: %w: it is cut", number, index, share.ErrCorrupt)
			}
			return reader{bytes.NewReader(data), func() bool { return !s.has(index, number, data) }}, nil
		}
	}
	return nil, fmt.Errorf("share %d of %s: %w", number, index, share.ErrNotFound)
}

type reader struct {
	r     *bytes.Reader
	stale func() bool
}

func (r reader) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	if off < 0 {
		return 0, fmt.Errorf("read at %d: %w", off, share.ErrDenied)
	}
	n, err := r.r.ReadAt(p, off)
	switch {
	case n == len(p):
		return n, nil
	case err == io.EOF:
		return n, io.ErrUnexpectedEOF
	}
	return n, err
}

// Stale implements share.Staler.
func (r reader) Stale() bool { return r.stale() }

func (r reader) Size() int64  { return r.r.Size() }
func (r reader) Close() error { return nil }

// Renew extends the owner's lease on what is held under the indexes; it never shortens one.
func (s *Store) Renew(ctx context.Context, indexes []share.StorageIndex, lease share.Lease) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := column.CheckLease(lease, time.Now()); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var missing error
	for _, index := range indexes {
		if f := s.files[index]; f != nil {
			f.lease(lease)
		} else if missing == nil {
			missing = fmt.Errorf("renew %s: %w", index, share.ErrNotFound)
		}
	}
	return missing
}

func (f *file) lease(l share.Lease) {
	if l.Expires.After(f.leases[l.Owner]) {
		f.leases[l.Owner] = l.Expires
	}
	f.unheld = time.Time{}
}

// Leases returns the leases on a storage index, ascending by owner. It returns ErrNotFound when no share is held.
func (s *Store) Leases(ctx context.Context, index share.StorageIndex) ([]share.Lease, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.files[index]
	if f == nil {
		return nil, fmt.Errorf("leases of %s: %w", index, share.ErrNotFound)
	}
	var leases []share.Lease
	for _, owner := range slices.Sorted(maps.Keys(f.leases)) {
		leases = append(leases, share.Lease{Owner: owner, Expires: f.leases[owner]})
	}
	return leases, ctx.Err()
}

// Space says what the store offers.
func (s *Store) Space(ctx context.Context) (share.Space, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return share.Space{Offered: s.offer, Used: s.used, Free: max(0, s.offer-s.used)}, ctx.Err()
}

// Uploads returns the progress of each share of an upload, finished ones included.
func (s *Store) Uploads(ctx context.Context, owner string, id share.UploadID) ([]share.Progress, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var progress []share.Progress
	for key, p := range s.done {
		if key.owner == owner && key.id == id && s.sessions[key] == nil {
			progress = append(progress, p)
		}
	}
	for key, session := range s.sessions {
		if key.owner == owner && key.id == id {
			progress = append(progress, share.Progress{Number: key.number, Blocks: session.column.Blocks()})
		}
	}
	slices.SortFunc(progress, func(a, b share.Progress) int { return cmp.Compare(a.Number, b.Number) })
	return progress, nil
}

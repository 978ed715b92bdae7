package disk

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"cairn/share"
	"cairn/share/encoding"
)

// Recheck implements share.Rechecker.
func (s *Store) Recheck(ctx context.Context, index share.StorageIndex, n share.Number, segment int64) (held bool, err error) {
	if err := s.writable(ctx); err != nil {
		return false, fmt.Errorf("share %d of %s: %w", n, index, err)
	}
	found, err := s.recheck(ctx, index, n, func(r share.Reader, root []byte) error {
		return encoding.VerifySegment(ctx, r, index, n, root, segment)
	})
	if err != nil {
		return false, fmt.Errorf("share %d of %s: %w", n, index, err)
	}
	return found == good, nil
}

// A finding is what became of a share that was read again.
type finding int

const (
	good finding = iota
	absent
	condemned
)

// recheck verifies a share, twice before it is condemned.
func (s *Store) recheck(ctx context.Context, index share.StorageIndex, n share.Number, verify func(r share.Reader, root []byte) error) (finding, error) {
	var before shareRecord
	var seen fs.FileInfo
	for try := range rechecks {
		f, err := s.index.file(index)
		if err != nil {
			return 0, err
		}
		held, ok := f.share(n)
		if !ok {
			return absent, nil
		}
		was := seen
		file, bad := s.examine(f, held, index, verify)
		seen = file
		switch {
		case s.ready(ctx) != nil:
			return 0, s.ready(ctx)
		case bad == nil:
			return good, nil
		case !isDamage(bad):
			return 0, bad
		case try > 0 && held == before && sameFile(was, file):
			removed, err := s.condemn(ctx, index, held, file, bad)
			if err != nil {
				return 0, fmt.Errorf("move it aside: %w", err)
			}
			if !removed {
				continue
			}
			return condemned, nil
		}
		before = held
	}
	return 0, fmt.Errorf("%w: it is being stored again and again", share.ErrBusy)
}

// rechecks is how often a share is read that others replace meanwhile.
const rechecks = 5

// examine opens a share anew, with the footer of a share file, and verifies it. It returns which file that was, nil for none.
func (s *Store) examine(
	f fileRecord, held shareRecord, index share.StorageIndex, verify func(r share.Reader, root []byte) error,
) (file fs.FileInfo, bad error) {
	if held.At == (position{}) {
		_, name := s.names(index, held.Number)
		if file, bad = os.Stat(name); bad != nil {
			return nil, s.gone(index, held, bad)
		}
		s.handles.evict(name)
		if _, err := readShareFile(s.files, index, held.Number, name); err != nil {
			return file, s.gone(index, held, err)
		}
	}
	r, err := s.reader(f, held, index)
	if err != nil {
		return file, s.gone(index, held, err)
	}
	defer r.Close()
	return file, verify(r, f.Root)
}

// sameFile reports whether both are the same file, or none.
func sameFile(a, b fs.FileInfo) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return os.SameFile(a, b) && a.ModTime().Equal(b.ModTime())
}

// gone returns ErrCorrupt for a share whose data is not where it should be, unless it was removed meanwhile or written elsewhere.
// Other errors are returned as they are, as is that the directory is not there any more: then the disk is, and not the share.
func (s *Store) gone(index share.StorageIndex, held shareRecord, err error) error {
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if _, err := os.Stat(filepath.Join(s.dir, "format")); err != nil {
		return fmt.Errorf("%w: the storage is not where it was: %w", share.ErrUnavailable, err)
	}
	f, err := s.index.file(index)
	if err != nil {
		return err
	}
	if now, ok := f.share(held.Number); !ok || now != held {
		return nil
	}
	return fmt.Errorf("%w: its data is gone", share.ErrCorrupt)
}

// condemn removes a bad share from the index, then moves what there is of it aside. It reports whether it did: the share may have been
// replaced or removed since.
func (s *Store) condemn(ctx context.Context, index share.StorageIndex, held shareRecord, file fs.FileInfo, cause error) (bool, error) {
	defer s.lockPlace(index)()
	if held.At == (position{}) {
		_, name := s.names(index, held.Number)
		now, err := os.Stat(name)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return false, err
		}
		if !sameFile(now, file) {
			return false, nil
		}
	}
	removed := false
	err := s.committer.do(ctx, func(b *batch) error {
		f, err := b.file(index)
		if err != nil {
			return err
		}
		if now, ok := f.share(held.Number); !ok || now != held {
			return nil
		}
		removed, err = b.discard(index, held)
		return err
	})
	if err != nil || !removed {
		return false, err
	}
	path, err := s.moveAside(index, held)
	if err != nil {
		return true, err
	}
	s.tell(Quarantined{Index: index, Number: held.Number, Path: path, Err: cause})
	return true, nil
}

func (s *Store) tell(q Quarantined) {
	s.log.Error("a share does not verify and was moved aside", "index", q.Index, "number", q.Number, "path", q.Path, "error", q.Err)
	s.report(q)
}

// moveAside moves what there is of a share into the quarantine and returns where it is.
func (s *Store) moveAside(index share.StorageIndex, held shareRecord) (string, error) {
	name := fmt.Sprintf("%s.%s.%s", index, held.Number, time.Now().UTC().Format("20060102T150405.000000"))
	aside := filepath.Join(s.quarantine, name)
	if held.At != (position{}) {
		r, err := s.journal.read(held.At, held.Size)
		if err != nil {
			return "", nil // nothing left to keep
		}
		return aside, writeFile(s.files, aside, append(r.Data, r.Root...))
	}
	dir, file := s.names(index, held.Number)
	s.handles.evict(file)
	err := s.files.Rename(file, aside)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err == nil {
		err = errors.Join(s.files.SyncDir(dir), s.files.SyncDir(s.quarantine))
	}
	return aside, fail(err)
}

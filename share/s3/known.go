package s3

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	bolt "go.etcd.io/bbolt"

	"cairn/internal/boltfile"
	"cairn/share"
)

// A Known is what the index of this machine tells of the bucket that it is of, without asking its server.
type Known struct {
	// URL, Endpoint and Use are the bucket as Config had them when it was opened last; empty where no store was opened.
	URL, Endpoint, Use string
	// Files, Shares and Heads count what is held, Bytes what these have.
	Files, Shares, Heads int
	Bytes                int64
	// Partial says that the index was never computed to its end: the bucket may hold more.
	Partial bool

	id string // of the prefix
}

// Empty reports whether nothing is held, as far as the index tells.
func (k Known) Empty() bool { return k.Shares == 0 && k.Heads == 0 && (!k.Partial || k.URL == "") }

// Is reports whether settings name the bucket at the same endpoint.
func (k Known) Is(c Config) bool { return k.URL == c.URL() && k.Endpoint == c.Endpoint }

// Place returns the bucket with its endpoint, for people.
func (k Known) Place() string {
	if k.URL == "" {
		return "a bucket"
	}
	return placeText(k.URL, k.Endpoint)
}

// Place returns the bucket with its endpoint, for people.
func (c Config) Place() string { return placeText(c.URL(), c.Endpoint) }

func placeText(url, endpoint string) string { return url + " at " + cmp.Or(endpoint, "Amazon") }

// Sum says how much is held, for people.
func (k Known) Sum() string {
	var parts []string
	if k.Shares > 0 {
		parts = append(parts, fmt.Sprintf("%d shares of %d files", k.Shares, k.Files))
	}
	if k.Heads > 0 {
		parts = append(parts, fmt.Sprintf("heads of %d names", k.Heads))
	}
	if k.Bytes > 0 {
		parts = append(parts, humanize.Bytes(uint64(max(0, k.Bytes))))
	}
	switch {
	case k.Partial && len(parts) > 0:
		parts = append(parts, "maybe more, because its index was not computed to its end")
	case k.Partial:
		parts = append(parts, "its index was not computed to its end")
	}
	return strings.Join(parts, ", ")
}

// An OtherError says that settings name another bucket than the one whose index is on this machine, or none, and that shares are in that one. It
// wraps share.ErrDenied.
type OtherError struct {
	Held Known
	// Now is the bucket that the settings name, with its endpoint; empty for none.
	Now string
	// Why says how that shows; it may be empty.
	Why string
}

func (e *OtherError) Error() string { return fmt.Sprintf("%v: %s", share.ErrDenied, e.words()) }

// Unwrap returns share.ErrDenied.
func (e *OtherError) Unwrap() error { return share.ErrDenied }

func (e *OtherError) words() string {
	has := "has"
	if e.Held.Shares == 0 && e.Held.Heads == 0 && e.Held.Bytes == 0 { // a node that runs tells of bytes only
		has = "may have"
	}
	held := fmt.Sprintf("this node %s shares in %s (%s)", has, e.Held.Place(), e.Held.Sum())
	switch e.Now {
	case "":
		return held + ", and its settings name no bucket: nobody could read them any more"
	case e.Held.Place():
		return fmt.Sprintf("%s, but what is there now is not what it was: %s", held, e.Why)
	}
	text := fmt.Sprintf("%s, and its settings name %s: nobody could read them any more", held, e.Now)
	if e.Why != "" {
		text += " (" + e.Why + ")"
	}
	return text
}

// Peek returns what the index in a folder tells. It returns share.ErrNotFound where there is none, share.ErrBusy while a store has it open, and
// share.ErrCorrupt for one that is damaged.
func Peek(folder string) (known Known, err error) {
	err = peek(folder, func(tx *bolt.Tx) error {
		known = knownOf(tx)
		return known.count(tx)
	})
	return known, err
}

// PeekPlace returns which bucket the index in a folder is of, with the errors of Peek, and counts nothing.
func PeekPlace(folder string) (known Known, err error) {
	err = peek(folder, func(tx *bolt.Tx) error {
		known = knownOf(tx)
		return nil
	})
	return known, err
}

func peek(folder string, look func(*bolt.Tx) error) error {
	path := filepath.Join(folder, indexName)
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("index %s: %w", path, share.ErrNotFound)
	} else if err != nil {
		return fmt.Errorf("index: %w", err)
	}
	file, err := boltfile.Open(path, time.Second, filesBucket, namesBucket, metaBucket)
	if err == nil {
		err = errors.Join(file.View(look), file.Close())
	}
	switch {
	case errors.Is(err, boltfile.ErrInUse):
		err = fmt.Errorf("%w: %w", share.ErrBusy, err)
	case errors.Is(err, boltfile.ErrDamaged):
		err = fmt.Errorf("%w: %w", share.ErrCorrupt, err)
	}
	if err != nil {
		return fmt.Errorf("index %s: %w", path, err)
	}
	return nil
}

func knownOf(tx *bolt.Tx) Known {
	meta := tx.Bucket(metaBucket)
	return Known{
		URL: string(meta.Get(urlKey)), Endpoint: string(meta.Get(endpointKey)), Use: string(meta.Get(useKey)),
		Partial: meta.Get(completeKey) == nil, id: string(meta.Get(prefixKey)),
	}
}

// count adds what is held.
func (k *Known) count(tx *bolt.Tx) error {
	err := tx.Bucket(filesBucket).ForEach(func(_, data []byte) error {
		var f fileRecord
		if err := unseal(data, &f); err != nil {
			return err
		}
		k.Files, k.Shares, k.Bytes = k.Files+1, k.Shares+len(f.Shares), k.Bytes+f.bytes()
		return nil
	})
	if err != nil {
		return err
	}
	return tx.Bucket(namesBucket).ForEach(func(_, data []byte) error {
		var n nameRecord
		if err := unseal(data, &n); err != nil {
			return err
		}
		k.Heads, k.Bytes = k.Heads+1, k.Bytes+n.size()
		return nil
	})
}

// A Content is the shares that are held of one file, or that heads of a name are.
type Content struct {
	Index   share.StorageIndex // zero for a name
	Numbers []share.Number
	Owners  []string // who has leases
	Name    share.Name
}

// Contents tells of each file and name of which something is held, as the index in a folder has it. Its errors are those of Peek.
func Contents(folder string, tell func(Content)) error {
	return peek(folder, func(tx *bolt.Tx) error {
		err := tx.Bucket(filesBucket).ForEach(func(key, data []byte) error {
			var f fileRecord
			if err := unseal(data, &f); err != nil {
				return err
			}
			c := Content{Numbers: f.numbers()}
			copy(c.Index[:], key)
			for _, l := range f.Leases {
				c.Owners = append(c.Owners, l.Owner)
			}
			tell(c)
			return nil
		})
		if err != nil {
			return err
		}
		return tx.Bucket(namesBucket).ForEach(func(key, _ []byte) error {
			var c Content
			copy(c.Name[:], key)
			tell(c)
			return nil
		})
	})
}

// SetAside moves the index in a folder aside, so that the next store that is opened begins another one. It does nothing where there is none.
func SetAside(folder string) error {
	err := setAside(filepath.Join(folder, indexName))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// Same asks the server whether settings name the bucket of an index, whatever that is called now.
func Same(ctx context.Context, c Config, of Known) (bool, error) {
	s, err := unopened(ctx, c)
	if err != nil {
		return false, err
	}
	defer s.stop()
	data, _, err := s.bucket.getAll(ctx, markerName, markerLimit)
	if errors.Is(err, errNoKey) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	id, err := s.readMarker(data)
	return err == nil && id == of.id, err
}

// keeps returns an *OtherError when the index in the folder of the store is of another prefix than that of the id, which is empty where the prefix
// has none yet, and shares are held there.
func (s *Store) keeps(id string) error {
	known, err := PeekPlace(s.config.Index)
	if err == nil && known.id != id {
		known, err = Peek(s.config.Index)
	}
	switch {
	case errors.Is(err, share.ErrNotFound), errors.Is(err, share.ErrCorrupt):
		return nil
	case err != nil, known.id == id, known.id == "", known.Empty():
		return err
	}
	refusal := &OtherError{Held: known, Now: s.config.Place()}
	if known.Is(s.config) {
		refusal.Why = "another store is there"
		if id == "" {
			refusal.Why = "no store is there"
		}
	}
	return refusal
}

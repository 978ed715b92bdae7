package s3

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"

	"cairn/share"
)

// maxBelow bounds how many folders below a prefix are looked into.
const maxBelow = 32

// A NestedError says that another store is above or below a prefix in the same bucket. It wraps share.ErrDenied.
type NestedError struct {
	URL       string        // of the other store
	Below     bool          // it is below the prefix, else above
	Owner     string        // the node that has it, empty where that cannot be told
	Name      string        // what people call that node, empty where that cannot be told
	Refreshed time.Time     // when that node last said so
	Ago       time.Duration // how long ago that was by the server's clock
}

func (e *NestedError) Error() string { return fmt.Sprintf("%v: %s", share.ErrDenied, e.words()) }

func (e *NestedError) words() string {
	where := "lies below"
	if e.Below {
		where = "lies above"
	}
	who := "of another node"
	if e.Owner != "" {
		who = "of the node " + nodeText(e.Owner, e.Name) + ", last heard of " + heardText(e.Refreshed, e.Ago)
	}
	return fmt.Sprintf("the prefix %s %.200q, which holds the shares %s: each would take the other's objects for its own", where, e.URL, who)
}

// Unwrap returns share.ErrDenied.
func (e *NestedError) Unwrap() error { return share.ErrDenied }

// Nested returns a *NestedError when another store is above or below a prefix. Open and Claim find that out by themselves for a prefix that is new.
func Nested(ctx context.Context, c Config) error {
	s, err := unopened(ctx, c)
	if err != nil {
		return err
	}
	defer s.stop()
	if err := s.noneAbove(ctx); err != nil {
		return err
	}
	return s.noneBelow(ctx)
}

// noneAbove returns a *NestedError when the prefix lies below that of another store. What the keys do not let be seen is taken for nothing.
func (s *Store) noneAbove(ctx context.Context) error {
	if s.config.Prefix == "" {
		return nil
	}
	parts := strings.Split(s.config.Prefix, "/")
	for i := range parts {
		found, err := s.storeAt(ctx, strings.Join(parts[:i], "/"))
		if errors.Is(err, share.ErrDenied) {
			continue
		}
		if err == nil && found != nil {
			err = fmt.Errorf("bucket %s: %w", s.config.URL(), found)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// noneBelow returns a *NestedError when the prefix of another store lies below. It looks at the first object of each of some folders.
func (s *Store) noneBelow(ctx context.Context) error {
	folders, err := s.bucket.folders(ctx)
	if err != nil {
		return err
	}
	for _, folder := range folders[:min(len(folders), maxBelow)] {
		below := strings.TrimSuffix(folder, "/")
		if folder != packPrefix && folder != largePrefix && folder != headPrefix {
			if below, err = s.markedBelow(ctx, folder); err != nil {
				return err
			}
		}
		if err := s.notBelow(ctx, below); err != nil {
			return err
		}
	}
	return nil
}

// markedBelow returns the folder of the first object of a folder where that is called as a marker is, else nothing.
func (s *Store) markedBelow(ctx context.Context, folder string) (below string, err error) {
	err = s.bucket.do(ctx, "look into "+folder, 0, func(ctx context.Context) error {
		page, err := s.bucket.page(ctx, folder, "", 1)
		if len(page) > 0 && path.Base(page[0].key) == markerName {
			below = path.Dir(page[0].key)
		}
		return err
	})
	return below, err
}

// notBelow returns a *NestedError when the prefix of another store is in a folder of this one.
func (s *Store) notBelow(ctx context.Context, folder string) error {
	if folder == "" || folder == "." {
		return nil
	}
	found, err := s.storeAt(ctx, strings.TrimPrefix(s.config.Prefix+"/"+folder, "/"))
	if err != nil || found == nil {
		return err
	}
	found.Below = true
	return fmt.Errorf("bucket %s: %w", s.config.URL(), found)
}

// storeAt returns what is known of the store whose prefix is exactly this one, nil where there is none.
func (s *Store) storeAt(ctx context.Context, prefix string) (*NestedError, error) {
	at := s.bucket.at(prefix)
	var marked bool
	err := at.do(ctx, "look for another store", 0, func(ctx context.Context) error {
		page, err := at.page(ctx, markerName, "", 1)
		marked = len(page) > 0 && page[0].key == markerName
		return err
	})
	if err != nil || !marked {
		return nil, err
	}
	there := s.config
	there.Prefix = prefix
	found := &NestedError{URL: there.URL()}
	data, _, err := at.getAll(ctx, markerName, markerLimit)
	var m markerText
	switch {
	case errors.Is(err, errNoKey), err == nil && (json.Unmarshal(data, &m) != nil || m.Format != formatName):
		return nil, nil
	case errors.Is(err, share.ErrDenied): // who may not read it is told by its name
		return found, nil
	case err != nil:
		return nil, err
	}
	if held, _, err := at.getLock(ctx); err == nil {
		found.Owner, found.Name, found.Refreshed, found.Ago = held.Owner, held.Name, held.Refreshed, held.ago
	}
	return found, ctx.Err()
}

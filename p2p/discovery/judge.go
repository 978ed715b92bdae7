package discovery

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/ipfs/go-datastore"
	dssync "github.com/ipfs/go-datastore/sync"

	"cairn/share"
)

// A judge puts the validators of all namespaces where the DHT wants one.
type judge map[string]Validator

func (j judge) of(key string) (Validator, string) {
	namespace, name, _ := strings.Cut(strings.TrimPrefix(key, "/"), "/")
	return j[namespace], name
}

func (j judge) newer(key string, a, b []byte) bool {
	validator, name := j.of(key)
	return validator.Newer(name, a, b)
}

// Validate implements record.Validator.
func (j judge) Validate(key string, value []byte) error {
	validator, name := j.of(key)
	switch {
	case validator == nil || !strings.HasPrefix(key, "/"):
		return fmt.Errorf("no such namespace: %w", share.ErrNotFound)
	case len(name) == 0 || len(name) > maxValueName:
		return fmt.Errorf("%w: a name of %d bytes", share.ErrCorrupt, len(name))
	case len(value) > MaxValue:
		return fmt.Errorf("%w: %d bytes of at most %d", share.ErrTooLarge, len(value), MaxValue)
	}
	if err := validator.Validate(name, value); err != nil {
		return fmt.Errorf("%w: %w", share.ErrCorrupt, err)
	}
	return nil
}

// Select implements record.Validator: it returns the position of the newest value.
func (j judge) Select(key string, values [][]byte) (int, error) {
	if len(values) == 0 {
		return 0, errors.New("no values to select from")
	}
	best := 0
	for i, value := range values {
		if i > 0 && j.newer(key, value, values[best]) {
			best = i
		}
	}
	return best, nil
}

// A valueStore keeps values for the grid in memory: a restarted node gets them again when they are published next, and the
// other holders have them meanwhile. Any member can send values, so there are at most limit of them.
type valueStore struct {
	datastore.Batching
	limit int

	mu   sync.Mutex // guards what follows, and is held while the store is changed
	held map[datastore.Key]struct{}
}

func newValueStore(limit int) *valueStore {
	return &valueStore{
		Batching: dssync.MutexWrap(datastore.NewMapDatastore()), limit: limit, held: map[datastore.Key]struct{}{},
	}
}

// Put implements datastore.Write.
func (s *valueStore) Put(ctx context.Context, key datastore.Key, value []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, held := s.held[key]; !held && len(s.held) >= s.limit {
		return fmt.Errorf("%w: %d values are kept for the grid already", share.ErrTooLarge, s.limit)
	}
	s.held[key] = struct{}{}
	return s.Batching.Put(ctx, key, value)
}

// Delete implements datastore.Write.
func (s *valueStore) Delete(ctx context.Context, key datastore.Key) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.held, key)
	return s.Batching.Delete(ctx, key)
}

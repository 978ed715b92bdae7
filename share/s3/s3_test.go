package s3_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"cairn/internal/s3test"
	"cairn/share"
	"cairn/share/s3"
	"cairn/share/storetest"
)

// A kit opens stores on prefixes of one server.
type kit struct {
	server  *s3test.Server
	number  atomic.Int64
	change  func(s3.Config) s3.Config
	configs map[share.Store]s3.Config
}

func newKit(t *testing.T, change func(s3.Config) s3.Config) *kit {
	return &kit{server: s3test.Start(t), change: change, configs: map[share.Store]s3.Config{}}
}

// config returns the settings for a prefix that nobody uses.
func (k *kit) config(t *testing.T) s3.Config {
	c := s3.Config{
		Endpoint: k.server.Endpoint, Bucket: s3test.Bucket, Prefix: fmt.Sprintf("some/prefix-%d", k.number.Add(1)), PathStyle: true,
		AccessKey: s3test.Access, SecretKey: s3test.Secret, Index: t.TempDir(),
	}
	if k.change != nil {
		c = k.change(c)
	}
	return c
}

func open(t *testing.T, c s3.Config) *s3.Store {
	t.Helper()
	store, err := s3.Open(t.Context(), c)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(func() { store.Close() })
	return store
}

func (k *kit) suite() storetest.Suite {
	return storetest.Suite{
		Open: func(t *testing.T) share.Store {
			c := k.config(t)
			store := open(t, c)
			k.configs[store] = c
			return store
		},
		Reopen: func(t *testing.T, store share.Store) share.Store {
			c := k.configs[store]
			if err := store.(*s3.Store).Close(); err != nil {
				t.Fatalf("close: %v", err)
			}
			again := open(t, c)
			k.configs[again] = c
			return again
		},
		Collect: func(t *testing.T, store share.Store, ahead time.Duration) {
			report, err := store.(*s3.Store).Collect(t.Context(), time.Now().Add(ahead))
			if err != nil {
				t.Fatalf("collect: %v", err)
			}
			t.Logf("%+v", report)
		},
	}
}

func TestStore(t *testing.T) { newKit(t, nil).suite().Run(t) }

// TestStoreOfObjects keeps each share as an object of its own.
func TestStoreOfObjects(t *testing.T) {
	newKit(t, func(c s3.Config) s3.Config { return c.WithPack(1) }).suite().Run(t)
}

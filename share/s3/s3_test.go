package s3_test

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
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
	server  *s3test.Server // nil where it is not one of our own
	base    s3.Config
	number  atomic.Int64
	change  func(s3.Config) s3.Config
	configs map[share.Store]s3.Config
}

func newKit(t *testing.T, change func(s3.Config) s3.Config) *kit {
	server := s3test.Start(t)
	return &kit{server: server, change: change, configs: map[share.Store]s3.Config{}, base: s3.Config{
		Endpoint: server.Endpoint, Bucket: s3test.Bucket, Prefix: "some", PathStyle: true, AccessKey: s3test.Access, SecretKey: s3test.Secret,
	}}
}

// config returns the settings for a prefix that nobody uses.
func (k *kit) config(t *testing.T) s3.Config {
	c := k.base
	c.Prefix, c.Index = fmt.Sprintf("%s/prefix-%d", c.Prefix, k.number.Add(1)), t.TempDir()
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
		Damage: func(t *testing.T, store share.Store, f *storetest.File, n share.Number, damage storetest.Damage) bool {
			return k.hurt(t, k.configs[store], f, n, damage)
		},
	}
}

// hurt damages the newest object that has a share.
func (k *kit) hurt(t *testing.T, c s3.Config, f *storetest.File, n share.Number, damage storetest.Damage) bool {
	t.Helper()
	keys := slices.Sorted(maps.Keys(k.server.Objects()))
	for _, key := range slices.Backward(keys) {
		if !strings.HasPrefix(key, c.Prefix+"/p/") && !strings.HasPrefix(key, c.Prefix+"/s/") {
			continue
		}
		data, err := os.ReadFile(k.server.File(key))
		if err != nil {
			t.Fatal(err)
		}
		changed, found := f.Spoil(data, n, damage)
		switch {
		case !found:
			continue
		case damage == storetest.Gone:
			k.server.Remove(key)
		default:
			overwrite(t, k.server.File(key), changed)
		}
		return true
	}
	return false
}

// overwrite changes a file in place: the server keeps what belongs to it beside.
func overwrite(t *testing.T, name string, data []byte) {
	t.Helper()
	file, err := os.OpenFile(name, os.O_WRONLY|os.O_TRUNC, 0)
	if err == nil {
		_, err = file.Write(data)
		err = errors.Join(err, file.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestStore(t *testing.T) { newKit(t, nil).suite().Run(t) }

// TestStoreOfObjects keeps each share as an object of its own.
func TestStoreOfObjects(t *testing.T) {
	newKit(t, func(c s3.Config) s3.Config { return c.WithPack(1) }).suite().Run(t)
}

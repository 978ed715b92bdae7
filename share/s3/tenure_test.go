package s3_test

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"cairn/share"
	"cairn/share/s3"
	"cairn/share/storetest"
)

// TestIndexOfBefore opens a prefix with an index that was good before somebody else had the prefix, who has written packs anew and deleted the
// old ones: with the node's own after a takeover, and with one from a backup.
func TestIndexOfBefore(t *testing.T) {
	for name, back := range map[string]func(*s3.Config){
		"taken over":    func(c *s3.Config) { c.TakeOver = true },
		"from a backup": func(c *s3.Config) { c.Owner = "second" },
	} {
		t.Run(name, func(t *testing.T) {
			k := newKit(t, nil)
			c := k.config(t)
			c.Owner = "first"
			store := open(t, c)
			kept := storePack(t, store)
			store.Close()

			other := c
			other.Owner, other.Index, other.TakeOver = "second", t.TempDir(), true
			second := open(t, other)
			lease := share.Lease{Owner: "alice", Expires: time.Now().Add(300 * day)}
			if err := second.Renew(t.Context(), []share.StorageIndex{kept.Index}, lease); err != nil {
				t.Fatal(err)
			}
			report, err := second.Collect(t.Context(), time.Now().Add(150*day))
			if err != nil || report.Objects != 1 {
				t.Fatalf("collected %+v, %v", report, err)
			}
			second.Close()

			back(&c)
			again := open(t, c)
			if err := kept.Check(t.Context(), again, 0); err != nil {
				t.Errorf("after the pack was written anew: %v", err)
			}
			if got, want := again.Stats().Stored, stored(k); got != want {
				t.Errorf("the index tells of %d bytes of objects, the bucket has %d", got, want)
			}
		})
	}
}

// storePack stores small shares of which only one has a long lease.
func storePack(t *testing.T, store *s3.Store) *storetest.File {
	t.Helper()
	base := storetest.NewFile(t, 1, 1, 2, 4<<10, 20<<10)
	var shares []share.WholeShare
	var kept *storetest.File
	for i := range 20 {
		f, _ := base.Renamed(uint64(i))
		shares, kept = append(shares, f.Whole(0)), f
	}
	lease := share.Lease{Owner: "alice", Expires: time.Now().Add(time.Hour)}
	if _, err := store.Put(t.Context(), shares, lease); err != nil {
		t.Fatal(err)
	}
	lease.Expires = time.Now().Add(300 * day)
	if err := store.Renew(t.Context(), []share.StorageIndex{kept.Index}, lease); err != nil {
		t.Fatal(err)
	}
	return kept
}

// stored returns how many bytes of shares the bucket has.
func stored(k *kit) (total int64) {
	for key, size := range k.server.Objects() {
		if dir := filepath.Base(filepath.Dir(key)); dir == "p" || dir == "s" {
			total += size
		}
	}
	return total
}

// TestProbeLeftBehind opens a prefix in which somebody was killed in the middle of a probe, or is just beginning a store.
func TestProbeLeftBehind(t *testing.T) {
	k := newKit(t, nil)
	c := k.config(t)
	if _, err := k.server.Client().PutObject(t.Context(), c.Bucket, c.Prefix+"/cairn-probe-0123", strings.NewReader("x"), 1, minio.PutObjectOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := s3.Look(t.Context(), c); err != nil {
		t.Errorf("look: %v", err)
	}
	c.Owner = "first"
	if err := s3.Claim(t.Context(), c); err != nil {
		t.Fatalf("claim: %v", err)
	}
	other := c
	other.Owner, other.Index = "second", t.TempDir()
	for name, try := range map[string]func(context.Context, s3.Config) error{"look": s3.Look, "claim": s3.Claim} {
		if err := try(t.Context(), other); !errors.Is(err, share.ErrBusy) {
			t.Errorf("%s by another node: %v", name, err)
		}
	}
	open(t, c)
}

// TestIndexStays opens a prefix again and again with the same index, also when the server was away meanwhile: it is not computed anew.
func TestIndexStays(t *testing.T) {
	k := newKit(t, func(c s3.Config) s3.Config { return c.WithAttempts(3) })
	c := k.config(t)
	store := open(t, c)
	storePack(t, store)
	store.Close()
	for range 2 {
		k.server.Kill()
		if _, err := s3.Open(t.Context(), c); err == nil {
			t.Fatal("opened although the server is away")
		}
		k.server.Restart()
		store = open(t, c)
		store.Close()
	}
	if found, _ := filepath.Glob(filepath.Join(c.Index, "*aside*")); len(found) > 0 {
		t.Errorf("the index was computed anew: %v", found)
	}
}

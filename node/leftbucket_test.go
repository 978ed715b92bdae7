package node_test

import (
	"errors"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	bolt "go.etcd.io/bbolt"

	"cairn/internal/boltfile"
	"cairn/internal/s3test"
	"cairn/node"
	"cairn/share"
	"cairn/share/s3"
	"cairn/share/storetest"
)

// TestAbandonUnknownBucket: settings that name a bucket of which nobody could find out what is in it, as where the node ended or lost its way there before it knew, are no dead end.
func TestAbandonUnknownBucket(t *testing.T) {
	server := s3test.Start(t)
	m := newMoody(t, server.Endpoint)
	noLists := func(w http.ResponseWriter, r *http.Request) bool {
		q := r.URL.Query()
		return q.Has("list-type") && strings.HasPrefix(q.Get("prefix"), "wrong/p/") && refuse(w, http.StatusForbidden, "AccessDenied")
	}
	m.mood.Store(&noLists)
	dir := t.TempDir()
	index := filepath.Join(dir, "bucket-index")
	_, err := s3.Open(t.Context(), s3.Config{
		Endpoint: m.URL, Bucket: s3test.Bucket, Prefix: "wrong", PathStyle: true, AccessKey: s3test.Access, SecretKey: s3test.Secret,
		Index: index, Owner: "node", Use: "storage",
	})
	if err == nil {
		t.Fatal("opened")
	}
	c := testConfig() // on the disk
	err = node.LeavesBucket(dir, c)
	if _, other := errors.AsType[*s3.OtherError](err); !other || !strings.Contains(err.Error(), "may have shares in") {
		t.Fatalf("the settings leave the bucket: %v", err)
	}
	none := func(x s3.Content) { t.Errorf("found %v", x) }
	if err := node.AbandonBucket(dir, none); err != nil {
		t.Errorf("abandon: %v", err)
	}
	if err := node.LeavesBucket(dir, c); err != nil {
		t.Errorf("after it was given up: %v", err)
	}
	if err := node.AbandonBucket(t.TempDir(), none); !errors.Is(err, share.ErrNotFound) {
		t.Errorf("without a bucket: %v", err)
	}
}

// TestBucketOfEarlierVersion: an index that an earlier version left behind, which does not say of which bucket it is, keeps no node from starting.
func TestBucketOfEarlierVersion(t *testing.T) {
	server := s3test.Start(t)
	dir := t.TempDir()
	index := filepath.Join(dir, "bucket-index")
	c := s3.Config{
		Endpoint: server.Endpoint, Bucket: s3test.Bucket, Prefix: "old", PathStyle: true, AccessKey: s3test.Access, SecretKey: s3test.Secret,
		Index: index, Owner: "node", Use: "spill",
	}
	storeInBucket(t, c)
	if err := node.LeavesBucket(dir, testConfig()); !errors.Is(err, share.ErrDenied) {
		t.Fatalf("settings without the bucket: %v", err)
	}
	file, err := boltfile.Open(filepath.Join(index, "index.db"), 0, []byte("meta"))
	if err != nil {
		t.Fatal(err)
	}
	err = file.Update(func(tx *bolt.Tx) error {
		meta := tx.Bucket([]byte("meta"))
		return errors.Join(meta.Delete([]byte("url")), meta.Delete([]byte("endpoint")), meta.Delete([]byte("use")))
	})
	if err := errors.Join(err, file.Close()); err != nil {
		t.Fatal(err)
	}
	if err := node.LeavesBucket(dir, testConfig()); err != nil {
		t.Errorf("the index of an earlier version: %v", err)
	}
}

func storeInBucket(t *testing.T, c s3.Config) {
	t.Helper()
	store, err := s3.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	if err := storetest.NewFile(t, 1, 1, 3, 64<<10, 100<<10).Put(t.Context(), store, 1, "somebody"); err != nil {
		t.Fatal(err)
	}
}

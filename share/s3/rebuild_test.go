package s3_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cairn/share"
	"cairn/share/s3"
	"cairn/share/storetest"
)

// A content is something of each kind that a store can hold.
type content struct {
	files   []*storetest.File
	mutable *storetest.Mutable
	first   []byte // the first record of the mutable file
}

const day = 24 * time.Hour

// fill stores small shares, one that is an object of its own, one in parts, and two versions of a name.
func fill(t *testing.T, store *s3.Store) content {
	t.Helper()
	c := content{mutable: storetest.NewMutable(1)}
	for i, size := range []int{10, 5000, 300 << 10, 11 << 20} {
		f := storetest.NewFile(t, uint64(i), 1, 3, 64<<10, size)
		c.files = append(c.files, f)
		for n := range share.Number(2) {
			if err := f.Put(t.Context(), store, n, "alice"); err != nil {
				t.Fatalf("put share %d of %d bytes: %v", n, size, err)
			}
		}
	}
	for i := range 2 {
		f := storetest.NewFile(t, uint64(100+i), 1, 2, 4<<10, 700)
		u := c.mutable.Next(f.Index, "alice")
		u.Shares, u.Retention = []share.WholeShare{f.Whole(0)}, share.Retention{Versions: 5}
		if err := store.SetHead(t.Context(), u); err != nil {
			t.Fatal(err)
		}
		c.mutable.Advance(u)
		if i == 0 {
			c.first = u.Record
		}
	}
	return c
}

func (c content) want(t *testing.T, store *s3.Store) {
	t.Helper()
	for _, f := range c.files {
		for n := range share.Number(2) {
			if err := f.Check(t.Context(), store, n); err != nil {
				t.Errorf("file of %d bytes, share %d: %v", f.Size, n, err)
			}
		}
	}
	records, err := store.History(t.Context(), c.mutable.Name, 0)
	if err != nil || len(records) != 2 || !bytes.Equal(records[0], c.mutable.Record) || !bytes.Equal(records[1], c.first) {
		t.Errorf("history: %d records, %v", len(records), err)
	}
}

// TestIndexLost computes the index from nothing but the bucket.
func TestIndexLost(t *testing.T) {
	indexLost(t, newKit(t, func(c s3.Config) s3.Config { return c.WithPart(5 << 20) }))
}

func indexLost(t *testing.T, k *kit) {
	t.Helper()
	c := k.config(t)
	c.Owner = "node 1"
	store := open(t, c)
	held := fill(t, store)
	usage, err := store.Usage(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	store.Close()
	c.Index = t.TempDir()
	store = open(t, c)
	held.want(t, store)
	again, err := store.Usage(t.Context())
	if err != nil || again["alice"] != usage["alice"] {
		t.Errorf("usage %v, %v; it was %v", again, err, usage)
	}
	leases, err := store.Leases(t.Context(), held.files[0].Index)
	if err != nil || len(leases) != 1 || leases[0].Expires.Before(time.Now().Add(89*day)) {
		t.Errorf("leases after a loss: %v, %v; want one of 90 days", leases, err)
	}
	u := held.mutable.Next(share.StorageIndex{1}, "alice")
	if err := store.SetHead(t.Context(), u); err != nil {
		t.Errorf("the next version: %v", err)
	}
}

// TestIndexDamaged opens an index whose bytes are wrong.
func TestIndexDamaged(t *testing.T) {
	k := newKit(t, func(c s3.Config) s3.Config { return c.WithPart(5 << 20) })
	c := k.config(t)
	store := open(t, c)
	held := fill(t, store)
	store.Close()
	path := filepath.Join(c.Index, "index.db")
	if err := os.WriteFile(path, bytes.Repeat([]byte("x"), 1<<16), 0o600); err != nil {
		t.Fatal(err)
	}
	store = open(t, c)
	held.want(t, store)
}

// TestNewerObjectIsHeld computes the index anew while the bucket has two objects of each share, the older of them damaged.
func TestNewerObjectIsHeld(t *testing.T) {
	x := newScrubbed(t, newKit(t, nil))
	damaged := append(x.objects("p/"), x.objects("s/")...)
	for _, key := range damaged {
		x.edit(t, key, flip(100))
	}
	if _, err := x.store.Scrub(t.Context(), everything); err != nil {
		t.Fatal(err)
	}
	for _, f := range x.all() {
		if err := f.Put(t.Context(), x.store, 0, "alice"); err != nil {
			t.Fatal(err)
		}
	}
	x.store.Close()
	for range 5 { // the objects are read side by side
		x.config.Index, x.config.TakeOver = t.TempDir(), true
		x.store = open(t, x.config)
		for _, f := range x.all() {
			if err := f.Check(t.Context(), x.store, 0); err != nil {
				t.Error(err)
			}
		}
		x.store.Close()
	}
}

// TestLateObjects puts objects into the bucket that the index was not told of, as a process does that ends in between.
func TestLateObjects(t *testing.T) {
	k := newKit(t, func(c s3.Config) s3.Config { return c.WithPart(5 << 20) })
	c := k.config(t)
	store := open(t, c)
	early := storetest.NewFile(t, 50, 1, 2, 4<<10, 100)
	if err := early.Put(t.Context(), store, 0, "alice"); err != nil {
		t.Fatal(err)
	}
	store.Close()
	before, err := os.ReadFile(filepath.Join(c.Index, "index.db"))
	if err != nil {
		t.Fatal(err)
	}
	store = open(t, c)
	f := storetest.NewFile(t, 51, 1, 2, 64<<10, 300<<10)
	if err := f.Put(t.Context(), store, 1, "alice"); err != nil {
		t.Fatal(err)
	}
	store.Close()
	if err := os.WriteFile(filepath.Join(c.Index, "index.db"), before, 0o600); err != nil {
		t.Fatal(err)
	}
	store = open(t, c)
	for file, n := range map[*storetest.File]share.Number{early: 0, f: 1} {
		if err := file.Check(t.Context(), store, n); err != nil {
			t.Error(err)
		}
	}
}

// TestPacksAreRewritten lets most of a pack go and looks at what the bucket holds then.
func TestPacksAreRewritten(t *testing.T) {
	k := newKit(t, nil)
	c := k.config(t)
	store := open(t, c)
	base := storetest.NewFile(t, 1, 1, 2, 64<<10, 100<<10)
	var kept *storetest.File
	var shares []share.WholeShare
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
	report, err := store.Collect(t.Context(), time.Now().Add(30*day))
	if err != nil || report.Files != 19 || report.Objects != 1 {
		t.Fatalf("collected %+v, %v", report, err)
	}
	var total int64
	for key, size := range k.server.Objects() {
		if strings.Contains(key, "/p/") {
			total += size
		}
	}
	if total > 2*int64(len(kept.Whole(0).Data)) {
		t.Errorf("the bucket still has %d bytes of packs", total)
	}
	if err := kept.Check(t.Context(), store, 0); err != nil {
		t.Error(err)
	}
	store.Close()
	c.Index = t.TempDir()
	c.TakeOver = true
	if err := kept.Check(t.Context(), open(t, c), 0); err != nil {
		t.Errorf("after a loss of the index: %v", err)
	}
}

// TestKeys looks at the keys: none is a folder of another, all are below the prefix.
func TestKeys(t *testing.T) {
	k := newKit(t, func(c s3.Config) s3.Config { return c.WithPart(5 << 20) })
	c := k.config(t)
	fill(t, open(t, c))
	objects := k.server.Objects()
	for key := range objects {
		if !strings.HasPrefix(key, c.Prefix+"/") {
			t.Errorf("key %q is outside the prefix", key)
		}
		for other := range objects {
			if strings.HasPrefix(other, key+"/") {
				t.Errorf("key %q is a folder of %q", key, other)
			}
		}
	}
	if len(objects) < 8 {
		t.Errorf("objects: %v", objects)
	}
}

// TestServerKilled ends the server in the middle of an upload in parts, and the store too.
func TestServerKilled(t *testing.T) {
	k := newKit(t, func(c s3.Config) s3.Config { return c.WithAttempts(3).WithPart(5 << 20) })
	c := k.config(t)
	store := open(t, c)
	f := storetest.NewFile(t, 1, 1, 2, 128<<10, 24<<20)
	w, err := store.Create(t.Context(), f.Upload(0, "alice"))
	if err != nil {
		t.Fatal(err)
	}
	half := f.Segments() / 2
	if err := f.Append(t.Context(), w, 0, 0, half); err != nil {
		t.Fatal(err)
	}
	k.server.Kill()
	if err := f.Append(t.Context(), w, 0, half, f.Segments()); err == nil {
		t.Error("everything was appended although the server is gone")
	} else {
		t.Logf("append: %v", err)
	}
	w.Close()
	k.server.Restart()
	store.Close()
	store = open(t, c)
	w, err = store.Create(t.Context(), f.Upload(0, "alice"))
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	have, err := w.Have(t.Context())
	if err != nil || have < 5<<20/(128<<10) {
		t.Fatalf("have %d of %d, %v", have, half, err)
	}
	if err := f.Append(t.Context(), w, 0, have, f.Segments()); err != nil {
		t.Fatal(err)
	}
	if err := w.Commit(t.Context(), f.Root); err != nil {
		t.Fatal(err)
	}
	if err := f.Check(t.Context(), store, 0); err != nil {
		t.Error(err)
	}
	if left := k.server.Unfinished(); left != 0 {
		t.Errorf("%d unfinished uploads are left in the bucket", left)
	}
}

// TestAbandonedParts leaves an upload in parts behind, of which no folder tells.
func TestAbandonedParts(t *testing.T) {
	k := newKit(t, func(c s3.Config) s3.Config { c.Owner = "node 1"; return c.WithPart(5 << 20) })
	c := k.config(t)
	store := open(t, c)
	f := storetest.NewFile(t, 1, 1, 2, 128<<10, 12<<20)
	w, err := store.Create(t.Context(), f.Upload(0, "alice"))
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Append(t.Context(), w, 0, 0, f.Segments()); err != nil {
		t.Fatal(err)
	}
	w.Close()
	store.Close()
	if k.server.Unfinished() != 1 {
		t.Fatal("there is no upload in parts")
	}
	c.Index = t.TempDir()
	open(t, c)
	if left := k.server.Unfinished(); left != 0 {
		t.Errorf("%d unfinished uploads are left in the bucket", left)
	}
}

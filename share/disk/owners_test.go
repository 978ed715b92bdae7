package disk

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"

	"cairn/share"
	"cairn/share/column"
	"cairn/share/storetest"
)

// countAll counts what the store keeps account of, from the records of the files alone.
func countAll(t *testing.T, store *Store) (usage map[string]int64, state stateRecord) {
	t.Helper()
	usage = map[string]int64{}
	err := store.index.each(filePrefix, func(key, data []byte) error {
		if _, ok := indexOfKey(key); !ok {
			return nil
		}
		var r fileRecord
		if err := unseal(data, &r); err != nil {
			return err
		}
		state.Files++
		for _, s := range r.Shares {
			state.Shares++
			state.Bytes += s.Size
			for _, l := range r.leases() {
				usage[l.Owner] += s.Size
			}
		}
		return nil
	})
	if err == nil {
		err = store.index.each(namePrefix, func(key, data []byte) error {
			var n nameRecord
			if len(key) == 1+len(share.Name{}) {
				if err := unseal(data, &n); err != nil {
					return err
				}
				usage[n.Lease.Owner] += n.charge().bytes
			}
			return nil
		})
	}
	if err != nil {
		t.Fatalf("count: %v", err)
	}
	for _, session := range store.sessions.all(func(*session) bool { return true }) {
		usage[session.owner] += session.claim.charged
	}
	maps.DeleteFunc(usage, func(_ string, n int64) bool { return n == 0 })
	return usage, state
}

// wantCounted compares the accounts of a store that is at rest with what it holds.
func wantCounted(t *testing.T, store *Store) {
	t.Helper()
	want, counts := countAll(t, store)
	got, err := store.Usage(t.Context())
	if err != nil || !maps.Equal(got, want) {
		t.Errorf("usage %v, %v; counted %v", got, err, want)
	}
	stats, err := store.Stats(t.Context())
	if err != nil || stats.Files != counts.Files || stats.Shares != counts.Shares || stats.Bytes != counts.Bytes {
		t.Errorf("stats %+v, %v; counted %+v", stats, err, counts)
	}
}

// putSmall stores n small files for an owner and returns their storage indexes.
func putSmall(t *testing.T, store *Store, n int, owner string) []share.StorageIndex {
	t.Helper()
	indexes := make([]share.StorageIndex, n)
	var group sync.WaitGroup
	for i := range n {
		group.Go(func() {
			f, err := storetest.MakeFile(uint64(i), 1, 2, 4<<10, 64)
			if err == nil {
				err = f.Put(t.Context(), store, 0, owner)
				indexes[i] = f.Index
			}
			if err != nil {
				t.Errorf("put %d: %v", i, err)
			}
		})
	}
	group.Wait()
	return indexes
}

func monthLease(owner string) share.Lease {
	return share.Lease{Owner: owner, Expires: time.Now().Add(30 * 24 * time.Hour)}
}

// TestOwnersRebuilt computes the index again: the accounts are what the files say, renewals aside.
func TestOwnersRebuilt(t *testing.T) {
	dir := t.TempDir()
	store := mustOpen(t, dir, Options{})
	putSmall(t, store, 50, "alice")
	large := storetest.NewFile(t, 100, 1, 2, 4<<10, 60_000)
	for n, owner := range []string{"alice", "bob"} {
		if err := large.Put(t.Context(), store, share.Number(n), owner); err != nil {
			t.Fatal(err)
		}
	}
	want, err := store.Usage(t.Context())
	if err != nil || len(want) != 2 {
		t.Fatalf("usage %v, %v", want, err)
	}
	wantCounted(t, store)
	store.Close()
	store = mustOpen(t, dir, Options{RebuildIndex: true})
	if got, err := store.Usage(t.Context()); err != nil || !maps.Equal(got, want) {
		t.Errorf("after the index was computed again: usage %v, %v; want %v", got, err, want)
	}
	wantCounted(t, store)
}

// TestOwnersOfRemoved removes shares, as the scrub does with those that do not verify: who had leases uses less.
func TestOwnersOfRemoved(t *testing.T) {
	store := mustOpen(t, t.TempDir(), Options{})
	f := storetest.NewFile(t, 100, 1, 2, 4<<10, 60_000)
	for n, owner := range []string{"alice", "bob"} {
		if err := f.Put(t.Context(), store, share.Number(n), owner); err != nil {
			t.Fatal(err)
		}
	}
	for n := range share.Number(2) {
		_, name := store.names(f.Index, n)
		if err := os.Truncate(name, 1000); err != nil {
			t.Fatal(err)
		}
		if report, err := store.Scrub(t.Context(), 0); err != nil || report.Quarantined != 1 {
			t.Fatalf("scrub: %+v, %v", report, err)
		}
		wantCounted(t, store)
	}
	if usage, err := store.Usage(t.Context()); err != nil || len(usage) != 0 {
		t.Errorf("usage %v, %v; want none", usage, err)
	}
}

// TestOwnersCountedAgain opens stores whose accounts are not to be believed: because they are missing, as in an index
// that knows none, because a change was interrupted between two transactions, or because they are damaged.
func TestOwnersCountedAgain(t *testing.T) {
	for name, spoil := range map[string]func(txn *badger.Txn) error{
		"interrupted": func(txn *badger.Txn) error {
			return errors.Join(txn.Delete(countedKey), txn.Set(ownerKey("alice"), seal(ownerRecord{Bytes: 7})),
				txn.Set(ownerKey("mallory"), seal(ownerRecord{Bytes: 7})), txn.Delete(ownerKey("bob")))
		},
		"damaged": func(txn *badger.Txn) error { return txn.Set(ownerKey("alice"), []byte("nonsense")) },
		"no marks": func(txn *badger.Txn) error {
			return errors.Join(txn.Delete(countedKey), txn.Delete(ownerKey("alice")), txn.Delete(ownerKey("bob")))
		},
	} {
		dir := t.TempDir()
		store := mustOpen(t, dir, Options{})
		indexes := putSmall(t, store, 20, "alice")
		if err := store.Renew(t.Context(), indexes[:10], monthLease("bob")); err != nil {
			t.Fatal(err)
		}
		want, err := store.Usage(t.Context())
		if err != nil || len(want) != 2 {
			t.Fatalf("usage %v, %v", want, err)
		}
		if err := store.index.db.Update(spoil); err != nil {
			t.Fatal(err)
		}
		store.Close()
		for range 2 { // what was counted is written
			store = mustOpen(t, dir, Options{})
			if got, err := store.Usage(t.Context()); err != nil || !maps.Equal(got, want) {
				t.Errorf("%s: usage %v, %v; want %v", name, got, err, want)
			}
			wantCounted(t, store)
			store.Close()
		}
	}
}

// TestOwnersOfLargeChange renews more leases at once than fit into one transaction of the index. A process that ends
// between two of them leaves no mark, and the next one counts.
func TestOwnersOfLargeChange(t *testing.T) {
	dir := t.TempDir()
	store := mustOpen(t, dir, Options{})
	indexes := putSmall(t, store, 400, "alice")
	var known bool
	marked := func() bool {
		found, err := store.index.get(countedKey, &known)
		return found && err == nil
	}
	for i := range 8 { // long names fill the records
		owner := fmt.Sprintf("%d%0200d", i, 0)
		if err := store.Renew(t.Context(), indexes, monthLease(owner)); err != nil {
			t.Fatal(err)
		}
		wantCounted(t, store)
		if !marked() {
			t.Errorf("owner %d: no mark that the accounts hold", i)
		}
	}
	var changes []change
	for _, index := range indexes {
		f, err := store.index.file(index)
		if err != nil {
			t.Fatal(err)
		}
		if err := f.lease(recordLease(monthLease("carol"))); err != nil {
			t.Fatal(err)
		}
		changes = append(changes, change{fileKey(index), seal(f)})
	}
	// The last change cannot be written, as if the process had ended before it.
	err := store.index.write(append(changes, change{nil, []byte("no key")}))
	if !errors.Is(err, badger.ErrEmptyKey) || marked() {
		t.Fatalf("a change that fails half way: %v, marked: %t", err, marked())
	}
	if err := store.Renew(t.Context(), indexes, monthLease("dave")); err != nil {
		t.Fatal(err)
	}
	if marked() {
		t.Error("a later change made the accounts pass for right")
	}
	store.Close()
	store = mustOpen(t, dir, Options{})
	wantCounted(t, store)
	if usage, err := store.Usage(t.Context()); err != nil || usage["carol"] == 0 || !marked() {
		t.Errorf("usage of carol %d, %v, marked: %t", usage["carol"], err, marked())
	}
}

// TestOwnersReadOnly keeps account in a directory that cannot be written.
func TestOwnersReadOnly(t *testing.T) {
	dir := t.TempDir()
	store := mustOpen(t, dir, Options{})
	putSmall(t, store, 3, "alice")
	want, err := store.Usage(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	store.Close()
	store = mustOpen(t, dir, Options{files: noSpaceFiles{}})
	if got, err := store.Usage(t.Context()); err != nil || !maps.Equal(got, want) {
		t.Errorf("usage %v, %v; want %v", got, err, want)
	}
}

// noSpaceFiles is a disk without any room.
type noSpaceFiles struct{ systemFiles }

func (noSpaceFiles) Free(string) (int64, error) { return 0, nil }

// TestOwnersConcurrently has many writers of three owners at once, readers of the accounts beside them, which never see an
// owner use more than it was promised and has.
func TestOwnersConcurrently(t *testing.T) {
	store := mustOpen(t, filepath.Join(t.TempDir(), "store"), Options{})
	owners := []string{"alice", "bob", "carol"}
	var writers, readers sync.WaitGroup
	done := make(chan struct{})
	const files = 20
	for i, owner := range owners {
		var most int64
		for j := range files {
			f := storetest.NewFile(t, uint64(100*i+j), 1, 2, 4<<10, 1000+2000*j)
			u := f.Upload(0, owner)
			most += column.ShareSize(u)
			writers.Go(func() {
				if err := f.Put(t.Context(), store, 0, owner); err != nil {
					t.Errorf("put: %v", err)
				}
			})
		}
		readers.Go(func() {
			for {
				n, err := store.UsageOf(t.Context(), owner)
				if err != nil || n > most {
					t.Errorf("usage of %s: %d, %v; at most %d are promised", owner, n, err, most)
					return
				}
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	writers.Wait()
	close(done)
	readers.Wait()
	wantCounted(t, store)
}

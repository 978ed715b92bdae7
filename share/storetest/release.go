package storetest

import (
	"testing"
	"time"

	"cairn/share"
)

// A pages is one name whose versions have a page each, as they are written for an owner, and what the store should say of it.
type pages struct {
	*Mutable
	t     *testing.T
	store share.HeadStore
	usage share.Accounter
	files []*File
	owner string
}

// pages returns a name without versions, or skips the test.
func (s Suite) pages(t *testing.T) (share.Store, *pages) {
	t.Helper()
	store := s.Open(t)
	return store, &pages{Mutable: NewMutable(1), t: t, store: heads(t, store), usage: s.accounter(t, store), owner: "alice"}
}

// write adds a version with a file of its own.
func (p *pages) write(r share.Retention) {
	p.t.Helper()
	f := small(p.t, uint64(len(p.files)+1))
	u := p.Next(f.Index, p.owner)
	u.Shares, u.Retention = []share.WholeShare{f.Whole(0)}, r
	set(p.t, p.store, p.Mutable, u)
	p.files = append(p.files, f)
}

// want checks that the owner uses what the last versions have, their records included.
func (p *pages) want(what string, versions int) {
	p.t.Helper()
	records, err := p.store.History(p.t.Context(), p.Name, 0)
	if err != nil || len(records) != versions {
		p.t.Errorf("%s: %d versions, %v; want %d", what, len(records), err, versions)
	}
	var want int64
	for _, r := range records {
		want += int64(len(r))
	}
	for _, f := range p.files[len(p.files)-versions:] {
		want += sizeOf(f, 0)
	}
	if got, err := p.usage.UsageOf(p.t.Context(), p.owner); err != nil || got != want {
		p.t.Errorf("%s: usage %d, %v; want %d", what, got, err, want)
	}
}

// testReleaseByVersions follows what an owner uses while versions go out of a retention.
func (s Suite) testReleaseByVersions(t *testing.T) {
	_, p := s.pages(t)
	for i := range 5 {
		p.write(share.Retention{Versions: 3})
		p.want("three versions kept", min(i+1, 3))
	}
	p.write(share.Retention{Versions: 10})
	p.want("ten versions kept", 4)
	p.write(share.Retention{Versions: 1})
	p.want("one version kept", 1)
	p.write(share.Retention{Versions: -3, Age: -time.Hour})
	p.want("a retention below nothing", 1)
	p.write(share.Retention{})
	p.want("no past version kept", 1)
}

// testReleaseByAge keeps what is young, and lets go of it once it is not.
func (s Suite) testReleaseByAge(t *testing.T) {
	_, p := s.pages(t)
	for i := range 4 {
		p.write(share.Retention{Age: time.Hour})
		p.want("an hour kept", i+1)
	}
	deadline := time.Now().Add(3 * time.Minute)
	for old := p.files[3]; ; { // until a version is older than a millisecond when the next one comes
		p.write(share.Retention{Age: time.Millisecond})
		records, err := p.store.History(t.Context(), p.Name, 0)
		if err != nil || time.Now().After(deadline) {
			t.Fatalf("%d versions, %v, although they are kept for a millisecond; the oldest is of %s", len(records), err, old.Index)
		}
		p.want("a millisecond kept", len(records))
		if len(records) < len(p.files) {
			break
		}
	}
	p.write(share.Retention{})
	p.want("nothing kept", 1)
}

// testReleaseOfOthers has what is dropped be leased by another owner as well, added again, and be nobody's.
func (s Suite) testReleaseOfOthers(t *testing.T) {
	store, p := s.pages(t)
	shared, back := small(t, 100), small(t, 101)
	batch := batcher(t, store)
	for owner, f := range map[string]*File{"alice": back, "bob": shared} {
		if errs, err := batch.Put(t.Context(), []share.WholeShare{f.Whole(0)}, lease(owner, time.Hour)); err != nil || errs[0] != nil {
			t.Fatal(errs, err)
		}
	}
	root := share.StorageIndex{9}
	u := p.Next(root, "alice")
	u.Adds = []share.StorageIndex{root, shared.Index, back.Index}
	set(t, p.store, p.Mutable, u)
	record := int64(len(p.Record))
	wantUsage(t, p.usage, "added", map[string]int64{"alice": record + sizeOf(shared, 0) + sizeOf(back, 0), "bob": sizeOf(shared, 0)})
	keep := share.Retention{Versions: 2}
	u = p.Next(root, "alice")
	u.Drops, u.Adds, u.Retention = []share.StorageIndex{shared.Index, back.Index, {77}}, nil, keep
	set(t, p.store, p.Mutable, u)
	u = p.Next(root, "alice")
	u.Drops, u.Adds, u.Retention = nil, []share.StorageIndex{back.Index}, keep
	two := int64(len(p.Record) + len(u.Record))
	set(t, p.store, p.Mutable, u)
	wantUsage(t, p.usage, "one added again", map[string]int64{"alice": two + sizeOf(back, 0), "bob": sizeOf(shared, 0)})
	u = p.Next(root, "bob")
	u.Adds, u.Drops, u.Retention = nil, []share.StorageIndex{back.Index, shared.Index}, keep
	two = int64(len(p.Record) + len(u.Record))
	set(t, p.store, p.Mutable, u)
	wantUsage(t, p.usage, "another owner's version", map[string]int64{"alice": sizeOf(back, 0), "bob": two + sizeOf(shared, 0)})
	u = p.Next(root, "bob")
	u.Adds, u.Drops = nil, nil
	set(t, p.store, p.Mutable, u)
	wantUsage(t, p.usage, "what another dropped", map[string]int64{"alice": sizeOf(back, 0), "bob": int64(len(u.Record))})
}

// testReleaseReopened drops files, opens the store again, and lets go of them then.
func (s Suite) testReleaseReopened(t *testing.T) {
	if s.Reopen == nil {
		t.Skip("the store forgets")
	}
	store, p := s.pages(t)
	for range 4 {
		p.write(share.Retention{Versions: 3})
	}
	store = s.Reopen(t, store)
	p.store, p.usage = heads(t, store), s.accounter(t, store)
	p.want("opened again", 3)
	p.write(share.Retention{Versions: 2})
	p.want("a version after that", 2)
}

// testCollect lets time pass over shares that nobody holds a lease on, and over others.
func (s Suite) testCollect(t *testing.T) {
	if s.Collect == nil {
		t.Skip("the store does not collect")
	}
	store, p := s.pages(t)
	for range 3 {
		p.write(share.Retention{Versions: 1})
	}
	ended, kept := small(t, 100), small(t, 101)
	for f, d := range map[*File]time.Duration{ended: time.Hour, kept: 300 * 24 * time.Hour} {
		if errs, err := batcher(t, store).Put(t.Context(), []share.WholeShare{f.Whole(1)}, lease("bob", d)); err != nil || errs[0] != nil {
			t.Fatal(errs, err)
		}
	}
	if err := store.Renew(t.Context(), []share.StorageIndex{p.files[2].Index}, lease("alice", 300*24*time.Hour)); err != nil {
		t.Fatal(err)
	}
	s.Collect(t, store, 30*24*time.Hour)
	wantHeld(t, store, p.files[0])
	wantHeld(t, store, p.files[1])
	wantHeld(t, store, ended)
	wantHeld(t, store, p.files[2], 0)
	wantHeld(t, store, kept, 1)
	wantCheck(t, store, p.files[2], 0)
	wantCheck(t, store, kept, 1)
	p.want("collected", 1)
	if errs, err := batcher(t, store).Put(t.Context(), []share.WholeShare{p.files[0].Whole(0)}, lease("alice", time.Hour)); err != nil || errs[0] != nil {
		t.Errorf("stored again: %v, %v", errs, err)
	}
	wantCheck(t, store, p.files[0], 0)
}

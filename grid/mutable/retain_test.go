package mutable_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"cairn/grid/mutable"
	"cairn/share"
	"cairn/share/capability"
	"cairn/share/keys"
)

func sequences(t *testing.T, m *mutable.Files, c capability.Capability) (list []uint64, kept []mutable.Keeping) {
	t.Helper()
	versions, err := m.History(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range versions {
		if v.Unclear != nil {
			t.Errorf("version %d: %v", v.Head.Sequence, v.Unclear)
		}
		list = append(list, v.Head.Sequence)
	}
	return list, mutable.Kept(versions, time.Now())
}

// TestRetentionStays: what the first writer wants kept holds for all who write later, until somebody wants it otherwise.
func TestRetentionStays(t *testing.T) { synctest.Test(t, testRetentionStays) }

func testRetentionStays(t *testing.T) {
	g := newGrid(5)
	key := keys.NewWriteKey()
	c := capability.Mutable(key)
	alice, bob := newFiles(t, g), newFiles(t, g)
	want := share.Retention{Versions: 3, Age: 2 * time.Hour}
	v, err := alice.Write(t.Context(), key, nil, strings.NewReader("1"), mutable.WriteOptions{Retention: want})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		time.Sleep(time.Hour)
		v, _ = read(t, bob, c)
		v = write(t, bob, key, v, strings.Repeat("x", i))
	}
	if v.Head.Retention() != want {
		t.Errorf("version %d keeps %+v, want %+v", v.Head.Sequence, v.Head.Retention(), want)
	}
	list, kept := sequences(t, alice, c)
	if !slices.Equal(list, []uint64{6, 5, 4}) {
		t.Errorf("versions %v are kept", list)
	}
	wantKept := []mutable.Keeping{{}, {Until: time.Now().Add(2 * time.Hour), Newer: 2}, {Until: time.Now().Add(time.Hour), Newer: 1}}
	for i := range kept {
		if !kept[i].Until.Equal(wantKept[i].Until) || kept[i].Newer != wantKept[i].Newer {
			t.Errorf("version %d is kept %+v, want %+v", list[i], kept[i], wantKept[i])
		}
	}
	more := share.Retention{Versions: 1000, Age: 90 * 24 * time.Hour}
	for range 2 { // the second time it says so already
		if v, err = bob.Retain(t.Context(), key, more); err != nil || v.Head.Sequence != 7 {
			t.Fatalf("version %v, %v", v, err)
		}
	}
	if v, text := read(t, alice, c); text != "xxxx" || v.Head.Retention() != more {
		t.Errorf("read %q, which keeps %+v", text, v.Head.Retention())
	}
	for range 4 {
		time.Sleep(24 * time.Hour)
		v, _ = read(t, alice, c)
		write(t, alice, key, v, "later")
	}
	if list, _ := sequences(t, bob, c); !slices.Equal(list, []uint64{11, 10, 9, 8, 7, 6, 5, 4}) {
		t.Errorf("versions %v are kept", list)
	}
}

// TestRetentionOfTheEnvironment is that of what is new, and of nothing else.
func TestRetentionOfTheEnvironment(t *testing.T) { synctest.Test(t, testRetentionOfTheEnvironment) }

func testRetentionOfTheEnvironment(t *testing.T) {
	g := newGrid(3)
	wanted := share.Retention{Versions: 7, Age: 30 * 24 * time.Hour}
	m := mutable.New(mutable.Env{Servers: g.servers, Owner: "bob", Retention: func() share.Retention { return wanted }})
	old, fresh := keys.NewWriteKey(), keys.NewWriteKey()
	write(t, newFiles(t, g), old, nil, "one")
	before, _ := read(t, m, capability.Mutable(old))
	if v := write(t, m, old, before, "two"); v.Head.Retention() != share.DefaultRetention || v.Head.Keep != (share.Retention{}) {
		t.Errorf("what was there keeps %+v", v.Head.Keep)
	}
	if v := write(t, m, fresh, nil, "one"); v.Head.Retention() != wanted {
		t.Errorf("what is new keeps %+v", v.Head.Keep)
	}
	for _, bad := range []share.Retention{{Versions: 2}, {Age: time.Hour}, {Versions: 1001, Age: time.Hour}, {Versions: 1, Age: time.Hour - 1}} {
		if v, err := m.Write(t.Context(), keys.NewWriteKey(), nil, strings.NewReader("x"), mutable.WriteOptions{Retention: bad}); err == nil {
			t.Errorf("a version was written that keeps %+v", v.Head.Keep)
		}
	}
}

// TestShortRetention: after versions were let go of, readers do not wait for what is between the newest one and one that was left behind,
// also when more is kept again by then.
func TestShortRetention(t *testing.T) { synctest.Test(t, testShortRetention) }

func testShortRetention(t *testing.T) {
	g := newGrid(7)
	key := keys.NewWriteKey()
	c := capability.Mutable(key)
	m := newFiles(t, g)
	v, err := m.Write(t.Context(), key, nil, strings.NewReader("1"), mutable.WriteOptions{Retention: share.Retention{Versions: 1, Age: time.Hour}})
	if err != nil {
		t.Fatal(err)
	}
	g.setDown(5, 6) // they stay behind
	for range 4 {
		time.Sleep(2 * time.Hour)
		v = write(t, m, key, v, "more")
	}
	if v, err = m.Retain(t.Context(), key, share.DefaultRetention); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Minute)
	write(t, m, key, v, "last")
	g.setDown(0, 1)
	if v, text := read(t, m, c); text != "last" || len(v.Forks) > 0 || v.Unclear != nil {
		t.Errorf("read %q with the forks %v, unclear: %v", text, v.Forks, v.Unclear)
	}
	if list, _ := sequences(t, m, c); !slices.Equal(list, []uint64{7, 6, 5, 4, 1}) {
		t.Errorf("versions %v are kept", list)
	}
}

// TestEnd: nothing follows a last version, which is read as any other.
func TestEnd(t *testing.T) { synctest.Test(t, testEnd) }

func testEnd(t *testing.T) {
	g := newGrid(4)
	key := keys.NewWriteKey()
	c := capability.Mutable(key)
	alice, bob := newFiles(t, g), newFiles(t, g)
	before := write(t, alice, key, nil, "all of it")
	for range 2 {
		if v, err := alice.End(t.Context(), key); err != nil || v.Head.Sequence != 2 || !v.Head.Ended {
			t.Fatalf("the last version is %+v, %v", v, err)
		}
	}
	v, text := read(t, bob, c)
	if text != "all of it" || !v.Head.Ended {
		t.Errorf("read %q, ended: %v", text, v.Head.Ended)
	}
	if _, err := bob.Write(t.Context(), key, v, strings.NewReader("more"), mutable.WriteOptions{}); !errors.Is(err, mutable.ErrEnded) || !errors.Is(err, share.ErrDenied) {
		t.Errorf("a version after the last: %v", err)
	}
	if _, err := bob.Write(t.Context(), key, before, strings.NewReader("more"), mutable.WriteOptions{}); !errors.Is(err, share.ErrConflict) {
		t.Errorf("a version beside the last: %v", err)
	}
	if _, err := bob.Restore(t.Context(), key, 1); !errors.Is(err, mutable.ErrEnded) {
		t.Errorf("restore: %v", err)
	}
	if _, err := bob.Patch(t.Context(), key, 3, strings.NewReader("more")); !errors.Is(err, mutable.ErrEnded) {
		t.Errorf("patch: %v", err)
	}
	if _, err := bob.Retain(t.Context(), key, share.Retention{Versions: 5, Age: time.Hour}); !errors.Is(err, mutable.ErrEnded) {
		t.Errorf("retain: %v", err)
	}
}

// TestServersWithoutRoom are asked all the same to take what replaces something, and not for what is new.
func TestServersWithoutRoom(t *testing.T) { synctest.Test(t, testServersWithoutRoom) }

func testServersWithoutRoom(t *testing.T) {
	g := newGrid(4)
	key := keys.NewWriteKey()
	write(t, newFiles(t, g), key, nil, strings.Repeat("much of it ", 1000))
	full := mutable.New(mutable.Env{Owner: "alice", Servers: func(ctx context.Context) []share.Server {
		servers := g.servers(ctx)
		for i := range servers {
			servers[i].Free = 0
		}
		return servers
	}})
	v, err := full.Read(t.Context(), capability.Mutable(key))
	if err != nil {
		t.Fatal(err)
	}
	if write(t, full, key, v, "little"); g.stores[0].count("sethead") == 0 {
		t.Error("a server was not asked")
	}
	if _, err := full.Write(t.Context(), keys.NewWriteKey(), nil, strings.NewReader("new"), mutable.WriteOptions{}); !errors.As(err, new(*share.UnhappyError)) {
		t.Errorf("a new file: %v", err)
	}
}

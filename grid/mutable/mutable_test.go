package mutable_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"cairn/grid/mutable"
	"cairn/share"
	"cairn/share/capability"
	"cairn/share/keys"
)

func newFiles(t *testing.T, g *grid) *mutable.Files {
	ctx, cancel := context.WithCancel(context.Background())
	var background sync.WaitGroup
	t.Cleanup(func() {
		cancel()
		background.Wait()
	})
	return mutable.New(mutable.Env{
		Servers: g.servers, Owner: "alice", Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
		Background: func(f func(context.Context)) { background.Go(func() { f(ctx) }) },
	})
}

func read(t *testing.T, m *mutable.Files, c capability.Capability) (*mutable.Version, string) {
	t.Helper()
	v, err := m.Read(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	data, err := v.Bytes(t.Context(), 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	return v, string(data)
}

func write(t *testing.T, m *mutable.Files, key keys.WriteKey, base *mutable.Version, text string) *mutable.Version {
	t.Helper()
	v, err := m.Write(t.Context(), key, base, strings.NewReader(text), mutable.WriteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestWriteAndRead(t *testing.T) { synctest.Test(t, testWriteAndRead) }

func testWriteAndRead(t *testing.T) {
	for _, servers := range []int{1, 2, 3, 10, 40} {
		g := newGrid(servers)
		key := keys.NewWriteKey()
		c := capability.Mutable(key)
		alice, bob := newFiles(t, g), newFiles(t, g)
		if _, err := alice.Read(t.Context(), c); !errors.Is(err, share.ErrNotFound) {
			t.Fatalf("before the first version: %v", err)
		}
		v := write(t, alice, key, nil, "one")
		if _, text := read(t, bob, c); text != "one" {
			t.Fatalf("read %q", text)
		}
		write(t, alice, key, v, "two")
		readOnly, err := c.Read()
		if err != nil {
			t.Fatal(err)
		}
		v, text := read(t, bob, readOnly)
		if text != "two" || v.Head.Sequence != 2 || v.Size != 3 || len(v.Forks) != 0 {
			t.Fatalf("read %q, version %d of %d bytes", text, v.Head.Sequence, v.Size)
		}
		for _, size := range []int{0, 1, 100_000, 1 << 20} {
			data := bytes.Repeat([]byte{byte(size)}, size)
			v = write(t, bob, key, v, string(data))
			if got, text := read(t, alice, c); text != string(data) || got.Head.Digest != v.Head.Digest {
				t.Fatalf("%d servers, %d bytes: read %d others", servers, size, len(text))
			}
		}
	}
}

func TestRoundTrips(t *testing.T) { synctest.Test(t, testRoundTrips) }

func testRoundTrips(t *testing.T) {
	g := newGrid(10)
	key := keys.NewWriteKey()
	m := newFiles(t, g)
	v := write(t, m, key, nil, "one")
	v = write(t, m, key, v, "two")
	read(t, m, capability.Mutable(key))
	for _, s := range g.stores {
		if s.count("sethead") != 2 || s.calls["heads"] != 1 || len(s.calls) != 2 {
			t.Errorf("%s was asked %v", s.name, s.calls)
		}
	}
	if v.Head.Sequence != 2 {
		t.Errorf("version %d", v.Head.Sequence)
	}
}

func TestVerifyCapabilityDoesNotRead(t *testing.T) {
	m := newFiles(t, newGrid(3))
	c, err := capability.Mutable(keys.NewWriteKey()).Verify()
	if err != nil {
		t.Fatal(err)
	}
	var kind *capability.KindError
	if _, err := m.Read(t.Context(), c); !errors.As(err, &kind) {
		t.Errorf("read with a verify capability: %v", err)
	}
}

func TestConflict(t *testing.T) { synctest.Test(t, testConflict) }

func testConflict(t *testing.T) {
	g := newGrid(10)
	key := keys.NewWriteKey()
	alice, bob := newFiles(t, g), newFiles(t, g)
	v1 := write(t, alice, key, nil, "one")
	v2 := write(t, alice, key, v1, "two")
	_, err := bob.Write(t.Context(), key, v1, strings.NewReader("other"), mutable.WriteOptions{})
	var conflict *share.ConflictError
	var collision *mutable.CollisionError
	if !errors.As(err, &conflict) || !errors.Is(err, share.ErrConflict) || !errors.As(err, &collision) {
		t.Fatalf("second writer: %v", err)
	}
	if collision.Theirs.Digest != v2.Head.Digest || collision.Holders != 0 {
		t.Errorf("collision with version %d, %d hold ours", collision.Theirs.Sequence, collision.Holders)
	}
	_, err = bob.Write(t.Context(), key, nil, strings.NewReader("first"), mutable.WriteOptions{})
	if !errors.Is(err, share.ErrConflict) {
		t.Fatalf("first version again: %v", err)
	}
	if _, text := read(t, bob, capability.Mutable(key)); text != "two" {
		t.Errorf("read %q", text)
	}
}

// TestPages stores pages with a version and none of it elsewhere.
func TestPages(t *testing.T) { synctest.Test(t, testPages) }

func testPages(t *testing.T) {
	g := newGrid(10)
	key := keys.NewWriteKey()
	m := newFiles(t, g)
	var pages []mutable.Page
	for i := range 3 {
		page, err := mutable.Seal(share.DefaultParams(10), keys.NewReadKey(), bytes.Repeat([]byte{byte(i)}, 1000))
		if err != nil {
			t.Fatal(err)
		}
		pages = append(pages, page)
	}
	_, err := m.Write(t.Context(), key, nil, strings.NewReader("root"), mutable.WriteOptions{Extra: pages})
	if err != nil {
		t.Fatal(err)
	}
	refs := make([]mutable.Ref, len(pages))
	for i, p := range pages {
		refs[i] = mutable.Ref{Index: p.Index(), Key: p.Key}
	}
	got, err := m.Pages(t.Context(), capability.NameOf(key), refs)
	if err != nil {
		t.Fatal(err)
	}
	for i := range pages {
		if !bytes.Equal(got[i], pages[i].Data) {
			t.Errorf("page %d differs", i)
		}
	}
}

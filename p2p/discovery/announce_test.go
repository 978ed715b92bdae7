package discovery_test

import (
	"crypto/rand"
	"errors"
	"io"
	"testing"
	"time"

	"cairn/p2p"
	"cairn/p2p/discovery"
	"cairn/share"
)

func announcing(_ *p2p.Config, d *discovery.Config) { d.Providers, d.AskAllUpTo = true, 1 }

func someFiles(n int) []share.StorageIndex {
	list := make([]share.StorageIndex, n)
	for i := range list {
		rand.Read(list[i][:])
	}
	return list
}

// TestAnnouncedAgain has all members that knew of a file replaced by others.
func TestAnnouncedAgain(t *testing.T) {
	often := func(_ *p2p.Config, d *discovery.Config) { d.AnnounceEvery = time.Second }
	holder := start(t, both(announcing, often))
	first := start(t, both(joining(holder), announcing))
	files := someFiles(20)
	if err := holder.Announce(t.Context(), files...); err != nil {
		t.Fatal(err)
	}
	found := func(n node) func() bool {
		return func() bool {
			for _, index := range files {
				ids, err := n.Providers(t.Context(), index)
				if err != nil || len(ids) != 1 || ids[0] != holder.ID() {
					return false
				}
			}
			return true
		}
	}
	eventually(t, "the files are found", found(first))
	first.close(t)
	second := start(t, both(joining(holder), announcing))
	eventually(t, "the files are found by a node that came later", found(second))
	if err := holder.Withdraw(t.Context(), files[:15]...); err != nil {
		t.Fatal(err)
	}
	if n := holder.Stats().Announced; n != 5 {
		t.Errorf("%d files are announced, want 5", n)
	}
	holder.close(t)
	if err := holder.Announce(t.Context(), files...); !errors.Is(err, share.ErrClosed) {
		t.Errorf("announce after the end: %v, want ErrClosed", err)
	}
}

// TestAnnouncedOnceMore has members come up just after a file was announced.
func TestAnnouncedOnceMore(t *testing.T) {
	walks := func(_ *p2p.Config, d *discovery.Config) { d.WalkEvery = 2 * time.Second }
	holder := start(t, both(announcing, walks))
	first := start(t, both(joining(holder), announcing))
	files := someFiles(1)
	if err := holder.Announce(t.Context(), files...); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the first node keeps the record", func() bool { return first.Stats().Records == 1 })
	second := start(t, both(joining(holder), announcing))
	eventually(t, "so does one that came later", func() bool { return second.Stats().Records == 1 })
}

// TestRevokedHolderIsNotNamed has a member refused after it announced a file.
func TestRevokedHolderIsNotNamed(t *testing.T) {
	gate := &refusing{}
	a := start(t, both(announcing, func(c *p2p.Config, _ *discovery.Config) { c.Gate = gate }))
	b := start(t, both(joining(a), announcing))
	files := someFiles(1)
	if err := b.Announce(t.Context(), files...); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the file is found", func() bool {
		ids, err := a.Providers(t.Context(), files[0])
		return err == nil && len(ids) == 1
	})
	id := b.ID()
	gate.out.Store(&id)
	if ids, err := a.Providers(t.Context(), files[0]); !errors.Is(err, share.ErrNotFound) {
		t.Errorf("holders %v, %v; want none", ids, err)
	}
}

func TestRecordsOfStrangersAreRefused(t *testing.T) {
	gate := &refusing{}
	a := start(t, both(announcing, func(c *p2p.Config, _ *discovery.Config) { c.Gate = gate }))
	b := start(t, both(joining(a), announcing))
	eventually(t, "both met", func() bool { return connected(a) == 1 && connected(b) == 1 })
	id := b.ID()
	gate.out.Store(&id)
	s, err := b.Stream(t.Context(), a.ID(), "provide/1")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	s.Write([]byte("A12345678"))
	s.SetReadDeadline(time.Now().Add(5 * time.Second))
	if _, err := s.Read(make([]byte, 1)); !errors.Is(p2p.Reason(err), share.ErrDenied) {
		t.Errorf("asking for records: %v, want ErrDenied", err)
	}
}

func TestNonsenseInsteadOfRecords(t *testing.T) {
	a := start(t, announcing)
	b := start(t, both(joining(a), announcing))
	eventually(t, "both met", func() bool { return connected(b) == 1 })
	for _, message := range []string{"", "X", "A123", "G\x00\xff\xff\xff\xff", "G\x09", "G\x01\x03abc"} {
		s, err := b.Stream(t.Context(), a.ID(), "provide/1")
		if err != nil {
			t.Fatal(err)
		}
		s.Write([]byte(message))
		s.CloseWrite()
		s.SetReadDeadline(time.Now().Add(5 * time.Second))
		if answer, err := io.ReadAll(s); err == nil || len(answer) > 0 {
			t.Errorf("%q was answered with %x, %v", message, answer, err)
		}
		s.Close()
	}
}

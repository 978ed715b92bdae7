package state_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"cairn/internal/waittest"
	"cairn/node/state"
	"cairn/share"
	"cairn/share/head"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t *testing.T, path string) *state.State {
	t.Helper()
	s, err := state.Open(path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func version(name byte, sequence uint64, digest byte) head.Head {
	return head.Head{
		Name: share.Name{name}, Sequence: sequence, Root: share.StorageIndex{1, digest}, Digest: share.Digest{digest},
		Parents: []share.Digest{{7}, {8, digest}}, Written: time.UnixMilli(1700000000123).UTC(),
	}
}

func TestRemembersTheNewest(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	s := open(t, path)
	if _, ok := s.Seen(share.Name{1}); ok {
		t.Error("a name that was never seen is remembered")
	}
	for _, h := range []head.Head{version(1, 3, 5), version(1, 2, 9), version(1, 3, 4), version(2, 1, 1), version(1, 4, 1), version(1, 1, 1)} {
		if err := s.Remember(h); err != nil {
			t.Fatal(err)
		}
	}
	check := func(s *state.State, when string) {
		t.Helper()
		for _, want := range []head.Head{version(1, 4, 1), version(2, 1, 1)} {
			got, ok := s.Seen(want.Name)
			if diff := cmp.Diff(want, got); !ok || diff != "" {
				t.Errorf("%s (-want +got):\n%s", when, diff)
			}
		}
	}
	check(s, "before it was written")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, path)
	check(s, "after a restart")
	if err := s.Remember(version(1, 3, 200)); err != nil {
		t.Fatal(err)
	}
	check(s, "after an older one came")
	if err := s.Forget(share.Name{1}); err != nil {
		t.Fatal(err)
	}
	if _, ok := s.Seen(share.Name{1}); ok {
		t.Error("a forgotten name is remembered")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestWritesByItself: a node that is killed has forgotten the last moment only.
func TestWritesByItself(t *testing.T) {
	dir := t.TempDir()
	s := open(t, filepath.Join(dir, "state.db"))
	defer s.Close()
	if err := s.Remember(version(1, 7, 1)); err != nil {
		t.Fatal(err)
	}
	deadline := time.After(waittest.Patience)
	for {
		data, err := os.ReadFile(filepath.Join(dir, "state.db"))
		if err != nil {
			t.Fatal(err)
		}
		copied := filepath.Join(t.TempDir(), "copy.db")
		if err := os.WriteFile(copied, data, 0o600); err != nil {
			t.Fatal(err)
		}
		// The copy may have been taken in the middle of a write; then it is one of before.
		killed := open(t, copied)
		h, ok := killed.Seen(share.Name{1})
		if err := killed.Close(); err != nil {
			t.Fatal(err)
		}
		if ok && h.Sequence == 7 {
			return
		}
		select {
		case <-deadline:
			t.Fatal("what was remembered is not on disk")
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func TestManyAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	s := open(t, path)
	var writers sync.WaitGroup
	for w := range 8 {
		writers.Go(func() {
			for i := range 200 {
				if err := s.Remember(version(byte(i%50), uint64(1+(i*7+w*13)%100), byte(w))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	writers.Wait()
	want := map[share.Name]head.Head{}
	for i := range 50 {
		h, ok := s.Seen(share.Name{byte(i)})
		if !ok {
			t.Fatalf("name %d is unknown", i)
		}
		want[h.Name] = h
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, path)
	defer s.Close()
	for name, h := range want {
		if got, _ := s.Seen(name); got.Digest != h.Digest || got.Sequence != h.Sequence {
			t.Errorf("after a restart version %d, want %d", got.Sequence, h.Sequence)
		}
	}
}

// TestDamagedFile: a node starts without its memory rather than not at all.
func TestDamagedFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	s := open(t, path)
	if err := s.Remember(version(1, 3, 5)); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, damage := range map[string][]byte{
		"noise": []byte("not a database at all, but a text of some length that was written here by mistake"),
		"zeros": make([]byte, len(data)),
	} {
		if err := os.WriteFile(path, damage, 0o600); err != nil {
			t.Fatal(err)
		}
		s := open(t, path)
		if _, ok := s.Seen(share.Name{1}); ok {
			t.Errorf("%s: something is remembered", name)
		}
		if err := s.Remember(version(1, 1, 1)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := s.Close(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := os.Stat(path + ".damaged"); err != nil {
			t.Errorf("%s: the damaged file is gone: %v", name, err)
		}
	}
}

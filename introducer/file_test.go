package introducer_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cairn/internal/wholefile"
	"cairn/introducer"
	"cairn/share"
)

func (w *world) open(t testing.TB, path string) *introducer.Roster {
	t.Helper()
	r, err := introducer.OpenRoster(w.grid, path)
	if err != nil {
		t.Fatal(err)
	}
	r.SetClock(func() time.Time { return w.now })
	return r
}

func TestRosterSurvivesRestarts(t *testing.T) {
	w := newWorld(t)
	path := filepath.Join(t.TempDir(), "roster")
	r := w.open(t, path)
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("opening made a file: %v", err)
	}
	for _, s := range [][]byte{
		w.grant("", "anna", introduces), w.grant("anna", "bob"), w.device("bob", "b1"), w.grant("", "carl"), w.device("carl", "c1"),
		w.revoke("", "carl"), w.removal("bob", "b1", 2), must(w.founder.SignSettings(introducer.Settings{Issued: w.now})),
	} {
		if _, err := r.Add(s); err != nil {
			t.Fatal(err)
		}
		again := w.open(t, path)
		if again.Digest() != r.Digest() || again.Held() != r.Held() {
			t.Fatal("it differs after a restart")
		}
		if diff := cmp.Diff(r.Members(w.now), again.Members(w.now)); diff != "" {
			t.Fatal(diff)
		}
	}
	again := w.open(t, path)
	if err := again.Admit(nodeOf("c1")); err == nil || !strings.Contains(err.Error(), "lost carl") {
		t.Errorf("after a restart: %v", err)
	}
	if _, err := again.Add(w.device("bob", "b1")); err != nil { // rolled back
		t.Fatal(err)
	}
	if again.Digest() != r.Digest() {
		t.Error("a restart forgot what was removed")
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

// TestDeadStatementsSurviveRestarts keeps what an introducer signed whose revocation loses its effect later.
func TestDeadStatementsSurviveRestarts(t *testing.T) {
	w := newWorld(t)
	path := filepath.Join(t.TempDir(), "roster")
	r := w.open(t, path)
	r.Add(w.grant("", "anna", introduces), w.grant("anna", "bob", introduces), w.grant("bob", "carl"), w.device("carl", "c1"))
	r.Add(w.revoke("anna", "bob"))
	if err := r.Admit(nodeOf("c1")); err == nil {
		t.Fatal("bob's members are admitted after his revocation")
	}
	r = w.open(t, path)
	if _, err := r.Add(w.grant("", "bob", introduces)); err != nil { // now bob is as close as anna
		t.Fatal(err)
	}
	if err := r.Admit(nodeOf("c1")); err != nil {
		t.Errorf("what bob signed was lost in the restart: %v", err)
	}
}

func TestDamagedFile(t *testing.T) {
	w := newWorld(t)
	path := filepath.Join(t.TempDir(), "roster")
	r := w.open(t, path)
	r.Add(w.grant("", "anna"), w.device("anna", "a1"))
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	fails := func(what string, data []byte, kinds ...error) {
		t.Helper()
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := introducer.OpenRoster(w.grid, path)
		for _, kind := range kinds {
			if errors.Is(err, kind) {
				if kind == share.ErrCorrupt && !strings.Contains(err.Error(), "move the file away") {
					t.Errorf("%s: the error %q names no next step", what, err)
				}
				return
			}
		}
		t.Errorf("%s: error %v", what, err)
	}
	for n := range len(good) {
		fails("cut off", good[:n], share.ErrCorrupt)
	}
	for i := range len(good) {
		bad := bytes.Clone(good)
		bad[i] ^= 1
		fails("changed", bad, share.ErrCorrupt, share.ErrDenied, share.ErrVersion)
	}
	fails("longer", append(bytes.Clone(good), 0), share.ErrCorrupt)
	later := bytes.Clone(good)
	later[len("cairn roster\x00")] = 2
	fails("of a later version", later, share.ErrVersion)

	forged := bytes.Clone(good[:len(good)-sha256.Size]) // by somebody who knows the checksum
	forged[len(forged)-1] ^= 1
	sum := sha256.Sum256(forged)
	fails("forged", append(forged, sum[:]...), share.ErrCorrupt)

	if err := os.WriteFile(path, good, 0o600); err != nil {
		t.Fatal(err)
	}
	other := newWorld(t)
	if _, err := introducer.OpenRoster(other.grid, path); !errors.Is(err, share.ErrDenied) || !strings.Contains(err.Error(), "leave that grid first") {
		t.Errorf("another grid's file: %v", err)
	}
	if _, err := introducer.OpenRoster(w.grid, t.TempDir()); err == nil {
		t.Error("a folder is a roster")
	}
}

// TestKillWhileWriting leaves what a kill at any moment of the write leaves: the old file, and some of the new one beside it.
func TestKillWhileWriting(t *testing.T) {
	w := newWorld(t)
	dir := t.TempDir()
	path := filepath.Join(dir, "roster")
	r := w.open(t, path)
	r.Add(w.grant("", "anna"))
	old := w.open(t, path).Digest()
	killed := errors.New("killed")
	for _, share := range []int{0, 1, 2} {
		r = w.open(t, path)
		r.SetSave(func(_ string, data []byte) error {
			if err := os.WriteFile(filepath.Join(dir, ".roster-123"), data[:len(data)*share/2], 0o600); err != nil {
				t.Fatal(err)
			}
			return killed
		})
		if _, err := r.Add(w.grant("", "bob")); !errors.Is(err, killed) {
			t.Fatal(err)
		}
		if w.open(t, path).Digest() != old {
			t.Error("the old file was lost")
		}
	}
}

// TestDiskFull keeps what it cannot write, says so, and writes it at the next chance.
func TestDiskFull(t *testing.T) {
	w := newWorld(t)
	path := filepath.Join(t.TempDir(), "roster")
	r := w.open(t, path)
	r.Add(w.grant("", "anna"), w.device("anna", "a1"))
	full := true
	r.SetSave(func(path string, data []byte) error {
		if full {
			return share.ErrNoSpace
		}
		return wholefile.Write(path, data, 0o600)
	})
	changed := r.Changed()
	news, err := r.Add(w.revoke("", "anna"))
	if news != 1 || !errors.Is(err, share.ErrNoSpace) {
		t.Fatalf("%d news, error %v", news, err)
	}
	select {
	case <-changed:
	default:
		t.Error("nobody was told")
	}
	if err := r.Admit(nodeOf("a1")); err == nil {
		t.Error("a revocation has no effect while the disk is full")
	}
	if _, err := r.Add(); !errors.Is(err, share.ErrNoSpace) {
		t.Errorf("error %v", err)
	}
	full = false
	if _, err := r.Add(); err != nil {
		t.Fatal(err)
	}
	if w.open(t, path).Digest() != r.Digest() {
		t.Error("it was not written at the next chance")
	}
}

func FuzzRosterFile(f *testing.F) {
	w := fuzzWorld(f)
	path := filepath.Join(f.TempDir(), "roster")
	r := w.open(f, path)
	r.Add(w.grant("", "anna"), w.device("anna", "a1"))
	good, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good[:len(good)-sha256.Size])
	f.Add(good[:60])
	f.Add([]byte{})
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, data []byte) {
		sum := sha256.Sum256(data)
		path := filepath.Join(dir, "roster")
		if err := os.WriteFile(path, append(data, sum[:]...), 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := introducer.OpenRoster(w.grid, path)
		if err != nil {
			return
		}
		r.Digest()
		r.Members(w.now)
	})
}

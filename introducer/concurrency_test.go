package introducer_test

import (
	"fmt"
	"path/filepath"
	"sync"
	"testing"

	"cairn/introducer"
)

// TestConcurrentUse adds and asks at the same time; the race detector watches.
func TestConcurrentUse(t *testing.T) {
	w := newWorld(t)
	path := filepath.Join(t.TempDir(), "roster")
	r := w.open(t, path)
	if _, err := r.Add(w.grant("", "anna", introduces), w.device("anna", "a1")); err != nil {
		t.Fatal(err)
	}
	var writers, readers sync.WaitGroup
	done := make(chan struct{})
	for i := range 4 {
		writers.Go(func() {
			for j := range 8 {
				name := fmt.Sprint("m", i, ".", j)
				if _, err := r.Vouch(w.signer("anna"), introducer.Grant{Account: key(name), Nickname: name}, w.now); err != nil {
					t.Error(err)
				}
				if _, err := r.AddDevice(account(name), nodeKeyOf(name), introducer.Device{Name: "x"}, w.now); err != nil {
					t.Error(err)
				}
			}
		})
		readers.Go(func() {
			for {
				select {
				case <-done:
					return
				case <-r.Changed():
				default:
				}
				if err := r.Admit(nodeOf("a1")); err != nil {
					t.Error(err)
				}
				r.Digest()
				r.Members(w.at(5))
				r.Subscribe(func() {})()
				if _, err := r.Credentials(nodeOf("a1")); err != nil {
					t.Error(err)
				}
			}
		})
	}
	writers.Wait()
	close(done)
	readers.Wait()
	if got := len(r.Members(w.now)); got != 33 {
		t.Errorf("%d members, want 33", got)
	}
	if again := w.open(t, path); again.Digest() != r.Digest() {
		t.Error("the file differs")
	}
}

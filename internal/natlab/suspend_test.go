//go:build linux

package natlab_test

import (
	"bytes"
	"crypto/rand"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"cairn/internal/natlab"
)

// suspendFor is how long TestSuspended stops a node: longer than a hello and what counts as a pause. NATLAB_SUSPEND sets another
// time, as that of a laptop that was closed.
func suspendFor(t *testing.T) time.Duration {
	text := os.Getenv("NATLAB_SUSPEND")
	if text == "" {
		return 20 * time.Second
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestSuspended: while a node that stores is stopped, what others do takes seconds longer at the most, and when it goes on it
// is back within seconds.
func TestSuspended(t *testing.T) {
	t.Parallel()
	const stall, back = 5 * time.Second, 10 * time.Second
	lab := natlab.New(t)
	public, address := found(t, lab.Public())
	ann := join(t, lab.Public(), "ann", address)
	ben := join(t, lab.Public(), "ben", address)
	cas := join(t, lab.Behind(natlab.Cone), "cas", address, "--no-storage")
	cas.reaches("ann", "direct", patience)
	cas.reaches("ben", "direct", patience)
	data := make([]byte, 1<<20)
	rand.Read(data)
	_, before := cas.stores(data)

	ann.signal(syscall.SIGSTOP)
	begin := time.Now()
	var longest, noticed time.Duration
	count := 0
	for time.Since(begin) < suspendFor(t) {
		rand.Read(data)
		capability, took := cas.stores(data)
		longest, count = max(longest, took), count+1
		if noticed == 0 && !cas.peers()["ann"].Answers {
			noticed = time.Since(begin)
		}
		if out, err := ben.try("get", "-q", capability, "-o", "-"); err != nil || !bytes.Equal(out, data) {
			t.Errorf("reading with a stopped node: %v", err)
		}
	}
	stopped := time.Since(begin)
	if longest > 3*before+stall {
		t.Errorf("storing took %v with a stopped node, %v before", longest, before)
	}
	if public.peers()["ann"].Answers {
		t.Error("nobody noticed")
	}
	if out := public.run("peers"); !bytes.Contains(out, []byte("it is connected and does not answer")) {
		t.Errorf("nobody is told:\n%s", out)
	}

	ann.signal(syscall.SIGCONT)
	begin = time.Now()
	eventually(t, patience, "all answer each other", func() bool {
		of := ann.peers()
		return public.peers()["ann"].Answers && ben.peers()["ann"].Answers && cas.peers()["ann"].Answers &&
			of["pub"].Answers && of["ben"].Answers && of["cas"].Answers
	})
	took := time.Since(begin)
	t.Logf("stopped for %v: %d files were stored and read meanwhile, the longest in %v (%v before); noticed after %v; back after %v",
		stopped, count, longest, before, noticed, took)
	if took > back {
		t.Errorf("it was back after %v only", took)
	}
}

// stores stores a file and returns how long that took.
func (n *node) stores(data []byte) (capability string, took time.Duration) {
	n.t.Helper()
	path := filepath.Join(n.t.TempDir(), "file")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		n.t.Fatal(err)
	}
	begin := time.Now()
	capability = strings.TrimSpace(string(n.run("put", "-q", path)))
	return capability, time.Since(begin)
}

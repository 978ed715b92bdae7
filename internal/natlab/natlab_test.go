//go:build linux

package natlab_test

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"cairn/internal/natlab"
)

const (
	fileBytes = 20e6
	// largeBytes is more than any buffer or window on the way holds.
	largeBytes = 100e6
)

// randomFile makes a file of random bytes and returns its path and content.
func randomFile(t *testing.T, size int) (string, []byte) {
	t.Helper()
	data := make([]byte, size)
	rand.Read(data)
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path, data
}

// punched waits until the nodes reach each other without a relay, through a hole that at least one of them knows to have made: the
// other's plain dial may be what gets through it. It returns how long that took.
func punched(a, b *node) time.Duration {
	a.t.Helper()
	begin := time.Now()
	name := func(n *node) string { return filepath.Base(n.dir) }
	eventually(a.t, patience, name(a)+" and "+name(b)+" reach each other through a hole", func() bool {
		there, back := a.peers()[name(b)], b.peers()[name(a)]
		direct := func(p peer) bool { return p.Answers && (p.Path == "punched" || p.Path == "direct") }
		return direct(there) && direct(back) && (there.Path == "punched" || back.Path == "punched")
	})
	return time.Since(begin)
}

// TestPunched: two nodes behind separate routers reach each other directly, and no longer need who brought them together.
func TestPunched(t *testing.T) {
	t.Parallel()
	lab := natlab.New(t)
	public, address := found(t, lab.Public())
	ann := join(t, lab.Behind(natlab.Cone), "ann", address, "--no-storage")
	ben := join(t, lab.Behind(natlab.Cone), "ben", address)
	took := punched(ann, ben)
	t.Logf("punched after %v", took)

	path, data := randomFile(t, largeBytes)
	begin := time.Now()
	capability := strings.TrimSpace(string(ann.run("put", "-q", path)))
	t.Logf("stored at %.0f MB/s", largeBytes/1e6/time.Since(begin).Seconds())

	// The public node dies while the file comes back.
	get := ann.command("get", "-q", capability, "-o", "-")
	var stderr bytes.Buffer
	get.Stderr = &stderr
	out, err := get.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := get.Start(); err != nil {
		t.Fatal(err)
	}
	sum := sha256.New()
	if _, err := io.CopyN(sum, out, 1<<20); err != nil {
		t.Fatal(err)
	}
	public.kill()
	if _, err := io.Copy(sum, out); err != nil {
		t.Fatal(err)
	}
	if err := get.Wait(); err != nil {
		t.Fatalf("the transfer broke off with the public node: %v: %s", err, stderr.String())
	}
	if want := sha256.Sum256(data); !bytes.Equal(sum.Sum(nil), want[:]) {
		t.Error("what came back is another file")
	}
	if p := ann.peers()["ben"]; p.Path == "relayed" || !p.Answers {
		t.Errorf("without the public node: %+v", p)
	}
}

// TestPunchedQUIC: where no hole can be punched for TCP, one is for QUIC.
func TestPunchedQUIC(t *testing.T) {
	t.Parallel()
	lab := natlab.New(t)
	_, address := found(t, lab.Public())
	machineA, machineB := lab.Behind(natlab.Cone), lab.Behind(natlab.Cone)
	lab.DropTCP(machineA, machineB)
	ann := join(t, machineA, "ann", address, "--no-storage")
	ben := join(t, machineB, "ben", address)
	t.Logf("punched after %v", punched(ann, ben))
	if there, back := ann.peers()["ben"], ben.peers()["ann"]; there.Transport != "quic-v1" || back.Transport != "quic-v1" {
		t.Errorf("reached over %q and %q", there.Transport, back.Transport)
	}
	path, data := randomFile(t, fileBytes)
	capability := strings.TrimSpace(string(ann.run("put", "-q", path)))
	if !bytes.Equal(ann.run("get", "-q", capability, "-o", "-"), data) {
		t.Error("what came back is another file")
	}
}

// TestRelayed: where no hole can be punched, a member passes the bytes on, without the limits of public relays.
func TestRelayed(t *testing.T) {
	t.Parallel()
	lab := natlab.New(t)
	_, address := found(t, lab.Public())
	ann := join(t, lab.Behind(natlab.Symmetric), "ann", address, "--no-storage")
	ben := join(t, lab.Behind(natlab.Symmetric), "ben", address)
	took := ann.reaches("ben", "relayed", patience)
	t.Logf("relayed after %v", took)
	path, data := randomFile(t, largeBytes)
	begin := time.Now()
	capability := strings.TrimSpace(string(ann.run("put", "-q", path)))
	t.Logf("stored at %.0f MB/s", largeBytes/1e6/time.Since(begin).Seconds())
	if !bytes.Equal(ben.run("get", "-q", capability, "-o", "-"), data) || !bytes.Equal(ann.run("get", "-q", capability, "-o", "-"), data) {
		t.Error("what came back is another file")
	}
	if p := ann.peers()["ben"]; p.Path != "relayed" {
		t.Errorf("path %q, want relayed", p.Path)
	}
}

// TestInvitedThroughRelay: an introducer behind a router where no hole can be punched takes in a friend behind another one. The
// invitation leads through a member that is reachable.
func TestInvitedThroughRelay(t *testing.T) {
	t.Parallel()
	lab := natlab.New(t)
	public := makeNode(t, lab.Public(), "pub", "--no-storage")
	public.run("grid", "create", "lab", "--k", "1", "--happy", "1", "--n", "1")
	public.up()
	ann := join(t, lab.Behind(natlab.Symmetric), "ann", public.invites("--introducer"))
	ann.reaches("pub", "direct", patience)
	eventually(t, patience, "ann has a place at a relay", func() bool {
		out, err := ann.try("status", "--json")
		return err == nil && bytes.Contains(out, []byte("/p2p-circuit"))
	})
	begin := time.Now()
	ben := join(t, lab.Behind(natlab.Symmetric), "ben", ann.invites(), "--no-storage")
	t.Logf("joined and running after %v", time.Since(begin))
	ben.reaches("pub", "direct", patience)
	t.Logf("relayed after %v", ben.reaches("ann", "relayed", patience))
	path, data := randomFile(t, fileBytes)
	capability := strings.TrimSpace(string(ben.run("put", "-q", path)))
	if !bytes.Equal(ann.run("get", "-q", capability, "-o", "-"), data) || !bytes.Equal(ben.run("get", "-q", capability, "-o", "-"), data) {
		t.Error("what came back is another file")
	}
	if out := public.run("members"); !regexp.MustCompile(`(?m)^ben +member .* ann +20`).Match(out) {
		t.Errorf("the founder's members:\n%s", out)
	}
}

// invites makes an invitation and returns its text.
func (n *node) invites(args ...string) string {
	n.t.Helper()
	var made struct {
		Text string `json:"text"`
	}
	if err := json.Unmarshal(n.run(append([]string{"invite", "--json"}, args...)...), &made); err != nil || made.Text == "" {
		n.t.Fatalf("invitation %+v, %v", made, err)
	}
	return made.Text
}

//go:build linux

package natlab_test

import (
	"bytes"
	"strings"
	"syscall"
	"testing"
	"time"

	"cairn/internal/natlab"
)

// TestAddressesChange: a node's own address changes, and then that of a router. The others find them again, and a command
// that runs meanwhile waits for some seconds only.
func TestAddressesChange(t *testing.T) {
	t.Parallel()
	lab := natlab.New(t)
	public, address := found(t, lab.Public())
	ann := join(t, lab.Behind(natlab.Cone), "ann", address, "--no-storage")
	ben := join(t, lab.Public(), "ben", address)
	ann.reaches("ben", "direct", patience)
	path, data := randomFile(t, fileBytes)
	capability := strings.TrimSpace(string(ann.run("put", "-q", path)))

	before := ben.machine.IP4
	ben.machine.Move()
	begin := time.Now()
	eventually(t, patience, "the others know the new address", func() bool {
		a, p := ann.peers()["ben"], public.peers()["ben"]
		return at(a, ben.machine.IP4) && at(p, ben.machine.IP4) && !at(p, before) && a.Answers && p.Answers
	})
	t.Logf("a node's new address is known after %v", time.Since(begin))

	ann.machine.Move()
	begin = time.Now()
	eventually(t, patience, "a file can be read through the router's new address", func() bool {
		back, err := ann.try("get", "-q", capability, "-o", "-")
		return err == nil && bytes.Equal(back, data)
	})
	t.Logf("a file was read %v after the router's address changed", time.Since(begin))
	ann.reaches("pub", "direct", patience)
}

func at(p peer, ip string) bool {
	for _, a := range p.Addresses {
		if strings.HasPrefix(a, "/ip4/"+ip+"/") {
			return true
		}
	}
	return false
}

// TestSleep: a node behind a router is stopped, and its connections are gone when it goes on.
func TestSleep(t *testing.T) {
	t.Parallel()
	lab := natlab.New(t)
	public, address := found(t, lab.Public())
	ann := join(t, lab.Behind(natlab.Cone), "ann", address)
	public.reaches("ann", "direct", patience)
	ann.reaches("pub", "direct", patience)
	ann.signal(syscall.SIGSTOP)
	eventually(t, patience, "the stopped node is noticed", func() bool { return !public.peers()["ann"].Answers })
	ann.machine.Move()
	ann.signal(syscall.SIGCONT)
	begin := time.Now()
	ann.reaches("pub", "direct", patience)
	public.reaches("ann", "direct", patience)
	t.Logf("back after %v", time.Since(begin))
}

// TestIPv6: a machine that has no IPv4 reaches one that has both.
func TestIPv6(t *testing.T) {
	t.Parallel()
	lab := natlab.New(t)
	public, address := found(t, lab.Public())
	six := lab.Public()
	six.NoIPv4()
	ann := join(t, six, "ann", address)
	ann.reaches("pub", "direct", patience)
	public.reaches("ann", "direct", patience)
	path, data := randomFile(t, fileBytes)
	capability := strings.TrimSpace(string(public.run("put", "-q", path)))
	if !bytes.Equal(public.run("get", "-q", capability, "-o", "-"), data) {
		t.Error("what came back is another file")
	}
}

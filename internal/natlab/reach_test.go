//go:build linux

package natlab_test

import (
	"regexp"
	"testing"
	"time"

	"cairn/internal/natlab"
)

// TestReach: nodes find out how others reach them, and a member says whether it gets through.
func TestReach(t *testing.T) {
	t.Parallel()
	lab := natlab.New(t)
	public, address := found(t, lab.Public())
	second := join(t, lab.Public(), "second", address)
	// Both go to the two public nodes by themselves: a node learns how others see it on the connections that it made.
	both := second.address()
	ann := join(t, lab.Behind(natlab.Cone), "ann", both)
	ben := join(t, lab.Behind(natlab.Symmetric), "ben", both)
	ann.reaches("second", "direct", patience)
	ben.reaches("second", "direct", patience)
	second.reaches("pub", "direct", patience)
	public.says(`ok +reachable +from outside`, `ok +seen by .*got through to [^,]*/tcp/`, `relays for members`)
	ann.says(`warn +reachable +not from outside`, `ok +NAT +all peers see the same address`, `ok +relays +[12] member`)
	ben.says(`warn +NAT +symmetric`, `ok +relays +[12] member`)
}

// doctorEvery is the pause between two questions to the doctor, which asks members to dial back: they do so twelve times a minute.
const doctorEvery = 5 * time.Second

// says waits until the node's doctor says all of it.
func (n *node) says(lines ...string) {
	n.t.Helper()
	n.saysEvery(doctorEvery, lines...)
}

func (n *node) saysEvery(pause time.Duration, lines ...string) {
	n.t.Helper()
	var out []byte
	defer func() {
		if n.t.Failed() {
			n.t.Logf("%s", out)
		}
	}()
	eventuallyEvery(n.t, pause, patience, "the doctor's finding", func() bool {
		out, _ = n.try("doctor")
		for _, line := range lines {
			if !regexp.MustCompile(line).Match(out) {
				return false
			}
		}
		return true
	})
}

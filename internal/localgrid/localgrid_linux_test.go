package localgrid_test

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"cairn/internal/waittest"
)

// TestChildDiesWithParent kills a process that has started a child, and waits for the child's end.
func TestChildDiesWithParent(t *testing.T) {
	g := open(t, "parent")
	parent, err := g.Start(t.Context(), "child ")
	if err != nil {
		t.Fatal(err)
	}
	_, number, _ := strings.Cut(parent.Log(), "child ")
	child, err := strconv.Atoi(strings.TrimSpace(number))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(child, 0); err != nil {
		t.Fatalf("the child is not running: %v", err)
	}
	parent.Kill()
	waittest.Eventually(t, "the child ended with its parent", func() bool { return gone(child) })
}

// gone reports whether a process has ended; one that waits to be collected counts.
func gone(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || strings.Contains(string(stat), ") Z ")
}

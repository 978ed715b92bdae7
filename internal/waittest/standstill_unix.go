//go:build unix

package waittest

import (
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"
)

// StandStill has this process stand still for a while, as one does whose machine is paused.
func StandStill(t testing.TB, d time.Duration) {
	t.Helper()
	script := fmt.Sprintf("kill -STOP %d; sleep %g; kill -CONT %[1]d", os.Getpid(), d.Seconds())
	if out, err := exec.Command("sh", "-c", script).CombinedOutput(); err != nil {
		t.Fatalf("stand still: %v: %s", err, out)
	}
}

//go:build unix

package account

import (
	"testing"
	"time"

	"cairn/internal/waittest"
)

// TestStandstill: a keyring that could not be heard because this process stood still has its whole time again.
func TestStandstill(t *testing.T) {
	text, err := inTime(5*time.Second, func() (string, error) {
		waittest.StandStill(t, 7*time.Second)
		return "in time", nil
	})
	if text != "in time" || err != nil {
		t.Errorf("%q, %v", text, err)
	}
}

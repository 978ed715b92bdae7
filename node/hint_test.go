package node

import (
	"strings"
	"testing"

	"cairn/share"
)

// TestHintOfRollback: an older version is offered where there is one.
func TestHintOfRollback(t *testing.T) {
	if hint := hintFor("home:", &share.RollbackError{Found: 3, Seen: 4}); !strings.Contains(hint, "cairn restore home: VERSION") {
		t.Errorf("with an older version: %s", hint)
	}
	if hint := hintFor("home:", &share.RollbackError{Seen: 4}); strings.Contains(hint, "VERSION") || !strings.Contains(hint, "cairn peers") ||
		!strings.Contains(hint, "cairn restore --empty home:") {
		t.Errorf("with none: %s", hint)
	}
}

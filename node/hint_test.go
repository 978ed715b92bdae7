package node

import (
	"fmt"
	"strings"
	"testing"

	"cairn/grid/mutable"
	"cairn/share"
)

// TestHintOfNewKeys: who may still have the new keys is told how to get them, and everybody whom to ask.
func TestHintOfNewKeys(t *testing.T) {
	hint := hintFor("home:trip", fmt.Errorf("%w: %w", share.ErrDenied, mutable.ErrEnded))
	if !strings.HasPrefix(hint, "\"cairn shares\" fetches the new keys") || !strings.Contains(hint, "ask its owner") {
		t.Error(hint)
	}
}

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

// TestTypable: a path in advice can be typed, and where it began with a secret the person fills that in.
func TestTypable(t *testing.T) {
	for path, want := range map[string]string{
		"home:docs": "home:docs", "[cairn:dir:…2agg]": "CAPABILITY", "[cairn:dir:…2agg]/a/b]": "CAPABILITY/a/b]", "home:[cairn:x]": "home:[cairn:x]", "home:]": "home:]",
	} {
		if got := typable(path); got != want {
			t.Errorf("%s becomes %s, want %s", path, got, want)
		}
	}
}

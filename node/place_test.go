package node

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"cairn/grid/mutable"
	"cairn/share/head"
)

// TestCollisionHint: who lost a collision is told the command that brings the text back, where it was kept, and the truth where not.
func TestCollisionHint(t *testing.T) {
	collision := &mutable.CollisionError{Ours: head.Head{Sequence: 4, Digest: [32]byte{0x70, 0xdc, 0xc5, 0xb7}}, Theirs: head.Head{Sequence: 4}}
	err := fmt.Errorf("write: %w", collision)
	if hint := hintFor("home:notes.txt", err); !strings.Contains(hint, "was not stored") || strings.Contains(hint, "restore") {
		t.Errorf("not kept: %s", hint)
	}
	collision.Kept = time.Date(2026, time.November, 29, 12, 0, 0, 0, time.Local)
	for _, part := range []string{"2026-11-29", `"cairn restore home:notes.txt 4@70dcc5b7"`} {
		if hint := hintFor("home:notes.txt", err); !strings.Contains(hint, part) {
			t.Errorf("kept: %s, without %s", hint, part)
		}
	}
}

package main

import (
	"strings"
	"testing"
)

// TestTableNotes: a note below a row makes no column wider, and the rows below it stay in line with those above.
func TestTableNotes(t *testing.T) {
	var b strings.Builder
	table := newTable(&b, "NAME", "ROLE", "SINCE")
	table.row("bert", "revoked", "today")
	table.note("revoked on 22 November 2026: moved away")
	table.row("caroline", "member", "now")
	table.end()
	want := `NAME      ROLE     SINCE
bert      revoked  today
          revoked on 22 November 2026: moved away
caroline  member   now
`
	if b.String() != want {
		t.Errorf("printed\n%swant\n%s", b.String(), want)
	}
}

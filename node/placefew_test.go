package node

import (
	"errors"
	"strings"
	"testing"

	"cairn/grid/tree"
	"cairn/node/control"
	"cairn/share"
)

// TestFormerVersions advises an older version only where every server said that it has none of the newest one: otherwise it is away, and not lost.
func TestFormerVersions(t *testing.T) {
	p := place{target: control.Target{Alias: control.HomeAlias}}
	for answered, want := range map[int]bool{0: false, 2: false, 3: true} {
		few := &share.NotEnoughSharesError{Asked: 3, Answered: answered, Causes: []error{errors.New("refused")}}
		told := control.ErrorOf(p.explain(&Node{}, &tree.PathError{Path: "docs", Err: few}))
		if got := strings.Contains(told.Hint, "cairn restore"); got != want {
			t.Errorf("%d of 3 answered: next: %s", answered, told.Hint)
		}
	}
}

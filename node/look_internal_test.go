package node

import (
	"testing"

	"cairn/node/control"
)

// TestOutgrew: the root directory is looked at when more servers are wanted than the last time, and as many answer.
func TestOutgrew(t *testing.T) {
	three := &control.Health{Wanted: 3}
	for _, test := range []struct {
		last           *control.Health
		wanted, answer int
		want           bool
	}{
		{nil, 1, 1, false}, {nil, 2, 1, false}, {nil, 2, 2, true}, {three, 3, 9, false}, {three, 4, 3, false}, {three, 4, 5, true},
	} {
		if got := outgrew(test.last, test.wanted, test.answer); got != test.want {
			t.Errorf("%+v: %v", test, got)
		}
	}
}

package control_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"cairn/grid/health"
	"cairn/node/control"
	"cairn/share"
)

// TestErrorOfNoPlace: a repair for which servers have no room says what to do, and why each server took nothing.
func TestErrorOfNoPlace(t *testing.T) {
	for _, test := range []struct {
		cause error
		code  control.Code
	}{{share.ErrNoSpace, control.CodeNotEnough}, {share.ErrReadOnly, control.CodeRefused}} {
		err := fmt.Errorf("repair x: %w", &health.NoPlaceError{Missing: 2, Total: 4, Causes: []error{errors.New("server ann: full"), test.cause}})
		e := control.ErrorOf(err)
		if e.Code != test.code || e.Message != "repair x: 2 of 4 shares have no place" || len(e.Causes) != 2 || e.Causes[0] != "server ann: full" {
			t.Errorf("%+v", e)
		}
		if !strings.Contains(e.Hint, "can be read") || !strings.Contains(e.Hint, "invite more nodes") {
			t.Errorf("hint %q", e.Hint)
		}
	}
}

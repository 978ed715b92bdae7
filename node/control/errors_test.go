package control_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"cairn/node/control"
	"cairn/share"
)

// TestLongNamesAreShort: what nodes call a thing does not fill the screen, and what a person calls one is told whole.
func TestLongNamesAreShort(t *testing.T) {
	name := "k51" + strings.Repeat("q", 55) + "m73r"
	index := "bafy" + strings.Repeat("a", 51) + "lala"
	few := &share.NotEnoughSharesError{Needed: 2, Found: 1, Asked: 3, Answered: 1, Causes: []error{fmt.Errorf("read %s: unavailable", name)}}
	err := fmt.Errorf("home:%s/%s: read %s: find the shares of %s: %w", index, name, name, index, few)
	e := control.ErrorOf(err)
	want := fmt.Sprintf("home:%s/%s: read k51q…m73r: find the shares of bafy…lala: ", index, name)
	if !strings.HasPrefix(e.Message, want) || len(e.Causes) != 1 || e.Causes[0] != "read k51q…m73r: unavailable" {
		t.Errorf("%q, %q", e.Message, e.Causes)
	}
	if e := control.ErrorOf(errors.New(name)); e.Message != "k51q…m73r" {
		t.Errorf("%q", e.Message)
	}
}

package main

import (
	"errors"
	"fmt"
	"io"
	"testing"
)

var errFull = errors.New("no space left")

// A fullDisk takes some bytes and no more.
type fullDisk struct{ free int }

func (d *fullDisk) Write(p []byte) (int, error) {
	if len(p) > d.free {
		return 0, errFull
	}
	d.free -= len(p)
	return len(p), nil
}

// A list that could not be written is not a success.
func TestResultOnFullDisk(t *testing.T) {
	for _, asJSON := range []bool{false, true} {
		a := &app{json: asJSON, streams: streams{out: &fullDisk{free: 2}}}
		err := a.result([]string{"one", "two"}, func(w io.Writer) {
			fmt.Fprintln(w, "one")
			fmt.Fprint(w, ".")
		})
		if !errors.Is(err, errFull) {
			t.Errorf("JSON %v: the error is %v", asJSON, err)
		}
	}
}

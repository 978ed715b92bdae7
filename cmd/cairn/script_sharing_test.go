package main

import (
	"encoding/json"
	"regexp"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"cairn/internal/waittest"
	"cairn/node/control"
)

// scriptEventually is eventually PROGRAM ARGS...: the program ends well, if need be when it is run again.
func scriptEventually(ts *testscript.TestScript, _ bool, args []string) {
	var err error
	for end := time.Now().Add(waittest.Patience); time.Now().Before(end); {
		if err = ts.Exec(args[0], args[1:]...); err == nil {
			return
		}
		<-time.After(100 * time.Millisecond)
	}
	ts.Fatalf("it never ended well: %v", err)
}

// scriptOnce is once PATTERN: standard error has one match of it.
func scriptOnce(ts *testscript.TestScript, _ bool, args []string) {
	if found := regexp.MustCompile(args[0]).FindAllString(ts.ReadFile("stderr"), -1); len(found) != 1 {
		ts.Fatalf("%d matches of %q, want 1", len(found), args[0])
	}
}

// scriptNote is note VARIABLE NAME: the id of what is offered under a name on standard output becomes the variable.
func scriptNote(ts *testscript.TestScript, _ bool, args []string) {
	var list control.Shares
	ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &list))
	for _, s := range list.Received {
		if s.Name == args[1] {
			ts.Setenv(args[0], s.ID)
			return
		}
	}
	ts.Fatalf("nothing is offered as %q", args[1])
}

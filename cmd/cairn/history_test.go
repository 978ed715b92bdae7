package main

import (
	"testing"

	"cairn/node/control"
)

// Of two versions with one number each can be named.
func TestVersionText(t *testing.T) {
	versions := []control.Version{{Version: 5, Record: "fea86a4c"}, {Version: 4, Record: "70dcc5b7"}, {Version: 4, Record: "0263feba"}}
	for i, want := range []string{"5", "4@70dcc5b7", "4@0263feba"} {
		text := versionText(versions, i)
		if text != want {
			t.Errorf("version %d is called %q, want %q", i, text, want)
		}
		if version, _, ok := control.ParseVersion(text); !ok || version != versions[i].Version {
			t.Errorf("%q is read as version %d, %v", text, version, ok)
		}
	}
	for _, text := range []string{"", "0", "4@", "@70dcc5b7", "-1", "x", "0@70dcc5b7", "./4", "1e3"} {
		if _, _, ok := control.ParseVersion(text); ok {
			t.Errorf("%q is read as a version", text)
		}
	}
}

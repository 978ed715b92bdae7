package main

import (
	"strings"
	"testing"

	"cairn/node/control"
)

// TestStatusText shows who uses the disk, and what the person uses of others'.
func TestStatusText(t *testing.T) {
	s := control.Status{Nickname: "attic", Storage: control.Storage{Enabled: true, Owners: []control.Owner{
		{ID: "12D3KooWabcdefgh", Own: true, Used: 5e9, Limit: -1},
		{ID: "account", Nickname: "bob", Used: 2e9, Limit: 4e9},
		{ID: "12D3KooWzzzzzzzz", Used: 7e6, Limit: 0},
	}}}
	for range 9 {
		s.Storage.Owners = append(s.Storage.Owners, control.Owner{ID: "another", Used: 1})
	}
	for want, usage := range map[string]control.Usage{
		"you use 12 GB of 40 GB on 9 of the 11 servers of others, 2 of which did not tell\n": {Used: 12e9, Limit: 40e9, Servers: 9, Asked: 11, Answered: 9},
		"you use 0 B on 0 of the 3 servers of others\n":                                      {Limit: -1, Asked: 3, Answered: 3},
		"no other node stores yet\n":                                                         {},
	} {
		s.Usage = usage
		var b strings.Builder
		printStatus(&b, s)
		for _, want := range []string{
			"usage    " + want, "         for yourself 5.0 GB\n", "         for bob 2.0 GB of 4.0 GB\n",
			"         for zzzzzzzz 7.0 MB of 0 B\n", "         and 4 more\n",
		} {
			if !strings.Contains(b.String(), want) {
				t.Errorf("no %q in\n%s", want, b.String())
			}
		}
	}
}

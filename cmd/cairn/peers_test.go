package main

import (
	"strings"
	"testing"
	"time"

	"cairn/node/control"
)

// TestSilentPeersAreTold: a peer whose connection stands and that does not answer is told from one that is well, and from one that is gone.
func TestSilentPeersAreTold(t *testing.T) {
	long := time.Now().Add(-80 * time.Second)
	var b strings.Builder
	printPeers(&b, []control.Peer{
		{ID: "1", Nickname: "well", Path: "direct", Transport: "tcp", Answers: true, LastSeen: long},
		{ID: "2", Nickname: "hung", Path: "direct", Transport: "tcp", LastSeen: long},
		{ID: "3", Nickname: "gone", LastSeen: long},
		{ID: "4", Nickname: "new", Path: "direct", Transport: "tcp"},
		{ID: "5", Nickname: "refused", Path: "direct", Transport: "tcp", Problem: "it has another version", LastSeen: long},
	})
	var told []string
	name := ""
	for line := range strings.Lines(b.String()) {
		if text := strings.TrimSpace(line); line[0] == ' ' {
			told = append(told, name+" "+text)
		} else {
			name, _, _ = strings.Cut(text, " ")
		}
	}
	want := []string{
		"hung not used: it is connected and does not answer; it is asleep, stopped, cut off or overloaded",
		"new not used: it is connected and has not answered yet",
		"refused not used: it has another version",
	}
	if strings.Join(told, "\n") != strings.Join(want, "\n") {
		t.Errorf("printed\n%s", b.String())
	}
}

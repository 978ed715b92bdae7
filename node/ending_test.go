package node_test

import (
	"strings"
	"testing"
	"time"

	"cairn/node"
	"cairn/node/control"
	"cairn/share"
)

// endedAt reports whether the notice comes with a listing of a directory.
func endedAt(t *testing.T, c *control.Client, target string) bool {
	t.Helper()
	ended := false
	if err := c.List(t.Context(), control.ListRequest{Target: target, Self: true}, func(e control.Entry) error {
		ended = ended || e.Ended
		return nil
	}); err != nil {
		t.Logf("%s: %v", target, err)
	}
	return ended
}

// patiently asks until the answer is yes, for as long as a machine may stand still.
func patiently(t *testing.T, what string, ask func() bool) {
	t.Helper()
	for limit := time.Now().Add(4 * time.Minute); !ask(); {
		if time.Now().After(limit) {
			t.Fatalf("it never happened that %s", what)
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-t.Context().Done():
			t.Fatal(t.Context().Err())
		}
	}
}

// TestEndedLater: former copies that could not be ended, because servers were away from the moment on in which the new ones were in place,
// are ended when they are back, by a node that was started anew meanwhile; and nothing else is.
func TestEndedLater(t *testing.T) {
	settings := testConfig()
	settings.Network.Listen = []string{fixedPort(t)}
	founder := newDir(t)
	if _, err := founder.Found(node.Founding{Name: "river friends", Nickname: "anna", Params: share.Params{Needed: 1, Happy: 2, Total: 3}}); err != nil {
		t.Fatal(err)
	}
	atFounder, stopAnna := startWith(t, founder, settings)
	anna := client(t, founder)
	member := invited(t, anna, control.InviteRequest{Nickname: "bert"}, "")
	_, stopBert := start(t, member)
	bert := &friend{Client: client(t, member), t: t}
	met := func(c *control.Client) func() bool { return func() bool { return storing(t, c) == 1 } }
	patiently(t, "they have met", met(anna))
	patiently(t, "they have met", met(bert.Client))
	bert.received() // publishes what notes to bert are sealed to
	mkdir := func(target string) {
		if _, err := anna.Mkdir(t.Context(), control.MkdirRequest{Target: target, Parents: true}); err != nil {
			t.Fatal(err)
		}
	}
	mkdir("home:work/plans/deep")
	var offer control.Share
	patiently(t, "it is shared", func() (shared bool) {
		var err error
		offer, err = anna.Share(t.Context(), control.ShareRequest{Target: "home:work/plans", To: "bert"})
		return err == nil
	})
	bert.accepts(offer.ID, "home:theirs")

	away := false
	if _, err := node.Unshare(t.Context(), atFounder, control.UnshareRequest{Target: "home:work/plans", To: "bert"}, func(p control.Progress) {
		if strings.HasPrefix(p.Note, "ending") && !away {
			away = true
			stopBert()
		}
	}); err == nil || !away {
		t.Fatalf("a server is away (%v), and it says %v", away, err)
	}
	stopAnna()

	atFounder, _ = startWith(t, founder, settings)
	start(t, member)
	anna, bert.Client = client(t, founder), client(t, member)
	patiently(t, "they have met again", met(anna))
	patiently(t, "they have met again", met(bert.Client))
	if left := list(t, anna, "home:"+node.EndingDirectory); len(strings.Fields(left)) != 2 {
		t.Errorf("to be ended are %q, want both directories", left)
	}
	patiently(t, "the former reader is told", func() bool {
		if err := node.Settle(t.Context(), atFounder); err != nil {
			t.Log(err)
		}
		return endedAt(t, bert.Client, "home:theirs") && endedAt(t, bert.Client, "home:theirs/deep")
	})
	patiently(t, "nothing is left", func() bool {
		if err := node.Settle(t.Context(), atFounder); err != nil {
			t.Log(err)
		}
		return list(t, anna, "home:"+node.EndingDirectory) == ""
	})
	mkdir("home:work/plans/new")
	if endedAt(t, anna, "home:work/plans") || list(t, anna, "home:work/plans") != "deep new" {
		t.Error("the owner's own has ended")
	}
}

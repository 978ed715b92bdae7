package node

import (
	"testing"

	"cairn/introducer"
	"cairn/node/control"
)

func TestWatchTellsOfMembers(t *testing.T) {
	ann := introducer.Member{Account: introducer.AccountKey{1}, Nickname: "ann", State: introducer.StateMember, Devices: make([]introducer.DeviceInfo, 1)}
	bob := introducer.Member{Account: introducer.AccountKey{2}, Nickname: "bob", State: introducer.StateMember}
	gone, more := ann, ann
	gone.State, gone.Reason, gone.Devices = introducer.StateRevoked, "revoked by bob", nil
	more.Devices = make([]introducer.DeviceInfo, 2)
	w := &watch{}
	for _, step := range []struct {
		members []introducer.Member
		want    string
	}{
		{[]introducer.Member{ann}, ""},
		{[]introducer.Member{ann}, ""},
		{[]introducer.Member{ann, bob}, "bob is a member now"},
		{[]introducer.Member{more, bob}, "ann has another node"},
		{[]introducer.Member{ann, bob}, "ann has a node less"},
		{[]introducer.Member{gone, bob}, "ann is a member no longer"},
		{[]introducer.Member{gone, bob}, ""},
		{[]introducer.Member{ann, bob}, "ann is a member now"},
	} {
		news := w.look(step.members)
		got := ""
		for _, e := range news {
			got += e.Text
			if e.Kind != control.KindMembership {
				t.Errorf("kind %s", e.Kind)
			}
		}
		if got != step.want {
			t.Errorf("%q, want %q", got, step.want)
		}
	}
}

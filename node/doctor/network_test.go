package doctor_test

import (
	"strings"
	"testing"
	"time"

	"cairn/node/doctor"
)

// expect checks the state of a check, what it says, and that a fix is there exactly when it is needed.
func expect(t *testing.T, what string, got doctor.Check, state doctor.State, seen ...string) {
	t.Helper()
	if got.State != state {
		t.Errorf("%s: %+v, want %s", what, got, state)
	}
	if (got.Fix == "") != (got.State == doctor.OK) {
		t.Errorf("%s: %+v: a fix is to be there exactly when all is not well", what, got)
	}
	if got.Name == "" || got.Seen == "" || strings.ContainsAny(got.Seen+got.Fix, "\n\t") {
		t.Errorf("%s: %+v: want one line of text", what, got)
	}
	for _, want := range seen {
		if !strings.Contains(got.Seen, want) {
			t.Errorf("%s: %q does not mention %q", what, got.Seen, want)
		}
	}
}

func TestClocks(t *testing.T) {
	ahead := func(all ...time.Duration) doctor.Check {
		var clocks []doctor.Clock
		for i, d := range all {
			clocks = append(clocks, doctor.Clock{Peer: string(rune('a' + i)), Ahead: d, Error: 50 * time.Millisecond})
		}
		return doctor.Clocks(clocks)
	}
	expect(t, "nobody to ask", ahead(), doctor.OK, "not compared")
	expect(t, "equal", ahead(time.Millisecond, -time.Millisecond, 0), doctor.OK, "agrees", "3 peers")
	expect(t, "one peer", ahead(3*time.Second), doctor.OK, "3s behind", "1 peer")
	expect(t, "a minute behind", ahead(time.Minute, time.Minute, 0), doctor.Warn, "1m0s behind")
	expect(t, "a day ahead", ahead(-24*time.Hour), doctor.Fail, "24h0m0s ahead")
	expect(t, "years behind", ahead(9000*time.Hour, 9000*time.Hour), doctor.Fail, "375 days behind")
	expect(t, "somebody else's", ahead(0, 0, time.Hour), doctor.Warn, "agrees", "others are off: c")
}

func TestPeers(t *testing.T) {
	expect(t, "the first node", doctor.Peers(doctor.PeerCount{}), doctor.Warn, "none is known")
	expect(t, "all well", doctor.Peers(doctor.PeerCount{Answer: 3, Away: 1, Relayed: 1}), doctor.OK, "3 of 4 answer", "1 through a relay")
	expect(t, "offline", doctor.Peers(doctor.PeerCount{Away: 4, Failure: "bob: no route to host"}), doctor.Fail, "0 of 4", "no route to host")
	expect(t, "a hung one", doctor.Peers(doctor.PeerCount{Answer: 1, Silent: 1}), doctor.Warn, "1 are connected and do not")
	expect(t, "a stranger", doctor.Peers(doctor.PeerCount{Answer: 1, Refused: []string{"eve: another grid"}}), doctor.Warn, "eve: another grid")
	expect(t, "revoked", doctor.Peers(doctor.PeerCount{Refused: []string{"a: x", "b: x", "c: x", "d: x"}}), doctor.Fail, "a: x, b: x, c: x and 1 more")
}

func TestVersions(t *testing.T) {
	const own = "cairn/0.2.1+abc"
	expect(t, "alone", doctor.Versions(own, nil), doctor.OK, "0.2.1+abc")
	expect(t, "the same", doctor.Versions(own, []string{"cairn/0.2.1+def", "cairn/0.2.1"}), doctor.OK, "like the peers")
	expect(t, "newer", doctor.Versions(own, []string{"cairn/0.2.1", "cairn/0.3.0", "cairn/0.2.10"}), doctor.Warn, "a peer has 0.3.0")
	expect(t, "older", doctor.Versions(own, []string{"cairn/0.1.9"}), doctor.OK, "an older one")
	expect(t, "odd ones", doctor.Versions(own, []string{"other/9.9.9", "cairn/x.y.z", "", "cairn/1.2"}), doctor.OK)
}

func TestTable(t *testing.T) {
	expect(t, "alone", doctor.Table(0, 0), doctor.OK, "0 members")
	expect(t, "empty among others", doctor.Table(0, 3), doctor.Warn, "while 3 answer")
	expect(t, "well", doctor.Table(1, 3), doctor.OK, "1 member in")
}

func TestFailed(t *testing.T) {
	if doctor.Failed([]doctor.Check{{State: doctor.OK}, {State: doctor.Warn}}) || !doctor.Failed([]doctor.Check{{State: doctor.OK}, {State: doctor.Fail}}) {
		t.Error("a diagnosis fails exactly when one of its checks does")
	}
}

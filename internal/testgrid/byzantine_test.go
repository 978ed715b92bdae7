package testgrid_test

import (
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"cairn/grid"
	"cairn/grid/health"
	"cairn/internal/hostile"
	"cairn/internal/testgrid"
	"cairn/internal/waittest"
	"cairn/p2p"
	"cairn/share"
	"cairn/share/capability"
)

const (
	byzantineNodes = 11
	hostileNodes   = 3 // the last ones
)

// A byzantine is a grid in which some nodes misbehave on demand. Each node gets one share of each file.
type byzantine struct {
	*testgrid.Grid
	peers []*hostile.Peer
}

func newByzantine(t *testing.T) *byzantine {
	b := &byzantine{}
	b.Grid = testgrid.New(t, testgrid.Config{
		Nodes: byzantineNodes, Params: share.Params{Needed: 3, Happy: 7, Total: byzantineNodes},
		Serve: func(i int, h *p2p.Host, store share.Store) io.Closer {
			if i < byzantineNodes-hostileNodes {
				return nil
			}
			peer := hostile.Handle(h, hostile.Honest, store)
			b.peers = append(b.peers, peer)
			return peer
		},
	})
	return b
}

func (b *byzantine) become(behaviour hostile.Behaviour) {
	for _, peer := range b.peers {
		peer.Become(behaviour)
	}
}

func (b *byzantine) isHostile(id share.ServerID) bool {
	return slices.ContainsFunc(b.Nodes[byzantineNodes-hostileNodes:], func(n *testgrid.Node) bool { return n.ID() == id })
}

// What `check --verify` says of a server.
const (
	good        = "good"        // it holds a good share
	corrupt     = "corrupt"     // it is blamed for a share that does not verify
	undelivered = "undelivered" // it claims a share and does not give it
	unanswered  = "unanswered"  // it did not answer
	silent      = "silent"      // it says that it has nothing
)

var expected = map[hostile.Behaviour]string{
	hostile.Lies:      corrupt,
	hostile.WrongRoot: corrupt,
	hostile.Truncates: corrupt,
	hostile.Breaks:    unanswered,
	hostile.Stalls:    unanswered,
	hostile.Mute:      unanswered,
	hostile.Drips:     unanswered,
	hostile.Forgets:   good, // it forgets what it is sent from now on
	hostile.Claims:    corrupt,
	hostile.Refuses:   good, // it is honest to readers
	hostile.Garbage:   unanswered,
	hostile.Floods:    unanswered,

	// These concern heads only.
	hostile.Repeats: good, hostile.ForgesHeads: good, hostile.Conflicts: good,
}

// How long things may take while three of eleven servers misbehave.
const (
	readWithin  = 20 * time.Second
	storeWithin = 30 * time.Second
)

// TestByzantine stores files on honest servers, lets three of them misbehave in each way there is, and says what a
// reader, a writer and a checker get then, and who is blamed.
func TestByzantine(t *testing.T) {
	b := newByzantine(t)
	for _, behaviour := range hostile.All() {
		t.Run(behaviour.String(), func(t *testing.T) {
			b.become(hostile.Honest)
			data := random(1_500_000)
			c, _ := put(t, b.Nodes[0], data)
			b.become(behaviour)

			took := waittest.Took(func() { mustGet(t, b.Nodes[1], c, data) })
			if took > readWithin {
				t.Errorf("reading took %v", took)
			}
			b.checkBlame(t, c, expected[behaviour])
			b.storeDespite(t)
		})
	}
}

// checkBlame verifies a file and compares who is blamed: the hostile peers as expected, nobody else.
func (b *byzantine) checkBlame(t *testing.T, c capability.Capability, want string) {
	t.Helper()
	report, err := b.Nodes[2].Grid.Check(t.Context(), c, true, nil)
	if err != nil {
		t.Fatalf("check: %v", err)
	}
	if !report.Recoverable || report.SharesGood < byzantineNodes-hostileNodes {
		t.Errorf("%d good shares were found", report.SharesGood)
	}
	for _, n := range b.Nodes {
		want := want
		if !b.isHostile(n.ID()) {
			want = good
		}
		if got := verdict(report, n.ID()); got != want {
			t.Errorf("%s is %s, want %s: %+v", n.Name, got, want, report)
		}
	}
}

// verdict returns what a report says of a server. A server that is blamed and yet counted is none of the constants.
func verdict(report health.Report, id share.ServerID) string {
	var all []string
	if len(report.Holders[id]) > 0 {
		all = append(all, good)
	}
	if blamed(report.Corrupt, id) {
		all = append(all, corrupt)
	}
	if blamed(report.Undelivered, id) {
		all = append(all, undelivered)
	}
	if slices.ContainsFunc(report.Unanswered, func(u health.Unanswered) bool { return u.Peer == id }) {
		all = append(all, unanswered)
	}
	if len(all) == 0 {
		return silent
	}
	return strings.Join(all, " and ")
}

func blamed(faults []health.Fault, id share.ServerID) bool {
	return slices.ContainsFunc(faults, func(f health.Fault) bool { return f.Peer == id })
}

// storeDespite stores a file while peers misbehave, and reads it back.
func (b *byzantine) storeDespite(t *testing.T) {
	t.Helper()
	data := random(600_000)
	var result grid.PutResult
	took := waittest.Took(func() {
		var err error
		if result, err = tryPut(t.Context(), b.Nodes[3], data); err != nil {
			t.Fatalf("put: %v", err)
		}
	})
	if took > storeWithin {
		t.Errorf("storing took %v", took)
	}
	mustGet(t, b.Nodes[4], result.Capability, data)
}

// TestForgottenSharesAreRepaired lets three servers say yes to an upload and forget it.
func TestForgottenSharesAreRepaired(t *testing.T) {
	b := newByzantine(t)
	b.become(hostile.Forgets)
	data := random(400_000)
	c, _ := put(t, b.Nodes[0], data)
	report, err := b.Nodes[1].Grid.Check(t.Context(), c, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	if report.Healthy || report.SharesGood > byzantineNodes-hostileNodes {
		t.Errorf("the forgotten shares were not missed: %+v", report)
	}
	b.become(hostile.Honest)
	if _, err := b.Nodes[1].Grid.Repair(t.Context(), c, false, nil); err != nil {
		t.Fatalf("repair: %v", err)
	}
	report, err = b.Nodes[1].Grid.Check(t.Context(), c, true, nil)
	if err != nil || !report.Healthy {
		t.Errorf("after the repair: %+v, %v", report, err)
	}
}

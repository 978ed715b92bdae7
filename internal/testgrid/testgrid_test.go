package testgrid_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"testing"
	"time"

	"go.uber.org/goleak"

	"cairn/grid"
	"cairn/internal/testgrid"
	"cairn/internal/waittest"
	"cairn/share"
	"cairn/share/capability"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/ipfs/go-log/v2/writer.(*MirrorWriter).logRoutine"))
}

var tenShares = share.Params{Needed: 3, Happy: 7, Total: 10}

func random(n int) []byte {
	data := make([]byte, n)
	rand.Read(data)
	return data
}

// put stores data through a node with the options of a plain `cairn put`.
func put(t *testing.T, n *testgrid.Node, data []byte) (capability.Capability, grid.PutResult) {
	t.Helper()
	result, err := tryPut(t.Context(), n, data)
	if err != nil {
		t.Fatalf("put through %s: %v", n.Name, err)
	}
	return result.Capability, result
}

func tryPut(ctx context.Context, n *testgrid.Node, data []byte) (grid.PutResult, error) {
	digest := share.Digest(sha256.Sum256(data))
	return n.Grid.Put(ctx, bytes.NewReader(data), grid.PutOptions{Size: int64(len(data)), Digest: &digest})
}

func get(ctx context.Context, n *testgrid.Node, c capability.Capability) ([]byte, error) {
	r, err := n.Grid.Open(ctx, c)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	var out bytes.Buffer
	_, err = r.WriteTo(ctx, &out, 0, r.Size())
	return out.Bytes(), err
}

// mustGet reads a file through a node and compares it.
func mustGet(t *testing.T, n *testgrid.Node, c capability.Capability, want []byte) {
	t.Helper()
	got, err := get(t.Context(), n, c)
	if err != nil {
		t.Fatalf("get through %s: %v", n.Name, err)
	}
	if !bytes.Equal(got, want) {
		t.Fatalf("get through %s: %d bytes that are not the %d stored", n.Name, len(got), len(want))
	}
}

// holders returns the running nodes that hold shares of a file, those of the gateway excepted.
func holders(t *testing.T, g *testgrid.Grid, gateway *testgrid.Node, c capability.Capability) []*testgrid.Node {
	t.Helper()
	report, err := gateway.Grid.Check(t.Context(), c, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	var out []*testgrid.Node
	for _, n := range g.Running() {
		if n != gateway && len(report.Holders[n.ID()]) > 0 {
			out = append(out, n)
		}
	}
	return out
}

// TestTwentyNodes stores files of several sizes, loses as many nodes as the encoding survives, reads, repairs, verifies.
func TestTwentyNodes(t *testing.T) {
	g := testgrid.New(t, testgrid.Config{Nodes: 20, Params: tenShares})
	writer := g.Nodes[0]
	type stored struct {
		data []byte
		cap  capability.Capability
	}
	var files []stored
	for _, size := range []int{0, 1, 55, 56, 1000, 128<<10*3 - 1, 128 << 10 * 3, 3<<20 + 17} {
		data := random(size)
		c, result := put(t, writer, data)
		if size > capability.MaxLiteral && result.Happiness < 7 {
			t.Errorf("%d bytes: happiness %d", size, result.Happiness)
		}
		files = append(files, stored{data, c})
	}
	for _, f := range files {
		mustGet(t, g.Nodes[19], f.cap, f.data)
	}

	last := files[len(files)-1]
	held := holders(t, g, writer, last.cap)
	if len(held) < 9 {
		t.Fatalf("shares are on %d other nodes only", len(held))
	}
	for _, n := range held[:7] {
		n.Leave()
	}
	reader := held[8]
	mustGet(t, reader, last.cap, last.data)

	verify, err := last.cap.Verify()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := reader.Grid.Repair(t.Context(), verify, false, nil); err != nil {
		t.Fatalf("repair: %v", err)
	}
	report, err := reader.Grid.Check(t.Context(), verify, true, nil)
	if err != nil {
		t.Fatal(err)
	}
	if !report.Healthy || !report.Verified || report.SharesGood != 10 || report.Happiness != 10 || len(report.Corrupt) > 0 {
		t.Errorf("after the repair: %+v", report)
	}
	mustGet(t, writer, last.cap, last.data)
}

func TestTooManyLost(t *testing.T) {
	g := testgrid.New(t, testgrid.Config{Nodes: 5, Params: share.Params{Needed: 3, Happy: 5, Total: 5}})
	data := random(500_000)
	c, _ := put(t, g.Nodes[0], data)
	for _, n := range g.Nodes[2:] {
		n.Leave()
	}
	_, err := get(t.Context(), g.Nodes[1], c)
	few, ok := errors.AsType[*share.NotEnoughSharesError](err)
	if !ok || few.Needed != 3 || few.Found != 2 {
		t.Errorf("error %v, want that 2 of 3 shares were found", err)
	}
}

func TestTooFewServers(t *testing.T) {
	g := testgrid.New(t, testgrid.Config{Nodes: 4, Params: tenShares})
	_, err := tryPut(t.Context(), g.Nodes[0], random(100_000))
	unhappy, ok := errors.AsType[*share.UnhappyError](err)
	if !ok || unhappy.Happy != 7 || unhappy.Happiness > 4 || unhappy.Servers != 4 {
		t.Errorf("error %v, want that 4 servers are fewer than 7", err)
	}
	// Once there are enough, the same command succeeds.
	g.Add(4)
	data := random(100_000)
	c, _ := put(t, g.Nodes[0], data)
	mustGet(t, g.Nodes[7], c, data)
}

// TestHungPeer makes a node hang that stays connected and goes on greeting, and stores and reads around it.
func TestHungPeer(t *testing.T) {
	g := testgrid.New(t, testgrid.Config{Nodes: 10, Params: tenShares})
	data := random(2 << 20)
	c, _ := put(t, g.Nodes[0], data)
	held := holders(t, g, g.Nodes[0], c)
	held[0].Store.Pause()
	held[1].Store.Pause()

	took := waittest.Took(func() { mustGet(t, held[2], c, data) })
	if took > 10*time.Second {
		t.Errorf("reading around two hung nodes took %v", took)
	}
	other := random(2 << 20)
	var stored capability.Capability
	var result grid.PutResult
	took = waittest.Took(func() { stored, result = put(t, g.Nodes[0], other) })
	if took > 30*time.Second {
		t.Errorf("storing around two hung nodes took %v", took)
	}
	if result.Happiness < tenShares.Happy {
		t.Errorf("happiness %d", result.Happiness)
	}
	mustGet(t, held[2], stored, other)
}

// TestStoredTwiceStoredOnce stores the same file again: nothing is sent.
func TestStoredTwiceStoredOnce(t *testing.T) {
	g := testgrid.New(t, testgrid.Config{Nodes: 5})
	data := random(1 << 20)
	first, _ := put(t, g.Nodes[0], data)
	again, result := put(t, g.Nodes[0], data)
	if first.Text() != again.Text() {
		t.Error("the same file has two capabilities")
	}
	if result.Resumed < int64(len(data)) {
		t.Errorf("only %d bytes were found to be there already", result.Resumed)
	}
	if other, _ := put(t, g.Nodes[1], data); other.Text() == first.Text() {
		t.Error("two accounts got the same key for the same file")
	}
}

// TestInterruptedPutContinues cancels an upload and repeats it.
func TestInterruptedPutContinues(t *testing.T) {
	g := testgrid.New(t, testgrid.Config{Nodes: 5})
	data := random(8 << 20)
	digest := share.Digest(sha256.Sum256(data))
	ctx, cancel := context.WithCancel(t.Context())
	source := &cutting{Reader: bytes.NewReader(data), after: 5 << 20, cut: cancel}
	_, err := g.Nodes[0].Grid.Put(ctx, source, grid.PutOptions{Size: int64(len(data)), Digest: &digest})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("the interrupted upload: %v", err)
	}
	c, result := put(t, g.Nodes[0], data)
	if result.Resumed == 0 {
		t.Error("nothing was left of the interrupted upload")
	}
	mustGet(t, g.Nodes[4], c, data)
}

// A cutting reader calls cut once it has given so many bytes.
type cutting struct {
	*bytes.Reader
	after int
	cut   func()
}

func (c *cutting) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p[:min(len(p), 64<<10)])
	if c.after -= n; c.after <= 0 {
		c.cut()
	}
	return n, err
}

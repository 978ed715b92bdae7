package health_test

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"cairn/grid/health"
	"cairn/share"
	"cairn/share/storetest"
)

func check(t *testing.T, g *grid, index share.StorageIndex) health.Report {
	t.Helper()
	r, err := health.Check(t.Context(), g.servers, index)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestCheckHealthy(t *testing.T) { synctest.Test(t, testCheckHealthy) }

func testCheckHealthy(t *testing.T) {
	g, f := newGrid(12), storetest.NewFile(t, 1, 3, 10, blockSize, 100)
	g.spread(t, f, first(10)...)
	r := check(t, g, f.Index)
	if !r.Healthy || !r.Recoverable || r.Verified || r.Err() != nil {
		t.Errorf("got %+v", r)
	}
	if r.SharesGood != 10 || r.SharesNeeded != 3 || r.SharesTotal != 10 || r.Happiness != 10 || r.Size != 100 || r.Asked != 12 {
		t.Errorf("got %+v", r)
	}
	if len(r.Holders) != 10 || !slices.Equal(r.Holders[id(4)], health.Numbers{4}) {
		t.Errorf("holders %v", r.Holders)
	}
}

func TestCheckCountsDistinctShares(t *testing.T) { synctest.Test(t, testCheckCountsDistinctShares) }

func testCheckCountsDistinctShares(t *testing.T) {
	g, f := newGrid(4), storetest.NewFile(t, 1, 3, 10, blockSize, 100)
	g.put(t, f, 0, 0, 1, 2, 3)
	g.put(t, f, 1, 0, 1)
	g.put(t, f, 2, 0)
	r := check(t, g, f.Index)
	if r.Healthy || !r.Recoverable || r.SharesGood != 4 || r.Happiness != 3 {
		t.Errorf("got %+v", r)
	}
	if want := (health.Numbers{4, 5, 6, 7, 8, 9}); !slices.Equal(r.Missing(), want) {
		t.Errorf("missing %v, want %v", r.Missing(), want)
	}
}

func TestCheckNotFound(t *testing.T) { synctest.Test(t, testCheckNotFound) }

func testCheckNotFound(t *testing.T) {
	g, f := newGrid(4), storetest.NewFile(t, 1, 3, 10, blockSize, 100)
	r := check(t, g, f.Index)
	if r.Recoverable || r.Healthy || !errors.Is(r.Err(), share.ErrNotFound) {
		t.Errorf("got %+v, %v", r, r.Err())
	}
	if !strings.Contains(r.Err().Error(), r.Capability) {
		t.Errorf("the error does not name the file: %v", r.Err())
	}
}

func TestCheckNotEnough(t *testing.T) { synctest.Test(t, testCheckNotEnough) }

func testCheckNotEnough(t *testing.T) {
	g, f := newGrid(10), storetest.NewFile(t, 1, 3, 10, blockSize, 100)
	g.spread(t, f, 3, 7)
	g.peers[9].numbers = func(context.Context, []share.Held) ([]share.Held, error) { return nil, share.ErrUnavailable }
	r := check(t, g, f.Index)
	want := &share.NotEnoughSharesError{Index: f.Index, Found: 2, Needed: 3, Answered: 9, Asked: 10}
	got, ok := errors.AsType[*share.NotEnoughSharesError](r.Err())
	if !ok {
		t.Fatalf("got %v", r.Err())
	}
	if len(got.Causes) != 1 {
		t.Errorf("causes %v", got.Causes)
	}
	got.Causes = nil
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// Without any answer nobody knows how many shares are needed; the error is not that the file does not exist.
func TestCheckNobodyAnswers(t *testing.T) { synctest.Test(t, testCheckNobodyAnswers) }

func testCheckNobodyAnswers(t *testing.T) {
	g, f := newGrid(2), storetest.NewFile(t, 1, 3, 10, blockSize, 100)
	for _, p := range g.peers {
		p.numbers = func(context.Context, []share.Held) ([]share.Held, error) { return nil, share.ErrUnavailable }
	}
	r := check(t, g, f.Index)
	if _, ok := errors.AsType[*share.NotEnoughSharesError](r.Err()); !ok || len(r.Unanswered) != 2 {
		t.Errorf("got %v, %+v", r.Err(), r)
	}
	if r, err := health.Check(t.Context(), nil, f.Index); err != nil || r.Err() == nil || errors.Is(r.Err(), share.ErrNotFound) {
		t.Errorf("without servers: %v, %v", r.Err(), err)
	}
}

func TestCheckBlamesWrongRoots(t *testing.T) { synctest.Test(t, testCheckBlamesWrongRoots) }

func testCheckBlamesWrongRoots(t *testing.T) {
	g, f := newGrid(5), storetest.NewFile(t, 1, 3, 10, blockSize, 100)
	other := storetest.NewFile(t, 2, 3, 10, blockSize, 100)
	g.spread(t, f, 0, 1, 2, 3)
	lies := [][]byte{other.Root, nil, {1, 2, 3}, append(slices.Clone(f.Root), 0)}
	for i, lie := range lies {
		g.peers[i].numbers = func(_ context.Context, held []share.Held) ([]share.Held, error) {
			held[0].Root = lie
			return held, nil
		}
	}
	r := check(t, g, f.Index)
	if r.SharesGood != 0 || len(r.Corrupt) != 4 || len(r.Holders) != 0 {
		t.Errorf("got %+v", r)
	}
	for i, fault := range r.Corrupt {
		if fault.Peer != id(i) || fault.Number != share.Number(i) || !strings.Contains(fault.Reason, "root") {
			t.Errorf("got %+v", fault)
		}
	}
	if _, ok := errors.AsType[*share.NotEnoughSharesError](r.Err()); !ok {
		t.Errorf("got %v", r.Err())
	}
}

func TestCheckOddAnswers(t *testing.T) { synctest.Test(t, testCheckOddAnswers) }

func testCheckOddAnswers(t *testing.T) {
	g, f := newGrid(6), storetest.NewFile(t, 1, 3, 10, blockSize, 100)
	g.spread(t, f, first(6)...)
	answers := []func(held *[]share.Held){
		func(held *[]share.Held) { *held = nil },
		func(held *[]share.Held) { *held = append(*held, (*held)[0]) },
		func(held *[]share.Held) { (*held)[0].Index[3]++ },
		func(held *[]share.Held) { (*held)[0].Numbers = []share.Number{3, 1, 3, 3} },
		func(held *[]share.Held) { (*held)[0].Numbers = []share.Number{10, 4, 255} },
	}
	for i, change := range answers {
		g.peers[i].numbers = func(_ context.Context, held []share.Held) ([]share.Held, error) {
			change(&held)
			return held, nil
		}
	}
	r := check(t, g, f.Index)
	if len(r.Unanswered) != 3 || r.Unanswered[2].Peer != id(2) {
		t.Errorf("unanswered %v", r.Unanswered)
	}
	want := map[share.ServerID]health.Numbers{id(3): {1, 3}, id(4): {4}, id(5): {5}}
	if !maps.EqualFunc(r.Holders, want, slices.Equal) {
		t.Errorf("holders %v, want %v", r.Holders, want)
	}
	if len(r.Corrupt) != 2 || r.Corrupt[0].Number != 10 || r.Corrupt[1].Number != 255 {
		t.Errorf("corrupt %v", r.Corrupt)
	}
}

// A storage index may stand for bytes that are no root: that is not the fault of who gives them.
func TestCheckOfSomethingElse(t *testing.T) { synctest.Test(t, testCheckOfSomethingElse) }

func testCheckOfSomethingElse(t *testing.T) {
	g := newGrid(1)
	block := []byte("not a root")
	g.peers[0].numbers = func(_ context.Context, held []share.Held) ([]share.Held, error) {
		held[0].Numbers, held[0].Root = []share.Number{0}, block
		return held, nil
	}
	if _, err := health.Check(t.Context(), g.servers, share.IndexOf(block)); !errors.Is(err, share.ErrCorrupt) {
		t.Errorf("got %v", err)
	}
}

func TestCheckHungServers(t *testing.T) {
	f := storetest.NewFile(t, 1, 3, 10, blockSize, 100)
	synctest.Test(t, func(t *testing.T) {
		g := newGrid(300)
		g.spread(t, f, first(10)...)
		for _, p := range g.peers[8:200] {
			p.numbers = func(ctx context.Context, _ []share.Held) ([]share.Held, error) { return nil, hang(ctx) }
		}
		start := time.Now()
		r := check(t, g, f.Index)
		if took := time.Since(start); took > 4*time.Second {
			t.Errorf("it took %v", took)
		}
		if len(r.Unanswered) != 192 || r.SharesGood != 8 || r.Unanswered[0].Reason != "no answer in time" {
			t.Errorf("got %+v", r)
		}
	})
}

func TestCheckIsCancelled(t *testing.T) { synctest.Test(t, testCheckIsCancelled) }

func testCheckIsCancelled(t *testing.T) {
	g, f := newGrid(3), storetest.NewFile(t, 1, 3, 10, blockSize, 100)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	g.peers[1].numbers = func(ctx context.Context, _ []share.Held) ([]share.Held, error) {
		cancel()
		return nil, hang(ctx)
	}
	if _, err := health.Check(ctx, g.servers, f.Index); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestCheckCountsAServerOnce(t *testing.T) { synctest.Test(t, testCheckCountsAServerOnce) }

func testCheckCountsAServerOnce(t *testing.T) {
	g, f := newGrid(3), storetest.NewFile(t, 1, 3, 10, blockSize, 100)
	g.spread(t, f, 0, 1, 2)
	g.servers = append(g.servers, g.servers[0])
	if r := check(t, g, f.Index); r.Asked != 3 || r.Happiness != 3 {
		t.Errorf("got %+v", r)
	}
}

// The names of the fields are a promise to programs.
func TestReportJSON(t *testing.T) {
	g, f := newGrid(4), storetest.NewFile(t, 1, 1, 4, blockSize, 100)
	g.put(t, f, 0, 0, 2)
	g.put(t, f, 1, 1)
	g.put(t, f, 2, 3)
	g.peers[2].flip(5)
	g.peers[3].numbers = func(context.Context, []share.Held) ([]share.Held, error) { return nil, share.ErrUnavailable }
	r, err := health.Verify(t.Context(), g.servers, f.Index, nil)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	want := `{
  "capability": "cairn:file-verify:` + f.Index.String() + `",
  "healthy": false,
  "recoverable": true,
  "verified": true,
  "shares_good": 3,
  "shares_needed": 1,
  "shares_total": 4,
  "size": 100,
  "happiness": 2,
  "corrupt": [
    {
      "number": 3,
      "peer": "server-02",
      "reason": "segment 0: corrupt: block does not match its digest"
    }
  ],
  "undelivered": [],
  "holders": {
    "server-00": [
      0,
      2
    ],
    "server-01": [
      1
    ]
  },
  "unanswered": [
    {
      "peer": "server-03",
      "reason": "unavailable"
    }
  ],
  "asked": 4
}`
	if string(text) != want {
		t.Errorf("got %s\nwant %s", text, want)
	}
	var back health.Report
	if err := json.Unmarshal(text, &back); err != nil || !slices.Equal(back.Holders[id(0)], r.Holders[id(0)]) {
		t.Errorf("read back %+v, %v", back, err)
	}
	if err := json.Unmarshal([]byte(`{"holders":{"a":[256]}}`), &back); err == nil {
		t.Error("share number 256 was accepted")
	}
	empty, err := json.Marshal(check(t, newGrid(1), f.Index))
	if err != nil || strings.Contains(string(empty), "null") {
		t.Errorf("a list is null: %s, %v", empty, err)
	}
}

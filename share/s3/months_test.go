package s3_test

import (
	"math"
	"testing"
	"time"

	"cairn/share/s3"
	"cairn/share/storetest"
)

// TestMonths counts over a restart, and what it costs.
func TestMonths(t *testing.T) {
	k := newKit(t, nil)
	c := k.config(t)
	store := open(t, c)
	fill(t, store).want(t, store)
	first := store.Stats()
	store.Close()
	store = open(t, c)
	second := store.Stats()
	f := storetest.NewFile(t, 70, 1, 2, 64<<10, 300<<10)
	if err := f.Put(t.Context(), store, 0, "alice"); err != nil {
		t.Fatal(err)
	}
	months, err := store.Months()
	if err != nil || len(months) == 0 {
		t.Fatalf("%v, %v", months, err)
	}
	m := months[0]
	if want := first.Put.Requests + second.Put.Requests + 1; len(months) == 1 && m.Put.Requests != want {
		t.Errorf("%d requests that write, want %d", m.Put.Requests, want)
	}
	if len(months) == 1 && (m.Get.Received < first.Get.Received || m.Put.Sent < first.Put.Sent+300<<10 || m.Stored != store.Stats().Stored) {
		t.Errorf("%+v after %+v", m, first)
	}
	if again, err := store.Months(); err != nil || again[0].Put != m.Put {
		t.Errorf("asked twice: %+v, %v", again[0], err)
	}
}

// TestCost computes what a month costs.
func TestCost(t *testing.T) {
	at := func(day, hour int) time.Time { return time.Date(2026, time.April, day, hour, 0, 0, 0, time.UTC) }
	m := s3.Month{
		Year: 2026, Month: time.April, Begun: at(1, 0), Until: at(11, 0),
		Put: s3.Count{Requests: 4000}, List: s3.Count{Requests: 1000}, Get: s3.Count{Requests: 18_000, Received: 5_000_000_000},
		Head: s3.Count{Requests: 2000}, Delete: s3.Count{Requests: 99_000}, Kept: 30_000_000_000, Stored: 60_000_000_000,
	}
	p := s3.Prices{Writes: 0.01, Reads: 0.001, Kept: 0.03, Out: 0.1}
	for what, test := range map[string]struct {
		got  s3.Cost
		want s3.Cost
	}{
		"so far":        {m.Cost(p), s3.Cost{Requests: 0.05 + 0.02, Kept: 0.3, Out: 0.5}},
		"to be":         {m.Expected(p), s3.Cost{Requests: 3 * 0.07, Kept: 0.3 + 1.2, Out: 1.5}},
		"without price": {m.Expected(s3.Prices{}), s3.Cost{}},
	} {
		if math.Abs(test.got.Requests-test.want.Requests)+math.Abs(test.got.Kept-test.want.Kept)+math.Abs(test.got.Out-test.want.Out) > 1e-9 {
			t.Errorf("%s: %+v, want %+v", what, test.got, test.want)
		}
	}
	m.Until = at(1, 3) // three hours tell nothing
	if c := m.Expected(p); c.Out != 0.5 || math.Abs(c.Kept-(0.9*3/720+1.8*717/720)) > 1e-9 {
		t.Errorf("after three hours: %+v", c)
	}
}

// TestMonthEnds counts over the end of months, a clock that goes back and one that was wrong for years.
func TestMonthEnds(t *testing.T) {
	var x s3.MonthCounter
	add := func(at string, requests, stored int64) {
		t.Helper()
		when, err := time.Parse(time.DateTime, at)
		if err != nil {
			t.Fatal(err)
		}
		x.Add(requests, stored, when)
	}
	add("2026-01-30 12:00:00", 10, 0)
	add("2026-01-31 12:00:00", 10, 2e9)
	add("2026-02-01 12:00:00", 5, 2e9)
	add("2026-01-31 23:00:00", 7, 2e9)
	add("2026-02-02 12:00:00", 1, 4e9)
	months := x.Months()
	if len(months) != 2 || months[0].Put.Requests != 20 || months[1].Put.Requests != 13 {
		t.Fatalf("%+v", months)
	}
	if kept := months[0].Kept; kept < 0.99e9 || kept > 1.01e9 {
		t.Errorf("January kept %d, want 1 GB on average", kept)
	}
	if kept := months[1].Kept; kept < 2.99e9 || kept > 3.01e9 {
		t.Errorf("February kept %d, want 3 GB on average", kept)
	}
	for year := range 3 {
		for month := range 12 {
			x.Add(1, 0, time.Date(2027+year, time.Month(month+1), 1, 0, 0, 0, 0, time.UTC))
		}
	}
	if n := len(x.Months()); n != 13 {
		t.Errorf("%d months are kept", n)
	}
}

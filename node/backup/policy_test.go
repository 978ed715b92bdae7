package backup_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"cairn/node/backup"
)

func day(text string) time.Time {
	t, err := time.Parse("2006-01-02 15:04", text)
	if err != nil {
		panic(err)
	}
	return t
}

func TestPolicy(t *testing.T) {
	snapshots := []time.Time{ // newest last: the order must not matter
		day("2024-12-30 12:00"), day("2025-01-02 12:00"), // one ISO week in two years
		day("2026-01-31 23:59"), day("2026-02-01 00:01"),
		day("2026-02-03 08:00"), day("2026-02-03 08:30"), day("2026-02-03 20:00"),
	}
	for _, c := range []struct {
		policy backup.Policy
		want   string // indexes kept, with reasons
	}{
		{backup.Policy{Last: 2}, "5:last 6:last"},
		{backup.Policy{Last: 100}, "0:last 1:last 2:last 3:last 4:last 5:last 6:last"},
		{backup.Policy{Hourly: 2}, "5:hourly 6:hourly"},
		{backup.Policy{Daily: 3}, "2:daily 3:daily 6:daily"},
		{backup.Policy{Weekly: 3}, "1:weekly 3:weekly 6:weekly"},
		{backup.Policy{Monthly: 2}, "2:monthly 6:monthly"},
		{backup.Policy{Yearly: 9}, "0:yearly 1:yearly 6:yearly"},
		{backup.Policy{Within: 12 * time.Hour}, "5:within 6:within"},
		{backup.Policy{Within: 12*time.Hour + 1}, "4:within 5:within 6:within"},
		{backup.Policy{Last: 1, Monthly: 1, Yearly: 2}, "1:yearly 6:last,monthly,yearly"},
	} {
		var got []string
		for i, reasons := range c.policy.Keep(snapshots) {
			if len(reasons) > 0 {
				got = append(got, fmt.Sprintf("%d:%s", i, strings.Join(reasons, ",")))
			}
		}
		if text := strings.Join(got, " "); text != c.want {
			t.Errorf("%+v keeps %s, want %s", c.policy, text, c.want)
		}
	}
}

func TestPolicyCheck(t *testing.T) {
	if err := (backup.Policy{}).Check(); !errors.Is(err, backup.ErrKeepsNothing) {
		t.Errorf("no rule: %v", err)
	}
	if err := (backup.Policy{Last: 1, Daily: -1}).Check(); err == nil {
		t.Error("a negative rule was taken")
	}
	if err := (backup.Policy{Within: 1}).Check(); err != nil {
		t.Error(err)
	}
}

// TestPolicyKeeps has what holds for every policy: the newest snapshot stays, and pruning again removes nothing more.
func TestPolicyKeeps(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 5)
		p := backup.Policy{
			Last: n.Draw(t, "last"), Hourly: n.Draw(t, "hourly"), Daily: n.Draw(t, "daily"), Weekly: n.Draw(t, "weekly"),
			Monthly: n.Draw(t, "monthly"), Yearly: n.Draw(t, "yearly"),
			Within: time.Duration(n.Draw(t, "within")) * 24 * time.Hour,
		}
		if p.Check() != nil {
			return
		}
		hours := rapid.SliceOfN(rapid.IntRange(0, 3*365*24), 1, 60).Draw(t, "hours")
		times := make([]time.Time, len(hours))
		for i, h := range hours {
			times[i] = day("2023-06-01 00:00").Add(time.Duration(h) * time.Hour)
		}
		kept := prune(p, times)
		if newest := slices.MaxFunc(times, time.Time.Compare); !slices.ContainsFunc(kept, newest.Equal) {
			t.Fatalf("%+v removes the newest snapshot", p)
		}
		if again := prune(p, kept); len(again) != len(kept) {
			t.Fatalf("%+v keeps %d of %d, and then %d", p, len(kept), len(times), len(again))
		}
	})
}

func prune(p backup.Policy, times []time.Time) []time.Time {
	var kept []time.Time
	for i, reasons := range p.Keep(times) {
		if len(reasons) > 0 {
			kept = append(kept, times[i])
		}
	}
	return kept
}

// Package backup keeps dated snapshots of folders of this machine in the grid.
package backup

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// A Policy says which snapshots stay when old ones are pruned: those that any of its rules keeps. A rule such as Daily
// keeps the newest snapshot of each of the last so many days that have one; days without a snapshot do not count.
type Policy struct {
	Last                                   int
	Hourly, Daily, Weekly, Monthly, Yearly int
	// Within keeps everything that is younger than the newest snapshot by less than this.
	Within time.Duration
}

// ErrKeepsNothing says that a policy has no rule, so that pruning by it would remove everything.
var ErrKeepsNothing = errors.New("the policy keeps nothing: name at least one rule, such as --keep-last 7")

// Check returns ErrKeepsNothing for a policy without rules, and an error for a negative one.
func (p Policy) Check() error {
	numbers := []int{p.Last, p.Hourly, p.Daily, p.Weekly, p.Monthly, p.Yearly}
	if p.Within < 0 || slices.Min(numbers) < 0 {
		return errors.New("a rule cannot be negative")
	}
	if p.Within == 0 && slices.Max(numbers) == 0 {
		return ErrKeepsNothing
	}
	return nil
}

// A period tells two snapshots apart that a rule sees as different: those of two days, for example.
type period struct {
	name  string
	count int
	of    func(time.Time) string
}

func (p Policy) periods() []period {
	return []period{
		{"last", p.Last, func(t time.Time) string { return t.Format(time.RFC3339Nano) }},
		{"hourly", p.Hourly, func(t time.Time) string { return t.Format("2006-01-02 15 -0700") }},
		{"daily", p.Daily, func(t time.Time) string { return t.Format("2006-01-02") }},
		{"weekly", p.Weekly, func(t time.Time) string { y, w := t.ISOWeek(); return fmt.Sprintf("%d-%d", y, w) }},
		{"monthly", p.Monthly, func(t time.Time) string { return t.Format("2006-01") }},
		{"yearly", p.Yearly, func(t time.Time) string { return t.Format("2006") }},
	}
}

// Keep says for each snapshot, given by its time, why it stays: the names of the rules that keep it, none for one that goes.
// Days, weeks and so on are those of the times' own locations, weeks begin on Monday. The order of the times does not matter.
func (p Policy) Keep(times []time.Time) [][]string {
	order := make([]int, len(times))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return times[b].Compare(times[a]) })
	reasons := make([][]string, len(times))
	for _, rule := range p.periods() {
		left, before := rule.count, ""
		for _, i := range order {
			if left == 0 {
				break
			}
			if of := rule.of(times[i]); of != before || rule.name == "last" {
				reasons[i] = append(reasons[i], rule.name)
				before = of
				left--
			}
		}
	}
	for _, i := range order {
		if p.Within > 0 && times[order[0]].Sub(times[i]) < p.Within {
			reasons[i] = append(reasons[i], "within")
		}
	}
	return reasons
}

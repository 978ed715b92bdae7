package backup_test

import (
	"fmt"
	"strings"
	"testing"
	"time"
	_ "time/tzdata" // the test goes by the rules of a place, whatever the machine knows

	"cairn/node/backup"
)

// TestPolicyInZones: days, weeks and months are those of the place where somebody prunes, also where a day has 23 or 25 hours.
func TestPolicyInZones(t *testing.T) {
	for _, c := range []struct {
		zone   string
		policy backup.Policy
		times  string // UTC
		want   string // indexes kept
	}{
		// One evening in UTC is two days in Berlin, and one in New York.
		{"UTC", backup.Policy{Daily: 9}, "2026-07-01 20:00, 2026-07-01 21:59, 2026-07-01 22:00", "2"},
		{"Europe/Berlin", backup.Policy{Daily: 9}, "2026-07-01 20:00, 2026-07-01 21:59, 2026-07-01 22:00", "1 2"},
		{"America/New_York", backup.Policy{Daily: 9}, "2026-07-01 20:00, 2026-07-01 21:59, 2026-07-01 22:00", "2"},
		{"Pacific/Kiritimati", backup.Policy{Monthly: 9}, "2026-01-31 09:59, 2026-01-31 10:00", "0 1"},
		{"UTC", backup.Policy{Monthly: 9}, "2026-01-31 09:59, 2026-01-31 10:00", "1"},
		// Berlin's clocks go from 3:00 to 2:00 on 25 October 2026, 01:00 UTC: that day has 25 hours, and two of them are called 2.
		{"Europe/Berlin", backup.Policy{Hourly: 99}, "2026-10-25 00:10, 2026-10-25 00:50, 2026-10-25 01:10, 2026-10-25 01:50, 2026-10-25 02:10", "1 3 4"},
		{"Europe/Berlin", backup.Policy{Daily: 99}, "2026-10-24 21:59, 2026-10-24 22:00, 2026-10-25 22:59, 2026-10-25 23:00", "0 2 3"},
		// From 2:00 to 3:00 on 29 March 2026, 01:00 UTC: 23 hours.
		{"Europe/Berlin", backup.Policy{Hourly: 99}, "2026-03-29 00:30, 2026-03-29 00:59, 2026-03-29 01:00", "1 2"},
		{"Europe/Berlin", backup.Policy{Daily: 99}, "2026-03-28 22:59, 2026-03-28 23:00, 2026-03-29 21:59, 2026-03-29 22:00", "0 2 3"},
		// The week in which clocks change ends on Sunday midnight of the place.
		{"Europe/Berlin", backup.Policy{Weekly: 99}, "2026-10-18 22:00, 2026-10-25 22:59, 2026-10-25 23:00", "1 2"},
		{"America/New_York", backup.Policy{Weekly: 99}, "2026-10-26 03:59, 2026-10-26 04:00", "0 1"},
		{"America/New_York", backup.Policy{Yearly: 2}, "2026-01-01 04:59, 2026-01-01 05:00, 2026-06-01 00:00", "0 2"},
		// Within counts hours, not days of a calendar.
		{"Europe/Berlin", backup.Policy{Within: 24 * time.Hour}, "2026-10-24 22:30, 2026-10-24 22:31, 2026-10-25 22:30", "1 2"},
	} {
		place, err := time.LoadLocation(c.zone)
		if err != nil {
			t.Fatal(err)
		}
		var times []time.Time
		for text := range strings.SplitSeq(c.times, ", ") {
			times = append(times, day(text).In(place))
		}
		var got []string
		for i, reasons := range c.policy.Keep(times) {
			if len(reasons) > 0 {
				got = append(got, fmt.Sprint(i))
			}
		}
		if text := strings.Join(got, " "); text != c.want {
			t.Errorf("in %s %+v keeps %s of %s, want %s", c.zone, c.policy, text, c.times, c.want)
		}
	}
}

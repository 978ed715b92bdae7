package config

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
)

// A Size is a number of bytes that is written as people do: 10GB, 1.5GiB, 4096.
type Size int64

// ParseSize reads a size. GB is 1000 to the third, GiB is 1024 to the third.
func ParseSize(text string) (Size, error) {
	n, err := humanize.ParseBytes(strings.TrimSpace(text))
	if err != nil || n > math.MaxInt64 {
		return 0, fmt.Errorf("%q is not a size: want a number with a unit, such as 10GB or 1.5GiB", text)
	}
	return Size(n), nil
}

var units = []struct {
	name  string
	bytes int64
}{
	{"PiB", 1 << 50},
	{"PB", 1e15},
	{"TiB", 1 << 40},
	{"TB", 1e12},
	{"GiB", 1 << 30},
	{"GB", 1e9},
	{"MiB", 1 << 20},
	{"MB", 1e6},
	{"KiB", 1 << 10},
	{"kB", 1e3},
}

// String returns the size exactly, in the largest unit that divides it.
func (s Size) String() string {
	for _, u := range units {
		if s != 0 && int64(s)%u.bytes == 0 {
			return strconv.FormatInt(int64(s)/u.bytes, 10) + u.name
		}
	}
	return strconv.FormatInt(int64(s), 10)
}

// MarshalText returns what String does.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads what ParseSize does.
func (s *Size) UnmarshalText(text []byte) error {
	var err error
	*s, err = ParseSize(string(text))
	return err
}

// A Duration is a time that is written as people do: 14d, 36h, 1d12h.
type Duration time.Duration

// String returns the duration with its whole days in front.
func (d Duration) String() string {
	const day = Duration(24 * time.Hour)
	days, rest := d/day, time.Duration(d%day)
	switch {
	case days == 0:
		return rest.String()
	case rest == 0:
		return fmt.Sprintf("%dd", days)
	}
	return fmt.Sprintf("%dd%s", days, rest)
}

// MarshalText returns what String does.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads what ParseDuration does.
func (d *Duration) UnmarshalText(text []byte) error {
	parsed, err := ParseDuration(string(text))
	*d = Duration(parsed)
	return err
}

// maxDays bounds durations.
const maxDays = 1<<16 - 1

// hours is what time.ParseDuration takes without a sign, of any length.
var hours = regexp.MustCompile(`^(([0-9]+\.?[0-9]*|\.[0-9]+)(h|m|s|ms|us|µs|ns))+$`)

// ParseDuration reads a duration as Go writes it, with days allowed in front: 36h, 30d, 1d12h.
func ParseDuration(text string) (time.Duration, error) {
	rest := strings.TrimSpace(text)
	wrong := fmt.Errorf("%q is not a duration: want such as 36h, 30d or 1d12h", text)
	long := fmt.Errorf("%q is too long: want %dd at most", text, maxDays)
	var total time.Duration
	if days, after, ok := strings.Cut(rest, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 64)
		if errors.Is(err, strconv.ErrRange) || err == nil && n > maxDays {
			return 0, long
		}
		if err != nil {
			return 0, wrong
		}
		total, rest = time.Duration(n)*24*time.Hour, after
		if rest == "" {
			return total, nil
		}
	}
	d, err := time.ParseDuration(rest)
	switch {
	case err == nil && d > maxDays*24*time.Hour-total, err != nil && hours.MatchString(rest):
		return 0, long
	case err != nil || d < 0:
		return 0, wrong
	}
	return total + d, nil
}

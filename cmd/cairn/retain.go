package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"cairn/node/config"
	"cairn/node/control"
	"cairn/share"
)

// A retainFlags says which past versions of something are kept.
type retainFlags struct {
	versions int
	age      string
}

func (f *retainFlags) addFlags(flags *pflag.FlagSet) {
	flags.IntVar(&f.versions, "keep-versions", 0, "keep the newest `N` versions, this one included")
	flags.StringVar(&f.age, "keep-for", "", "keep a version for a `TIME` such as 30d after it was replaced")
}

// retention returns what the flags ask for, zero where nothing is.
func (f *retainFlags) retention(flags *pflag.FlagSet) (r control.Retention, err error) {
	full := share.DefaultRetention
	if flags.Changed("keep-versions") {
		full.Versions, r.Versions = f.versions, f.versions
		if err := full.Check(); err != nil {
			return r, usagef("--keep-versions: %w", err)
		}
	}
	if flags.Changed("keep-for") {
		if full.Age, err = config.ParseDuration(f.age); err == nil {
			err = full.Check()
		}
		if err != nil {
			return r, usagef("--keep-for: %w", err)
		}
		r.Seconds = int64(full.Age / time.Second)
	}
	return r, nil
}

// retentionText says which past versions are kept.
func retentionText(r control.Retention) string {
	age := config.Duration(time.Duration(r.Seconds) * time.Second).String()
	if strings.HasSuffix(age, "m0s") {
		age = strings.TrimSuffix(age, "0s")
	}
	if strings.HasSuffix(age, "h0m") {
		age = strings.TrimSuffix(age, "0m")
	}
	if r.Versions == 1 {
		return fmt.Sprintf("a version is kept for %s after it was replaced", age)
	}
	return fmt.Sprintf("the newest %d versions are kept, and others for %s after they were replaced", r.Versions, age)
}

// keptText says how long a past version is kept.
func keptText(v control.Version) string {
	until := v.KeptUntil.Local().Format("2006-01-02 15:04")
	newer := "until one more is written"
	if v.KeptNewer > 1 {
		newer = fmt.Sprintf("until %d more are written", v.KeptNewer)
	}
	switch {
	case v.Current && v.Ended:
		return "the last one: new keys were given"
	case v.Current:
		return "current"
	case v.Refused:
		return "refused, kept here"
	case v.KeptNewer > 0 && !v.KeptUntil.IsZero():
		return "until " + until + ", and " + newer
	case v.KeptNewer > 0:
		return newer
	case !v.KeptUntil.IsZero():
		return "until " + until
	}
	return "may go any time"
}

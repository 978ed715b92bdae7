package control_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"cairn/grid/file"
	"cairn/node/control"
	"cairn/share"
)

// TestQuotaError says what a person uses, may use and can do, when quotas are the reason why an upload failed.
func TestQuotaError(t *testing.T) {
	refusal := func(i int) error {
		q := &share.QuotaError{Used: 2_000_000_000, Limit: 2_100_000_000, Asked: 400_000_000}
		return &file.ServerError{Server: share.ServerID(fmt.Sprint("server", i)), Err: fmt.Errorf("create: %w", q)}
	}
	down := errors.New("server 9: unavailable")
	for name, c := range map[string]struct {
		causes []error
		code   control.Code
		says   []string
	}{
		"quotas": {
			[]error{refusal(1), refusal(2), refusal(3), refusal(3)},
			control.CodeRefused,
			[]string{"you use 6.0 GB of the 6.3 GB", "on 3 of 12 servers", "4", "7 are needed"},
		},
		"not only quotas": {[]error{refusal(1), refusal(2), down}, control.CodeNotEnough, []string{"7 are needed"}},
		"no quota":        {[]error{down}, control.CodeNotEnough, []string{"7 are needed"}},
	} {
		err := fmt.Errorf("upload: %w", &share.UnhappyError{Happiness: 4, Happy: 7, Needed: 3, Servers: 12, Causes: c.causes})
		e := control.ErrorOf(err)
		if e.Code != c.code || len(e.Causes) != len(c.causes) {
			t.Errorf("%s: %+v", name, *e)
		}
		for _, want := range c.says {
			if !strings.Contains(e.Message, want) {
				t.Errorf("%s: %q does not say %q", name, e.Message, want)
			}
		}
		if got := strings.Contains(e.Hint, "larger quota"); got != (c.code == control.CodeRefused) {
			t.Errorf("%s: hint %q", name, e.Hint)
		}
	}
	e := control.ErrorOf(fmt.Errorf("renew leases: server x: %w", &share.QuotaError{Used: 5_000_000, Limit: 4_000_000}))
	if e.Code != control.CodeRefused || !strings.Contains(e.Message, "server x: quota reached: you use 5.0 MB of the 4.0 MB") || e.Hint == "" {
		t.Errorf("%+v", *e)
	}
}

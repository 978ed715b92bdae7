package main

import (
	"strings"
	"testing"
	"time"

	"cairn/node/control"
)

// TestStatusText shows who uses the disk, and what the person uses of others'.
func TestStatusText(t *testing.T) {
	s := control.Status{Nickname: "attic", Storage: control.Storage{Enabled: true, Owners: []control.Owner{
		{ID: "12D3KooWabcdefgh", Own: true, Used: 5e9, Limit: -1},
		{ID: "account", Nickname: "bob", Used: 2e9, Limit: 4e9},
		{ID: "12D3KooWzzzzzzzz", Used: 7e6, Limit: 0},
	}}}
	for range 9 {
		s.Storage.Owners = append(s.Storage.Owners, control.Owner{ID: "another", Used: 1})
	}
	for want, usage := range map[string]control.Usage{
		"you use 12 GB of 40 GB on 9 of the 11 servers of others, 2 of which did not tell\n": {Used: 12e9, Limit: 40e9, Servers: 9, Asked: 11, Answered: 9},
		"you use 0 B on 0 of the 3 servers of others\n":                                      {Limit: -1, Asked: 3, Answered: 3},
		"no other node stores yet\n":                                                         {},
	} {
		s.Usage = usage
		var b strings.Builder
		printStatus(&b, s)
		for _, want := range []string{
			"usage    " + want, "         for yourself 5.0 GB\n", "         for bob 2.0 GB of 4.0 GB\n",
			"         for zzzzzzzz 7.0 MB of 0 B\n", "         and 4 more\n",
		} {
			if !strings.Contains(b.String(), want) {
				t.Errorf("no %q in\n%s", want, b.String())
			}
		}
	}
}

// TestMonthText shows what a bucket costs, as far as that is known.
func TestMonthText(t *testing.T) {
	m := control.BucketMonth{Month: "2026-11", Writes: 12, Reads: 34, Sent: 5e6, Received: 6e6, Kept: 7e9}
	const asked = "12 requests that write, 34 that read; 5.0 MB sent, 6.0 MB received, 7.0 GB kept on average"
	if text := monthText(&m); text != asked {
		t.Errorf("%q, want %q", text, asked)
	}
	cost, expected := 0.0421, 3.456
	m.Currency, m.Cost, m.Expected = "EUR", &cost, &expected
	if text, want := monthText(&m), asked+"; cost 0.0421 EUR so far, 3.46 EUR for the whole month if it goes on so"; text != want {
		t.Errorf("%q, want %q", text, want)
	}
	if text := moneyText(0, ""); text != "0.00" {
		t.Errorf("nothing is %q", text)
	}
}

// TestHealthText says how many things are not healthy, and when that was found.
func TestHealthText(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	for want, h := range map[string]control.Health{
		"all 7 objects of home: are healthy, 1m30s ago":                                         {Objects: 7},
		"3 on too few servers, of 7 objects of home:, 1m30s ago":                                {Objects: 7, Thin: 3},
		"3 on too few servers, 2 degraded, 1 not recoverable, of 7 objects of home:, 1m30s ago": {Objects: 7, Thin: 3, Degraded: 2, Unrecoverable: 1},
	} {
		h.Checked = now.Add(-90 * time.Second)
		if got := healthText(h, now); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

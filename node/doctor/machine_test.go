package doctor_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"cairn/node/doctor"
)

func TestSpace(t *testing.T) {
	for what, try := range map[string]struct {
		space doctor.Space
		state doctor.State
		seen  string
		fix   string
	}{
		"all that is free":          {doctor.Space{Free: 50e9, Reserve: 1e9, Used: 3e9}, doctor.OK, "50 GB free in /s", ""},
		"full":                      {doctor.Space{Free: 1e9, Reserve: 1e9, Used: 9e9}, doctor.Warn, "no more shares", "storage.reserve"},
		"the offer is there":        {doctor.Space{Free: 50e9, Offer: 20e9, Used: 0}, doctor.OK, "20 GB are offered", ""},
		"part of it is used":        {doctor.Space{Free: 5e9, Offer: 20e9, Used: 18e9}, doctor.OK, "20 GB are offered", ""},
		"more is offered":           {doctor.Space{Free: 5e9, Reserve: 1e9, Offer: 20e9, Used: 6e9}, doctor.Warn, "10 GB of the 20 GB offered are not there", "storage.offer 10GB"},
		"more, and nobody knows":    {doctor.Space{Free: 5e9, Offer: 20e9, Used: -1}, doctor.Warn, "20 GB are offered", "start the node"},
		"enough, and nobody knows":  {doctor.Space{Free: 50e9, Offer: 20e9, Used: -1}, doctor.OK, "20 GB are offered", ""},
		"more reserved than exists": {doctor.Space{Free: 5e9, Reserve: 1 << 60}, doctor.Warn, "no more shares", "free space"},
	} {
		try.space.Path = "/s"
		got := try.space.Check()
		expect(t, what, got, try.state, try.seen)
		if !strings.Contains(got.Fix, try.fix) {
			t.Errorf("%s: the fix %q does not mention %q", what, got.Fix, try.fix)
		}
	}
}

func TestSync(t *testing.T) {
	expect(t, "fast", doctor.Sync("/s", 1500*time.Microsecond, nil), doctor.OK, "1.5 ms")
	expect(t, "slow", doctor.Sync("/s", 750*time.Millisecond, nil), doctor.Warn, "800ms")
	expect(t, "not at all", doctor.Sync("/s", 0, errors.New("read-only\nfile system")), doctor.Fail, "cannot write to /s: read-only file system")
}

func TestPorts(t *testing.T) {
	all := []string{"/ip4/0.0.0.0/tcp/1", "/ip4/0.0.0.0/udp/1/quic-v1"}
	expect(t, "free", doctor.Ports(all, nil), doctor.OK, all[0], all[1])
	got := doctor.Ports(all, map[string]error{all[1]: errors.New("in use")})
	expect(t, "taken", got, doctor.Fail, all[1]+": in use")
	if strings.Contains(got.Seen, all[0]) {
		t.Errorf("the free port is listed as taken: %s", got.Seen)
	}
}

func TestResult(t *testing.T) {
	expect(t, "well", doctor.Result("keys", "whole", nil, "restore them"), doctor.OK, "whole")
	expect(t, "not", doctor.Result("keys", "whole", errors.New("two\nlines"), "restore them"), doctor.Fail, "two lines")
	expect(t, "warning", doctor.Warning("node", "sleeps", "wake it"), doctor.Warn, "sleeps")
}

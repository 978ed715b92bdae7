//go:build linux

package natlab_test

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"cairn/internal/natlab"
)

// TestForwarded: a node behind a router that forwards ports when asked is reached directly, by nodes that it never dialled.
func TestForwarded(t *testing.T) {
	t.Parallel()
	for name, protocols := range map[string][]natlab.Protocol{
		"UPnP": {natlab.UPnP}, "NAT-PMP": {natlab.NATPMP}, "both": {natlab.UPnP, natlab.NATPMP},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			forwarded(t, protocols)
		})
	}
}

func forwarded(t *testing.T, protocols []natlab.Protocol) {
	lab := natlab.New(t)
	machine := lab.Behind(natlab.Cone)
	machine.Forwards(protocols...)
	public, address := found(t, lab.Public())
	second := join(t, lab.Public(), "second", address) // it takes two to confirm an address
	second.reaches("pub", "direct", patience)
	public.reaches("second", "direct", patience)
	ann := join(t, machine, "ann", address)
	begin := time.Now()
	ann.saysEvery(20*time.Second, `ok +port mapping +the router forwards /ip4/`+ann.machine.Outside+`/tcp/`, `ok +reachable +from outside`)
	t.Logf("the doctor says so after %v", time.Since(begin))

	// A stranger to ann so far, behind a router where nothing gets in: no hole can be punched between the two.
	ben := join(t, lab.Behind(natlab.Symmetric), "ben", address)
	t.Logf("direct after %v", ben.reaches("ann", "direct", patience))
	ann.reaches("ben", "direct", patience)

	var status struct {
		Addresses []string `json:"addresses"`
	}
	if err := json.Unmarshal(ann.run("status", "--json"), &status); err != nil {
		t.Fatal(err)
	}
	known := ben.peers()["ann"].Addresses
	mapping := regexp.MustCompile(`the router forwards (/ip4/[^/]*/tcp/[0-9]+)`)
	found := mapping.FindSubmatch(ann.run("doctor"))
	if found == nil || !hasPrefix(status.Addresses, string(found[1])) || !hasPrefix(known, string(found[1])) {
		t.Errorf("the router forwards %s; status says %v, and ben knows %v", found, status.Addresses, known)
	}
}

// hasPrefix reports whether one of the addresses is the one without a peer's id.
func hasPrefix(addresses []string, address string) bool {
	return slices.ContainsFunc(addresses, func(a string) bool { return a == address || strings.HasPrefix(a, address+"/p2p/") })
}

package node

import (
	"testing"
	"time"
)

// TestRewriteAfter: a note for somebody who is away has its leases renewed well before they end, however short they are.
func TestRewriteAfter(t *testing.T) {
	for lease, want := range map[time.Duration]time.Duration{
		0: shareRewrite, 365 * 24 * time.Hour: shareRewrite, 6 * time.Hour: 2 * time.Hour, 3 * 24 * time.Hour: 24 * time.Hour,
	} {
		if got := rewriteAfter(lease); got != want {
			t.Errorf("leases of %v: written anew after %v, want %v", lease, got, want)
		}
	}
}

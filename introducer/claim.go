package introducer

import (
	"bytes"
	"fmt"
	"slices"
)

// A claim says whose node it is, or why it is nobody's.
type claim struct {
	of    *standing
	st    *Statement
	fault string // why the node does not belong to the grid, empty when it does
	rank  int    // of the fault: what is said first to the person whose node it is
}

// findDevices finds the account of each node.
func (v *view) findDevices() {
	for _, m := range v.order {
		claims := values(v.set.devices[m.Account])
		slices.SortFunc(claims, olderClaim)
		counted := 0
		for _, st := range claims {
			c := v.judge(m, st)
			if c.fault == "" {
				if counted++; counted > MaxDevices {
					c.fault, c.rank = fmt.Sprintf("%s has %d other devices, and no more count", m.Nickname, MaxDevices), 3
				}
			}
			if held := v.nodes[st.Device.ID]; held == nil || c.before(held) {
				v.nodes[st.Device.ID] = c
			}
		}
	}
	for _, c := range v.nodes {
		if c.fault == "" {
			c.of.devices = append(c.of.devices, c.st)
		}
	}
	for _, m := range v.order {
		slices.SortFunc(m.devices, olderClaim)
		for _, st := range m.devices {
			d := st.Device
			m.Devices = append(m.Devices, DeviceInfo{ID: d.ID, Name: d.Name, Issued: d.Issued, Expires: d.Expires})
		}
	}
}

// judge says whether a device statement of an account counts, were it the only one about its node.
func (v *view) judge(m *standing, st *Statement) *claim {
	c := &claim{of: m, st: st}
	switch {
	case m.State == StateRevoked:
		c.fault, c.rank = fmt.Sprintf("it belongs to %s: %s", m.Nickname, m.Reason), 1
	case m.State == StateExpired:
		c.fault, c.rank = fmt.Sprintf("it belongs to %s: %s; any introducer can renew it", m.Nickname, m.Reason), 2
	case m.State == StateUnvouched:
		c.fault, c.rank = fmt.Sprintf("it belongs to %s: %s", m.Nickname, m.Reason), 4
	case st.Device.Removed:
		c.fault, c.rank = fmt.Sprintf("%s removed this device on %s", m.Nickname, day(st.Device.Issued)), 5
	case v.expired(st):
		c.fault, c.rank = fmt.Sprintf("this device of %s expired on %s", m.Nickname, day(st.Device.Expires)), 3
	}
	return c
}

// before reports whether a claim to a node goes before another: one that counts before one that does not, then the older one.
func (c *claim) before(other *claim) bool {
	if c.rank != other.rank {
		return c.rank < other.rank
	}
	return olderClaim(c.st, other.st) < 0
}

// olderClaim orders claims to nodes: older first, then the smaller digest.
func olderClaim(a, b *Statement) int {
	if order := a.Device.Issued.Compare(b.Device.Issued); order != 0 {
		return order
	}
	return bytes.Compare(a.digest[:], b.digest[:])
}

package file

import (
	"errors"
	"slices"

	"cairn/share"
)

// within returns on how many servers the upload can still place shares, or has. u.mu is held.
func (u *upload) within() int {
	can := map[share.ServerID]bool{}
	for _, l := range u.lanes {
		if l.server.Store != nil && !l.lost.Load() {
			can[l.server.ID] = true
		}
	}
	for _, p := range u.places {
		if !p.Full && p.Free > 0 && p.Free >= u.shareSize() {
			can[p.ID] = true
		}
	}
	return len(can)
}

// refusedByQuota reports whether a server takes no more because of a quota. u.mu is held.
func (u *upload) refusedByQuota() bool {
	return slices.ContainsFunc(u.failures, func(err error) bool { return errors.Is(err, share.ErrQuota) })
}

// overQuota reports whether quotas leave too few servers for the upload to become happy. To go on would fill their disks
// with what is of no use: unlike a server that is down or full, a quota does not go away by itself.
func (u *upload) overQuota() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.refusedByQuota() && u.within() < u.o.Params.Happy
}

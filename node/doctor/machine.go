package doctor

import (
	"fmt"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
)

// Space judges the disk. All is in bytes.
type Space struct {
	Path    string
	Free    int64 // on the disk
	Offer   int64 // 0: all that is free
	Reserve int64
	Used    int64 // by shares; -1 when it is not known, because the node is not running
}

// Check judges whether what is offered is there.
func (s Space) Check() Check {
	const name = "disk space"
	left := s.Free - s.Reserve
	seen := fmt.Sprintf("%s free in %s, %s are kept free", size(s.Free), s.Path, size(s.Reserve))
	switch {
	case left <= 0:
		return warn(name, seen+": no more shares are taken", "free space on the disk, or lower storage.reserve; what is stored stays")
	case s.Offer > 0 && s.Used >= 0 && s.Offer-s.Used > left:
		return warn(name, fmt.Sprintf("%s; %s of the %s offered are not there", seen, size(s.Offer-s.Used-left), size(s.Offer)),
			fmt.Sprintf("free space on the disk, or \"cairn config set storage.offer %s\"", exact(s.Used+left)))
	case s.Offer > 0 && s.Used < 0 && s.Offer > left:
		return warn(name, fmt.Sprintf("%s; %s are offered", seen, size(s.Offer)), "nothing, if the rest is taken by shares: start the node and look again; otherwise lower storage.offer")
	case s.Offer > 0:
		return ok(name, fmt.Sprintf("%s; %s are offered", seen, size(s.Offer)))
	}
	return ok(name, seen)
}

func size(n int64) string { return humanize.Bytes(uint64(max(0, n))) }

// exact returns a size for a setting, rounded down.
func exact(n int64) string {
	if n >= 1e9 {
		return fmt.Sprintf("%dGB", n/1e9)
	}
	return fmt.Sprintf("%dMB", max(0, n)/1e6)
}

// slowSync is how long a small synced write may take before storing small files is slow.
const slowSync = 200 * time.Millisecond

// Sync judges how long the disk takes to make a small write durable, or why it does not.
func Sync(path string, took time.Duration, err error) Check {
	const name = "disk"
	switch {
	case err != nil:
		return fail(name, fmt.Sprintf("cannot write to %s: %s", path, line(err)), "see that the disk is mounted, writable and whole, and that the directory belongs to the account that runs the node")
	case took >= slowSync:
		return warn(name, fmt.Sprintf("writable; a synced write takes %s", round(took)), "storing small files will be slow: a disk that is dying, very busy, or on the network is the usual reason")
	}
	return ok(name, fmt.Sprintf("writable; a synced write takes %.1f ms", float64(took.Microseconds())/1000))
}

// Ports judges whether the addresses of a node that is not running are free: taken says for each that is not, why.
func Ports(addresses []string, taken map[string]error) Check {
	const name = "ports"
	var held []string
	for _, a := range addresses {
		if err := taken[a]; err != nil {
			held = append(held, fmt.Sprintf("%s: %s", a, line(err)))
		}
	}
	if len(held) > 0 {
		return fail(name, few(held), "stop the program that has the port (\"ss -lntup\" names it on Linux), or choose another with \"cairn config set\" (network.listen, control.address)")
	}
	return ok(name, "free: "+few(addresses))
}

// Result is a check that passed with what was seen, or failed with an error.
func Result(name, seen string, err error, fix string) Check {
	if err != nil {
		return fail(name, line(err), fix)
	}
	return ok(name, seen)
}

// Warning is a check that did not pass and does no harm yet.
func Warning(name, seen, fix string) Check { return warn(name, seen, fix) }

// line returns an error in one line.
func line(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }

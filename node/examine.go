package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"cairn/node/config"
	"cairn/node/doctor"
	"cairn/p2p"
	"cairn/share"
	"cairn/share/disk"
	"cairn/share/s3"
)

// syncTries is how often a write is timed; the median counts.
const syncTries = 5

// An Examination is what can be found out about a node from its directory and its machine, whether it runs or not.
type Examination struct {
	Path string
	// Config is the configuration, ConfigErr why there is none.
	Config    config.Config
	ConfigErr error
	// Running says that a process has the directory: its ports are its own then.
	Running bool
	// Used is how much space shares take, -1 when it is not known.
	Used int64
}

// Checks looks at everything that does not need the node. It writes and removes small files on the disk of the shares.
func (e Examination) Checks(ctx context.Context) []doctor.Check {
	directory, there := e.directory()
	checks := []doctor.Check{directory}
	if !there {
		return checks
	}
	dir, err := OpenDir(e.Path)
	checks = append(checks, e.keys(dir, err), e.configuration())
	if errors.Is(err, ErrLocked) {
		dir, err = Look(e.Path)
	}
	if dir != nil && err == nil {
		checks = append(checks, e.grid(dir))
	}
	if e.ConfigErr != nil {
		return checks
	}
	switch {
	case !e.Config.Storage.Enabled:
	case e.Config.Storage.Bucket():
		checks = append(checks, e.bucket(ctx, dir, err)...)
	default:
		checks = append(checks, e.disk(ctx)...)
	}
	if !e.Running {
		checks = append(checks, e.ports())
	}
	return checks
}

func (e Examination) directory() (c doctor.Check, there bool) {
	const name = "directory"
	info, err := os.Stat(e.Path)
	if err == nil && !Exists(e.Path) {
		err = ErrNoNode
	}
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			err = ErrNoNode
		}
		return doctor.Result(name, "", fmt.Errorf("%s: %w", e.Path, err), "make a node with \"cairn init\", or name another directory with --dir"), false
	}
	seen := fmt.Sprintf("%s, mode %04o", e.Path, info.Mode().Perm())
	if mode := info.Mode().Perm(); mode&0o077 != 0 && enforcesModes {
		return doctor.Warning(name, seen+": others on this machine can look into it", "chmod 700 "+e.Path), true
	}
	return doctor.Result(name, seen, nil, ""), true
}

func (e Examination) keys(dir *Dir, err error) doctor.Check {
	fix := "restore the keys from your backup; without them this node is another one"
	switch {
	case errors.Is(err, ErrExposed):
		fix = "run the chmod that stands there; if somebody may have read the key, make a new node"
	case errors.Is(err, fs.ErrPermission):
		fix = "run the node and its commands as the account that the directory belongs to"
	}
	seen := ""
	if errors.Is(err, ErrLocked) {
		return doctor.Result("keys", "locked with a passphrase", nil, "")
	}
	if err == nil {
		seen = "whole, readable by their owner only; node " + dir.id.Short()
	}
	return doctor.Result("keys", seen, err, fix)
}

func (e Examination) configuration() doctor.Check {
	return doctor.Result("configuration", "valid", e.ConfigErr, "correct it with \"cairn config edit\"")
}

func (e Examination) grid(dir *Dir) doctor.Check {
	const name = "grid"
	address, err := dir.Grid()
	if err != nil {
		fix := "join one with \"cairn join INVITATION\" or found one with \"cairn grid create NAME\""
		if errors.Is(err, share.ErrCorrupt) {
			fix = "join the grid again"
		}
		return doctor.Result(name, "", err, fix)
	}
	if time.Now().Before(address.Grid.Created.Add(-clockSlack)) {
		return doctor.Result(name, "", fmt.Errorf("%s was founded on %s, which this machine's clock has yet to see", address.Grid, address.Grid.Created.Format(time.DateOnly)),
			"set this machine's clock")
	}
	if !e.Running { // otherwise the node has read it
		if _, err := dir.roster(address.Grid); err != nil {
			return doctor.Result(name, "", err, "move the file away and start the node: it gets the roster anew from a member; without one, restore it from a backup")
		}
	}
	return doctor.Result(name, address.Grid.String(), nil, "")
}

// bucket tries out the bucket in which the node keeps its shares.
func (e Examination) bucket(ctx context.Context, dir *Dir, err error) []doctor.Check {
	var where s3.Config
	if err == nil {
		where, _, err = dir.StorageBucket(e.Config)
	}
	switch {
	case errors.Is(err, ErrLocked) && e.Running:
		return nil // the node says whether it is served
	case errors.Is(err, ErrLocked):
		return []doctor.Check{doctor.Warning("bucket", "its keys are locked with a passphrase: it was not tried out", "start the node and look again")}
	}
	began := time.Now()
	var found s3.Probed
	if err == nil {
		where.Timeout = requestWithin
		found, err = s3.Probe(ctx, where)
	}
	if err != nil {
		return []doctor.Check{doctor.Tried(e.Config.Storage.Path, 0, errors.New(s3.Explain(err)))}
	}
	checks := []doctor.Check{doctor.Tried(e.Config.Storage.Path, time.Since(began), nil)}
	if !found.Conditions {
		checks = append(checks, doctor.Warning("bucket", found.Notes()[0], "give this prefix to one node alone"))
	}
	return checks
}

func (e Examination) disk(ctx context.Context) []doctor.Check {
	path := (&Dir{path: e.Path}).storage(e.Config)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) && !filepath.IsAbs(e.Config.Storage.Path) {
		path = e.Path // the first start makes the folder
	}
	took, err := syncTime(ctx, path)
	checks := []doctor.Check{doctor.Sync(path, took, err)}
	free, err := disk.Free(path)
	if err != nil {
		return checks // the check before says why
	}
	return append(checks, doctor.Space{
		Path: path, Free: free, Offer: int64(e.Config.Storage.Offer), Reserve: int64(e.Config.Storage.Reserve), Used: e.Used,
	}.Check())
}

// syncTime returns how long a small durable write takes.
func syncTime(ctx context.Context, dir string) (time.Duration, error) {
	file, err := os.CreateTemp(dir, ".doctor-*")
	if err != nil {
		return 0, err
	}
	defer os.Remove(file.Name())
	defer file.Close()
	var times []time.Duration
	for range syncTries {
		if ctx.Err() != nil {
			return 0, ctx.Err()
		}
		begin := time.Now()
		if _, err := file.Write(make([]byte, 4096)); err != nil {
			return 0, err
		}
		if err := file.Sync(); err != nil {
			return 0, err
		}
		times = append(times, time.Since(begin))
	}
	slices.Sort(times)
	return times[len(times)/2], nil
}

// ports looks whether another program has a port of this node.
func (e Examination) ports() doctor.Check {
	addresses := slices.Clone(e.Config.Network.Listen)
	taken := map[string]error{}
	for _, a := range addresses {
		err := p2p.Unused(a)
		if err != nil && strings.HasPrefix(a, "/ip6/") && !inUse(err) {
			continue // many machines have no IPv6; the node goes without
		}
		taken[a] = err
	}
	if control := e.Config.Control.Address; !strings.HasSuffix(control, ":0") {
		addresses = append(addresses, control)
		taken[control] = unusedTCP(control)
	}
	return doctor.Ports(addresses, taken)
}

func unusedTCP(address string) error {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	return l.Close()
}

func inUse(err error) bool { return strings.Contains(err.Error(), "in use") }

// listenPorts returns the ports among listen addresses.
func listenPorts(addresses []string) []string {
	var ports []string
	for _, a := range addresses {
		parts := strings.Split(a, "/")
		if len(parts) > 4 && (parts[3] == "tcp" || parts[3] == "udp") && parts[4] != "0" {
			ports = append(ports, parts[4])
		}
	}
	slices.SortFunc(ports, cmp.Compare[string])
	return slices.Compact(ports)
}

package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"cairn/grid"
	"cairn/grid/file"
	"cairn/grid/health"
	"cairn/introducer"
	"cairn/node/config"
	"cairn/node/control"
	"cairn/share"
	"cairn/share/capability"
)

// api is what the local API sees of a node.
type api struct{ n *Node }

var _ control.Node = api{}

func (a api) Status(ctx context.Context) (control.Status, error) {
	n := a.n
	s := control.Status{
		Node: n.ID(), Nickname: n.config.Nickname, Version: n.options.Version,
		Grid:    control.GridName{Name: n.GridName(), ID: n.address.Grid.ID()},
		Storage: control.Storage{Enabled: n.disk != nil, Space: n.space(ctx)},
		Usage:   n.usage(ctx),
		Uptime:  time.Since(n.started).Seconds(), Started: n.started, Addresses: n.host.Addresses(), PID: n.endpoint.PID,
	}
	if n.disk != nil {
		owners, err := n.owners(ctx)
		if err != nil {
			return control.Status{}, err
		}
		s.Storage.Owners = owners
	}
	for _, p := range n.host.Peers() {
		if p.Problem != "" {
			continue
		}
		s.PeersKnown++
		if p.Responsive {
			s.Peers++
		}
	}
	return s, nil
}

func (a api) Peers(context.Context) ([]control.Peer, error) {
	peers := []control.Peer{}
	for _, p := range a.n.host.Peers() {
		peers = append(peers, control.Peer{
			ID: string(p.ID), Nickname: p.Nickname, Version: p.Version, Addresses: p.Addresses, Path: p.Path, Transport: p.Transport,
			LatencyMS: float64(p.Latency.Microseconds()) / 1000, Storage: p.Storage, Free: p.Space.Free, Used: p.Space.Used,
			Answers: p.Responsive, Problem: p.Problem, LastSeen: p.LastSeen,
		})
	}
	return peers, nil
}

func (a api) Grid(ctx context.Context) (control.Grid, error) {
	return describe(a.n.config, a.n.address, a.n.host.Addresses(), a.n.grid.ParamsFor(ctx))
}

// Describe describes the grid of a node that is not running.
func (d *Dir) Describe(c config.Config) (control.Grid, error) {
	address, err := d.Grid()
	if err != nil {
		return control.Grid{}, err
	}
	return describe(c, address, reachable(c.Network.Listen, d.id), share.DefaultParams(1))
}

// describe describes a grid with an address that leads to this node first, then to the peers that this node started
// from. The parameters are those by size, for a grid that leaves them open.
func describe(c config.Config, joined introducer.Address, own []string, bySize share.Params) (control.Grid, error) {
	address, err := introducer.NewAddress(joined.Grid, unique(own[:min(len(own), maxOwnAddresses)], joined.Bootstrap))
	if err != nil {
		return control.Grid{}, fmt.Errorf("grid address: %w", err)
	}
	g := control.Grid{
		Name: joined.Grid.Name, ID: joined.Grid.ID(), Address: address.String(), Open: joined.Grid.Open,
		Created: joined.Grid.Created, Params: paramsOf(c, joined.Grid),
	}
	if g.Params.IsZero() {
		g.Params, g.BySize = bySize, true
	}
	return g, nil
}

// maxBootstrap bounds the addresses in a grid address.
const maxBootstrap = 16

// unique returns the addresses of both lists in order, without those that occur twice.
func unique(lists ...[]string) []string {
	seen := map[string]bool{}
	var all []string
	for _, list := range lists {
		for _, address := range list {
			if !seen[address] && len(all) < maxBootstrap {
				seen[address] = true
				all = append(all, address)
			}
		}
	}
	return all
}

func (a api) Put(ctx context.Context, r io.Reader, request control.PutRequest, progress func(control.Progress)) (control.PutResult, error) {
	result, err := a.n.grid.Put(ctx, r, grid.PutOptions{
		Params: request.Params, BlockSize: request.BlockSize, Private: request.Private, Size: request.Size, Digest: request.Digest,
		Checksum: request.Checksum,
		Progress: func(p file.Progress) {
			progress(control.Progress{Note: "storing", Done: p.Bytes, Total: request.Size})
		},
	})
	if _, literal := result.Capability.Data(); err != nil || !literal {
		a.n.history.add(storedEvent(result, err))
	}
	if errors.Is(err, grid.ErrChanged) {
		return control.PutResult{}, &control.Error{Code: control.CodeFailed, Message: err.Error(), Hint: "store it again when nothing writes to it"}
	}
	if err != nil {
		return control.PutResult{}, err
	}
	return control.PutResult{
		Capability: result.Capability.Text(), Size: result.Size, Params: result.Params,
		Happiness: result.Happiness, Servers: result.Servers, Resumed: result.Resumed,
	}, nil
}

func (a api) Open(ctx context.Context, c capability.Capability) (control.File, error) {
	return a.n.grid.Open(ctx, c)
}

func (a api) Stat(ctx context.Context, c capability.Capability) (control.Stat, error) {
	return a.n.grid.Stat(ctx, c)
}

func (a api) Check(ctx context.Context, c capability.Capability, verify bool, progress func(control.Progress)) (control.Report, error) {
	return a.n.grid.Check(ctx, c, verify, healthProgress("verifying", progress))
}

func (a api) Repair(ctx context.Context, c capability.Capability, verify bool, progress func(control.Progress)) (control.RepairReport, error) {
	result, err := a.n.grid.Repair(ctx, c, verify, healthProgress("repairing", progress))
	if err != nil || len(result.Made) > 0 {
		a.n.history.add(repairedEvent(c, result, err))
	}
	return result, err
}

func (a api) Shutdown() { a.n.Shutdown() }

func healthProgress(note string, progress func(control.Progress)) func(health.Progress) {
	return func(p health.Progress) {
		progress(control.Progress{Note: note, Done: p.Bytes, Total: p.TotalBytes})
	}
}

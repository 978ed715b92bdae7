package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"cairn/grid"
	"cairn/grid/file"
	"cairn/grid/health"
	"cairn/introducer"
	"cairn/node/config"
	"cairn/node/control"
	"cairn/share"
	"cairn/share/capability"
	"cairn/share/s3"
)

// api is what the local API sees of a node.
type api struct{ n *Node }

var _ control.Node = api{}

func (a api) Status(ctx context.Context) (control.Status, error) {
	n := a.n
	s := control.Status{
		Node: n.ID(), Nickname: n.config.Nickname, Version: n.options.Version,
		Grid:    control.GridName{Name: n.GridName(), ID: n.address.Grid.ID()},
		Storage: control.Storage{Enabled: n.lends(), Space: n.space(ctx), Bucket: n.bucketStatus()},
		Usage:   n.usage(ctx),
		Uptime:  time.Since(n.started).Seconds(), Started: n.started, Addresses: n.host.Addresses(), PID: n.endpoint.PID,
		Alone: n.company().alone(), Health: n.health.Load(),
	}
	if n.lends() {
		owners, err := n.owners(ctx)
		if err != nil {
			return control.Status{}, err
		}
		s.Storage.Owners = owners
	}
	if n.spill != nil {
		bucket, err := a.Spill(ctx)
		if err != nil {
			return control.Status{}, err
		}
		s.Spill = &bucket
	}
	s.Peers, s.PeersKnown = n.peersAnswering()
	return s, nil
}

func (a api) Served(context.Context) (control.Served, error) {
	if a.n.server == nil {
		return control.Served{}, nil
	}
	stats := a.n.server.Stats()
	return control.Served{Requests: stats.Requests, Received: stats.Received, Sent: stats.Sent}, nil
}

func (a api) Peers(context.Context) ([]control.Peer, error) {
	peers := []control.Peer{}
	for _, p := range a.n.host.Peers() {
		p.Nickname = a.n.nickname(p.ID, p.Nickname)
		peers = append(peers, control.Peer{
			ID: string(p.ID), Nickname: p.Nickname, Version: p.Version, Addresses: p.Addresses, Path: p.Path, Transport: p.Transport,
			LatencyMS: float64(p.Latency.Microseconds()) / 1000, Storage: p.Storage, Free: p.Space.Free, Used: p.Space.Used,
			Answers: p.Responsive, Problem: p.Problem, LastSeen: p.LastSeen,
		})
	}
	return peers, nil
}

// nickname returns what to call a peer: in a private grid the member's nickname, which others cannot take, with what the node
// calls itself behind it where that is something else.
func (n *Node) nickname(id share.ServerID, said string) string {
	if n.roster == nil {
		return said
	}
	m, ok := n.roster.AccountOf(id, time.Now())
	if !ok {
		return said
	}
	if said == "" || strings.EqualFold(said, m.Nickname) {
		return m.Nickname
	}
	return m.Nickname + "/" + said
}

func (a api) Grid(ctx context.Context) (control.Grid, error) {
	n := a.n
	g, err := describe(n.address, n.terms().Params, n.host.Addresses(), n.grid.ParamsFor(ctx))
	if err != nil {
		return control.Grid{}, err
	}
	if n.roster != nil {
		g.Members = len(current(n.roster))
		settings := shownSettings(n.roster.Settings(time.Now()))
		g.Settings = &settings
	}
	g.Lent = n.space(ctx)
	for _, p := range n.host.Peers() {
		space := lent(p)
		g.Lent.Offered += space.Offered
		g.Lent.Used += space.Used
		g.Lent.Free += space.Free
	}
	return g, nil
}

// current returns the members of now.
func current(roster *introducer.Roster) []introducer.Member {
	return slices.DeleteFunc(roster.Members(time.Now()), func(m introducer.Member) bool { return m.State != introducer.StateMember })
}

// Describe describes the grid of a node that is not running.
func (d *Dir) Describe(c config.Config) (control.Grid, error) {
	address, err := d.Grid()
	if err != nil {
		return control.Grid{}, err
	}
	roster, err := d.roster(address.Grid)
	if err != nil {
		return control.Grid{}, err
	}
	return describe(address, termsOf(c, address.Grid, roster).Params, reachable(c.Network.Listen, d.id), share.DefaultParams(1))
}

// describe describes a grid; an open one with an address that leads to this node first, then to the peers that this node
// started from. The parameters are those by size where nobody chose any.
func describe(joined introducer.Address, params share.Params, own []string, bySize share.Params) (control.Grid, error) {
	g := control.Grid{
		Name: joined.Grid.Name, ID: joined.Grid.ID(), Open: joined.Grid.Open, Created: joined.Grid.Created, Params: params,
	}
	if g.Params.IsZero() {
		g.Params, g.BySize = bySize, true
	}
	if !g.Open {
		return g, nil // it takes an invitation to join
	}
	address, err := introducer.NewAddress(joined.Grid, unique(own[:min(len(own), maxOwnAddresses)], joined.Bootstrap))
	if err != nil {
		return control.Grid{}, fmt.Errorf("grid address: %w", err)
	}
	g.Address = address.String()
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
	company := a.n.company()
	if !request.Alone {
		if err := a.n.mayStore(company); err != nil {
			return control.PutResult{}, err
		}
	} else if company.storing == 0 && request.Params.IsZero() {
		request.Params = share.Params{Needed: 1, Happy: 1, Total: 1} // whatever the grid wants
	}
	defer a.n.standings.expire()
	ctx, err := a.n.copies(ctx)
	if err != nil {
		return control.PutResult{}, err
	}
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
	if e, failed := errors.AsType[*file.CopyError](err); failed {
		return control.PutResult{}, &control.Error{
			Code: control.ErrorOf(e.Err).Code, Message: "keep a copy: the file is stored on the grid, but the bucket has no complete copy: " + s3.Explain(e.Err),
			Hint: "store it again when the bucket takes it: what is stored is not sent again; or with --keep-copy none",
		}
	}
	if errors.Is(err, grid.ErrChanged) {
		return control.PutResult{}, &control.Error{Code: control.CodeFailed, Message: err.Error(), Hint: "store it again when nothing writes to it"}
	}
	if err != nil {
		return a.n.told(ctx, company, control.PutResult{}, err)
	}
	return a.n.told(ctx, company, control.PutResult{
		Capability: result.Capability.Text(), Size: result.Size, Params: result.Params,
		Happiness: result.Happiness, Servers: result.Servers, Resumed: result.Resumed,
	}, nil)
}

func (a api) Open(ctx context.Context, c capability.Capability) (control.File, error) {
	f, err := a.n.grid.Open(ctx, c)
	return a.n.explained(f, err)
}

func (a api) Stat(ctx context.Context, c capability.Capability) (control.Stat, error) {
	return a.n.grid.Stat(ctx, c)
}

func (a api) Check(ctx context.Context, c capability.Capability, verify bool, progress func(control.Progress)) (control.Report, error) {
	report, err := a.n.grid.Check(ctx, c, verify, healthProgress("verifying", progress))
	return report, a.n.advise(c, err)
}

func (a api) Repair(ctx context.Context, c capability.Capability, verify bool, progress func(control.Progress)) (control.RepairReport, error) {
	result, err := a.n.grid.Repair(ctx, c, verify, healthProgress("repairing", progress))
	if err != nil || len(result.Made) > 0 {
		a.n.history.add(repairedEvent(c, result, err))
	}
	return result, a.n.advise(c, err)
}

func (a api) Shutdown() { a.n.Shutdown() }

func healthProgress(note string, progress func(control.Progress)) func(health.Progress) {
	return func(p health.Progress) {
		progress(control.Progress{Note: note, Done: p.Bytes, Total: p.TotalBytes})
	}
}

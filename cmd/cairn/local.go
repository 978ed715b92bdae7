package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"cairn/internal/awake"
	"cairn/internal/localgrid"
	"cairn/node/control"
	"cairn/share"
)

// A localNode is one node of a grid on this machine: a folder, and a process while it runs.
type localNode struct {
	Name string `json:"name"`
	ID   string `json:"id"`

	number  int
	dir     string
	process *localgrid.Process // nil while it is stopped
}

// A localNodes is an open grid of node processes on the loopback interface, driven through the same verbs that a
// person types.
type localNodes struct {
	grid    *localgrid.Grid
	address string // of the grid, what join takes
	nodes   []*localNode
}

// startAtOnce bounds how many nodes are made or started at the same time.
const startAtOnce = 4

// readyWithin bounds how long a node may take until it serves.
const readyWithin = time.Minute

// newLocalNodes returns a grid without nodes whose folders are under dir, or an error when this program cannot
// find itself.
func newLocalNodes(dir string) (*localNodes, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	env := []string{
		"CAIRN_NETWORK_LISTEN=/ip4/127.0.0.1/tcp/0", "CAIRN_NETWORK_MDNS=false", "CAIRN_CONTROL_ADDRESS=127.0.0.1:0",
		"CAIRN_STORAGE_RESERVE=0", "CAIRN_LOG_LEVEL=warn", "NO_COLOR=1", leashVariable + "=1",
	}
	// The person's own settings are for the person's own node: storage.path, for one, must not reach these.
	return &localNodes{grid: localgrid.New(localgrid.Config{Dir: dir, Program: program, Without: "CAIRN_", Env: env})}, nil
}

// found makes n nodes and an open grid with these parameters, starts all and waits until each knows all others.
func (l *localNodes) found(ctx context.Context, name string, params share.Params, n int) error {
	nodes, err := l.make(ctx, n)
	if err != nil {
		return err
	}
	first := nodes[0]
	_, err = l.verb(ctx, first, "grid", "create", name, "--open",
		"--k", fmt.Sprint(params.Needed), "--happy", fmt.Sprint(params.Happy), "--n", fmt.Sprint(params.Total))
	if err != nil {
		return err
	}
	if err := l.up(ctx, first); err != nil {
		return err
	}
	grid, err := ask(ctx, first, (*control.Client).Grid)
	if err != nil {
		return err
	}
	l.address = grid.Address
	return l.bring(ctx, nodes[1:])
}

// add makes n nodes, lets them join, starts them and waits until every running node knows all others.
func (l *localNodes) add(ctx context.Context, n int) ([]*localNode, error) {
	nodes, err := l.make(ctx, n)
	if err != nil {
		return nil, err
	}
	return nodes, l.bring(ctx, nodes)
}

// make makes the folders of n nodes, named in order.
func (l *localNodes) make(ctx context.Context, n int) ([]*localNode, error) {
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(startAtOnce)
	made := make([]*localNode, n)
	for i := range made {
		number := len(l.nodes) + i + 1
		name := fmt.Sprintf("node-%02d", number)
		made[i] = &localNode{Name: name, number: number, dir: l.grid.Dir(name)}
		group.Go(func() error {
			_, err := l.verb(groupCtx, made[i], "init", "--nickname", name)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	l.nodes = append(l.nodes, made...)
	return made, nil
}

// bring lets nodes join the grid, starts them, and waits until every running node knows all others.
func (l *localNodes) bring(ctx context.Context, nodes []*localNode) error {
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(startAtOnce)
	for _, node := range nodes {
		group.Go(func() error {
			if _, err := l.verb(groupCtx, node, "join", l.address); err != nil {
				return err
			}
			return l.up(groupCtx, node)
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return l.meet(ctx)
}

// up starts the node's process and waits until it serves.
func (l *localNodes) up(ctx context.Context, node *localNode) error {
	ctx, cancel := awake.WithTimeout(ctx, readyWithin)
	defer cancel()
	process, err := l.grid.Start(ctx, "ready", "up", "--dir", node.dir)
	if err != nil {
		return fmt.Errorf("start %s: %w", node.Name, err)
	}
	node.process = process
	status, err := ask(ctx, node, (*control.Client).Status)
	node.ID = status.Node
	return err
}

// meet waits until every running node is connected to all others.
func (l *localNodes) meet(ctx context.Context) error {
	ctx, cancel := awake.WithTimeout(ctx, readyWithin)
	defer cancel()
	running := l.running()
	poll := time.NewTicker(50 * time.Millisecond)
	defer poll.Stop()
	for _, node := range running {
		for {
			met, err := l.met(ctx, node, running)
			if err != nil {
				return err
			}
			if met {
				break
			}
			select {
			case <-poll.C:
			case <-ctx.Done():
				return fmt.Errorf("%s did not find all %d others in time: %w", node.Name, len(running)-1, ctx.Err())
			}
		}
	}
	return nil
}

// met reports whether a node is connected to all the others and knows what they can take.
func (l *localNodes) met(ctx context.Context, node *localNode, others []*localNode) (bool, error) {
	peers, err := ask(ctx, node, (*control.Client).Peers)
	if err != nil {
		return false, err
	}
	known := map[string]bool{node.ID: true}
	for _, peer := range peers {
		known[peer.ID] = peer.Answers && peer.Free > 0
	}
	return !slices.ContainsFunc(others, func(other *localNode) bool { return !known[other.ID] }), nil
}

// ask puts one question to a running node.
func ask[T any](ctx context.Context, node *localNode, question func(*control.Client, context.Context) (T, error)) (T, error) {
	client, err := control.Dial(node.dir)
	var answer T
	if err == nil {
		defer client.Close()
		answer, err = question(client, ctx)
	}
	if err != nil {
		return answer, fmt.Errorf("ask %s: %w", node.Name, err)
	}
	return answer, nil
}

// running returns the nodes whose processes run.
func (l *localNodes) running() []*localNode {
	var out []*localNode
	for _, node := range l.nodes {
		if node.process != nil {
			out = append(out, node)
		}
	}
	return out
}

// holding returns the running nodes that hold any share, in the order of their names.
func (l *localNodes) holding(shares map[string]int) []*localNode {
	return slices.DeleteFunc(l.running(), func(node *localNode) bool { return shares[node.ID] == 0 })
}

// destroy ends a node as a power cut would and deletes all that it had.
func (l *localNodes) destroy(node *localNode) error {
	node.process.Kill()
	node.process = nil
	if err := os.RemoveAll(node.dir); err != nil {
		return fmt.Errorf("wipe %s: %w", node.Name, err)
	}
	return nil
}

// verb runs one verb of this program in the folder of a node and returns what it printed.
func (l *localNodes) verb(ctx context.Context, node *localNode, args ...string) (string, error) {
	out, err := l.grid.Run(ctx, append([]string{"--dir", node.dir, "-q"}, args...)...)
	if failed, ok := errors.AsType[*localgrid.RunError](err); ok {
		return "", fmt.Errorf("cairn %s on %s: %s", args[0], node.Name, strings.TrimSpace(failed.Stderr))
	}
	if err != nil {
		return "", fmt.Errorf("cairn %s on %s: %w", args[0], node.Name, err)
	}
	return string(out), nil
}

// diskUsage returns how many bytes the files under a folder take.
func diskUsage(dir string) (int64, error) {
	var total int64
	err := filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil {
			total += allocated(info)
		}
		return err
	})
	return total, err
}

package grid

import (
	"cairn/grid/dir"
	"cairn/grid/mutable"
	"cairn/grid/tree"
)

// newNames makes what deals with things that change: mutable files, directories, and paths over them.
func (g *Grid) newNames() {
	env := mutable.Env{
		Servers: g.Servers, HeadServers: g.HeadServers, Copies: g.copies, Locate: g.Locate, Params: g.ParamsFor, Owner: g.Owner, Lease: g.leaseTime,
		Memory: g.Memory, Retention: g.retention, Background: g.inBackground, Logger: g.Logger,
	}
	g.files = mutable.New(env)
	store := dir.NewStore(env, g.files)
	g.dirs = dir.New(dir.Config{Files: store, Pages: store, Secret: g.Secret, Logger: g.Logger})
	g.tree = tree.New(g.dirs)
}

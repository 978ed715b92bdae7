package node

import (
	"context"

	"cairn/node/control"
)

// Unshare does what the local API does, with the progress told while the node stands still for it.
func Unshare(ctx context.Context, n *Node, request control.UnshareRequest, progress func(control.Progress)) (control.Unshared, error) {
	return api{n}.Unshare(ctx, request, progress)
}

// Settle does what the node does every few minutes about what is shared.
func Settle(ctx context.Context, n *Node) error { return n.sharing.settle(ctx) }

// EndingDirectory is where former copies are until they are ended.
const EndingDirectory = endingDirectory

package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"cairn/node/control"
	"cairn/share/capability"
)

func newCIDCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "cid CAPABILITY|PATH",
		Short: "print the CID of a file's root",
		Long: help(`Prints the CID of the file's root block: its storage index, by which servers know it, and with which IPFS tools can
carry its ciphertext. For an immutable file's capability it needs no node. Of a mutable file or a directory it is
the CID of the newest version.`, statusNotFound, statusNotEnough, statusRefused),
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeTargets(false),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.opened(cmd.Context(), "cid", args[0])
			if err != nil {
				return err
			}
			result := struct {
				CID string `json:"cid"`
			}{}
			if result.CID, err = a.cid(cmd.Context(), c); err != nil {
				return err
			}
			return a.result(result, func(w io.Writer) { fmt.Fprintln(w, result.CID) })
		},
	}
}

// cid returns the storage index of what a capability opens.
func (a *app) cid(ctx context.Context, c capability.Capability) (string, error) {
	if index, ok := c.StorageIndex(); ok {
		return index.String(), nil
	}
	if _, changes := c.Name(); !changes {
		return "", fmt.Errorf("cid of %s: %w", c, c.Want(capability.KindFile, capability.KindFileVerify))
	}
	var s control.Stat
	err := a.running(fmt.Sprintf("cid of %s", c), func(client *control.Client) (err error) {
		s, err = client.Stat(ctx, c)
		return err
	})
	return s.StorageIndex, err
}

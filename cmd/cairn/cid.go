package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"cairn/share/capability"
)

func newCIDCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "cid CAPABILITY",
		Short: "print the CID of a file's root",
		Long: help(`Prints the CID of the file's root block: its storage index, by which servers know it, and with which IPFS tools can
carry its ciphertext. It needs no node.`, statusRefused),
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			c, err := parseCapability(args[0])
			if err != nil {
				return err
			}
			index, ok := c.StorageIndex()
			if !ok {
				return fmt.Errorf("cid of %s: %w", c, c.Want(capability.KindFile, capability.KindFileVerify))
			}
			result := struct {
				CID string `json:"cid"`
			}{index.String()}
			return a.result(result, func(w io.Writer) { fmt.Fprintln(w, result.CID) })
		},
	}
}

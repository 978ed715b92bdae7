package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"cairn/node/control"
)

func newStatCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "stat CAPABILITY",
		Short: "show the size and the encoding of a file",
		Long: help("Shows what a capability opens: the size of the file and how it is encoded. A verify capability is enough.",
			statusNotFound, statusNotEnough),
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := parseCapability(args[0])
			if err != nil {
				return err
			}
			if data, ok := c.Data(); ok {
				return a.printStat(control.Stat{Kind: c.Kind().String(), Size: int64(len(data))})
			}
			client, err := a.client()
			if err != nil {
				return about(err, "stat %s", c)
			}
			defer client.Close()
			s, err := client.Stat(cmd.Context(), c)
			if err != nil {
				return about(err, "stat %s", c)
			}
			return a.printStat(s)
		},
	}
}

func (a *app) printStat(s control.Stat) error {
	return a.result(s, func(w io.Writer) {
		fmt.Fprintf(w, "kind           %s\nsize           %d bytes (%s)\n", s.Kind, s.Size, sizeText(s.Size))
		if s.StorageIndex != "" {
			fmt.Fprintf(w, "encoding       %d-of-%d, blocks of %d bytes\nstorage index  %s\n", s.Needed, s.Total, s.BlockSize, s.StorageIndex)
		}
	})
}

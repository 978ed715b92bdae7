package main

import (
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

func newManCommand(*app) *cobra.Command {
	return &cobra.Command{
		Use:    "man DIRECTORY",
		Short:  "write the man pages of all commands",
		Long:   help("Writes one man page for each command into the directory."),
		Args:   cobra.ExactArgs(1),
		Hidden: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := os.MkdirAll(args[0], 0o755); err != nil {
				return err
			}
			root := cmd.Root()
			root.DisableAutoGenTag = true // two runs give the same pages
			return doc.GenManTree(root, &doc.GenManHeader{Title: "CAIRN", Section: "1", Source: "Cairn " + release, Manual: "Cairn"}, args[0])
		},
	}
}

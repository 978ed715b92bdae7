package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"cairn/node/control"
)

func newAliasCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "alias",
		Short: "short names for directories",
		Long: help(`An alias is a short name for a capability, mostly a directory's: after "cairn alias add photos CAPABILITY" it is
reached as photos:. home: is the alias of your root directory, which every node has. Aliases are kept in that
directory, under .cairn/aliases, so that all your devices have them and recovery brings them back.`),
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newAliasAddCommand(a), newAliasCreateCommand(a), newAliasListCommand(a), newAliasRemoveCommand(a))
	return cmd
}

func newAliasAddCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:               "add ALIAS CAPABILITY|PATH",
		Short:             "give a capability a short name",
		Long:              help("Makes an alias for what a capability or a path leads to.", statusNotFound, statusNotEnough, statusRefused),
		Example:           "  cairn alias add photos home:photos\n  cairn alias add sister cairn:dir-read:k51...",
		Args:              cobra.ExactArgs(2),
		ValidArgsFunction: a.completeTargets(false),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.running("alias", func(client *control.Client) error {
				made, err := client.SetAlias(cmd.Context(), control.AliasRequest{Alias: args[0], Target: args[1]})
				if err != nil {
					return err
				}
				return a.result(made, func(io.Writer) {})
			})
		},
	}
}

func newAliasCreateCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "create ALIAS",
		Short:   "make a directory of its own and a short name for it",
		Long:    help("Makes a new, empty directory that is in no other one, and an alias for it. It prints the directory's capability.", statusNotEnough, statusRefused),
		Example: "  cairn alias create work",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.running("alias", func(client *control.Client) error {
				made, err := client.SetAlias(cmd.Context(), control.AliasRequest{Alias: args[0]})
				if err != nil {
					return err
				}
				return a.result(made, func(w io.Writer) { fmt.Fprintln(w, made.Capability) })
			})
		},
	}
}

func newAliasListCommand(a *app) *cobra.Command {
	var caps bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "show the short names",
		Long:  help("Shows all aliases and what they stand for; with --caps the capabilities."),
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.running("alias", func(client *control.Client) error {
				list, err := client.Aliases(cmd.Context())
				if err != nil {
					return err
				}
				if !caps {
					for i := range list {
						list[i].Capability = ""
					}
				}
				return a.result(list, func(w io.Writer) {
					t := newTable(w)
					for _, alias := range list {
						rights := "read"
						if alias.Writable {
							rights = "read and write"
						}
						t.row(strings.TrimSpace(alias.Alias+":"), alias.Kind, rights, alias.Capability)
					}
					t.end()
				})
			})
		},
	}
	cmd.Flags().BoolVar(&caps, "caps", false, "show capabilities")
	return cmd
}

func newAliasRemoveCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "remove ALIAS",
		Short: "forget a short name",
		Long: help(`Forgets an alias, on all your devices. What it stood for is left alone; with --json its capability is printed, which
may be the last way to it.`, statusNotFound, statusNotEnough),
		Args: cobra.ExactArgs(1),
		ValidArgsFunction: func(cmd *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
			client, err := a.client()
			if err != nil {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			defer client.Close()
			return completeAlias(cmd.Context(), client, typed), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.running("alias", func(client *control.Client) error {
				gone, err := client.RemoveAlias(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				return a.result(gone, func(io.Writer) {})
			})
		},
	}
}

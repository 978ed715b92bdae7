package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"cairn/share/capability"
)

func newCapCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "cap",
		Short: "explain and diminish capabilities",
		Long:  help("Works on capabilities, named by their text, offline, or by a path."),
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newCapShowCommand(a), newCapInspectCommand(a), newCapDiminishCommand(a))
	return cmd
}

func newCapShowCommand(a *app) *cobra.Command {
	var to string
	cmd := &cobra.Command{
		Use:   "show PATH",
		Short: "print the capability that a path leads to",
		Long: help(`Prints the strongest capability that you have for what a path leads to. Whoever sees it has what it gives: with --to
read or --to verify it is a weaker one.

`+pathHelp, statusNotFound, statusNotEnough, statusRefused),
		Example:           "  cairn cap show --to read home:docs",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeTargets(false),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.opened(cmd.Context(), "cap show", args[0])
			if err == nil && to != "" {
				c, err = diminish(c, to)
			}
			if err != nil {
				return err
			}
			return a.printCapability(c)
		},
	}
	cmd.Flags().StringVar(&to, "to", "", "`AUTHORITY`: read or verify (default: all that you have)")
	cmd.RegisterFlagCompletionFunc("to", cobra.FixedCompletions([]string{"read", "verify"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func (a *app) printCapability(c capability.Capability) error {
	result := struct {
		Capability string `json:"capability"`
		Kind       string `json:"kind"`
	}{c.Text(), c.Kind().String()}
	return a.result(result, func(w io.Writer) { fmt.Fprintln(w, c.Text()) })
}

func newCapInspectCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "inspect CAPABILITY|PATH",
		Short: "explain what a capability opens and what its holder can do",
		Long: help(`Explains a capability: its kind, what it names, and what its holder can and cannot do. It shows no key, and needs no
node except for a path.`, statusNotFound, statusNotEnough, statusRefused),
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.opened(cmd.Context(), "cap inspect", args[0])
			if err != nil {
				return err
			}
			d := c.Describe()
			return a.result(d, func(w io.Writer) { printDescription(w, d) })
		},
	}
}

func printDescription(w io.Writer, d capability.Description) {
	fmt.Fprintf(w, "%s: %s\n", d.Kind, d.Noun)
	if d.StorageIndex != "" {
		fmt.Fprintf(w, "  storage index  %s\n", d.StorageIndex)
	}
	if d.Name != "" {
		fmt.Fprintf(w, "  name           %s\n", d.Name)
	}
	if d.Size != nil {
		fmt.Fprintf(w, "  size           %d bytes\n", *d.Size)
	}
	for _, can := range d.Can {
		fmt.Fprintf(w, "  can            %s\n", can)
	}
	for _, cannot := range d.Cannot {
		fmt.Fprintf(w, "  cannot         %s\n", cannot)
	}
}

func newCapDiminishCommand(a *app) *cobra.Command {
	var to string
	cmd := &cobra.Command{
		Use:   "diminish CAPABILITY|PATH",
		Short: "print a weaker capability to the same thing",
		Long: help(`Prints the next weaker capability: of a write capability the read capability, of a read capability the verify
capability. --to read or --to verify names the one to print. It needs no node, except for a path: the weaker follows
from the stronger, and never the other way.`, statusNotFound, statusNotEnough, statusRefused),
		Example: "  cairn cap diminish cairn:file:bafy...",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.opened(cmd.Context(), "cap diminish", args[0])
			if err != nil {
				return err
			}
			weaker, err := diminish(c, to)
			if err != nil {
				return about(err, "diminish %s", c)
			}
			return a.printCapability(weaker)
		},
	}
	cmd.Flags().StringVar(&to, "to", "", "`AUTHORITY`: read or verify (default: the next weaker)")
	cmd.RegisterFlagCompletionFunc("to", cobra.FixedCompletions([]string{"read", "verify"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func diminish(c capability.Capability, to string) (capability.Capability, error) {
	if to == "" {
		to = "verify"
		if c.Authority() == capability.AuthorityWrite {
			to = "read"
		}
	}
	switch to {
	case "read":
		return c.Read()
	case "verify":
		return c.Verify()
	}
	return c, usagef("--to %s: want read or verify", to)
}

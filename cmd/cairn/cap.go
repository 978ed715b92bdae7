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
		Long:  help("Works on the text of capabilities, offline."),
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newCapInspectCommand(a), newCapDiminishCommand(a))
	return cmd
}

func newCapInspectCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "inspect CAPABILITY",
		Short: "explain what a capability opens and what its holder can do",
		Long: help(`Explains a capability: its kind, what it names, and what its holder can and cannot do. It needs no node, and shows no
key.`),
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			c, err := parseCapability(args[0])
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
		Use:   "diminish CAPABILITY",
		Short: "print a weaker capability to the same thing",
		Long: help(`Prints the next weaker capability: of a write capability the read capability, of a read capability the verify
capability. --to read or --to verify names the one to print. It needs no node: the weaker follows from the stronger, and
never the other way.`, statusRefused),
		Example: "  cairn cap diminish cairn:file:bafy...",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			c, err := parseCapability(args[0])
			if err != nil {
				return err
			}
			weaker, err := diminish(c, to)
			if err != nil {
				return about(err, "diminish %s", c)
			}
			result := struct {
				Capability string `json:"capability"`
				Kind       string `json:"kind"`
			}{weaker.Text(), weaker.Kind().String()}
			return a.result(result, func(w io.Writer) { fmt.Fprintln(w, weaker.Text()) })
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

package main

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"cairn/node/control"
	"cairn/share/capability"
)

func newManifestCommand(a *app) *cobra.Command {
	var caps bool
	cmd := &cobra.Command{
		Use:   "manifest [PATH]",
		Short: "list everything in a tree with its capability",
		Long: help(`Lists everything below a directory, and itself, one line each: the verify capability, with which somebody else can
check and repair it but read nothing, and the path. A literal is stored nowhere and has a dash. With --caps it is
the strongest capability that you have: whoever has the list then has it all. With --json each line is an object.

`+pathHelp, statusNotFound, statusNotEnough, statusRefused),
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: a.completeTargets(false),
		RunE: func(cmd *cobra.Command, args []string) error {
			args = append(args, homeTarget)
			return a.running("manifest", func(client *control.Client) error {
				request := control.ListRequest{Target: args[0], Recursive: true, Capabilities: true}
				return each(cmd.Context(), client, request, func(l *listing, e control.Entry) error {
					e.Path = l.show(e)
					a.noteUnread("manifest", e)
					return a.manifestLine(e, caps)
				})
			})
		},
	}
	cmd.Flags().BoolVar(&caps, "caps", false, "list the strongest capabilities")
	return cmd
}

func (a *app) manifestLine(e control.Entry, caps bool) error {
	line := struct {
		Path       string `json:"path"`
		Type       string `json:"type"`
		Size       int64  `json:"size"`
		ID         string `json:"id,omitempty"`
		Verify     string `json:"verify,omitempty"`
		Capability string `json:"capability,omitempty"`
	}{Path: e.Path, Type: e.Type, Size: e.Size, ID: e.ID}
	shown := "-"
	if c, err := capability.Parse(e.Capability); err == nil {
		if verify, err := c.Verify(); err == nil {
			line.Verify, shown = verify.Text(), verify.Text()
		}
	}
	if caps {
		line.Capability, shown = e.Capability, e.Capability
	}
	if a.json {
		encoder := json.NewEncoder(a.out)
		encoder.SetEscapeHTML(false)
		return encoder.Encode(line)
	}
	_, err := fmt.Fprintf(a.out, "%s\t%s\n", shown, e.Path)
	return err
}

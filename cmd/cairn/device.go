package main

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"cairn/node/control"
)

func newDeviceCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "device",
		Short: "use the grid from several devices",
		Long:  help("The devices of one person: they share the membership, its quota, and the account's key."),
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newDeviceAddCommand(a), newDeviceListCommand(a), newDeviceRemoveCommand(a))
	return cmd
}

func newDeviceAddCommand(a *app) *cobra.Command {
	o := &inviteOptions{request: control.InviteRequest{Device: true}}
	cmd := &cobra.Command{
		Use:   "add",
		Short: "pair another device of yours",
		Long: help(`Prints a line to type on another device of yours, which becomes a node of the same person there: "cairn join" with
that line. It hands over the account's key, encrypted, so show it to nobody; whoever types it first is you.

This node must be running meanwhile.`, statusRefused),
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runInvite(cmd.Context(), a, o) },
	}
	o.addFlags(cmd)
	cmd.Flags().Lookup("expires").DefValue = "1h"
	o.expires = "1h"
	return cmd
}

func newDeviceListCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "list your devices",
		Long:  help("Lists the devices that belong to the same person as this node.", statusRefused),
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := a.client()
			if err != nil {
				return about(err, "device list")
			}
			defer client.Close()
			members, err := client.Members(cmd.Context())
			if err != nil {
				return err
			}
			devices := []control.Device{}
			for _, m := range members {
				if m.Self {
					devices = append(devices, m.Devices...)
				}
			}
			return a.result(devices, func(w io.Writer) { printDevices(w, devices) })
		},
	}
}

func printDevices(w io.Writer, devices []control.Device) {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "NAME\tLAST SEEN\tID")
	for _, d := range devices {
		seen := "never"
		switch {
		case d.Answers:
			seen = "now"
		case !d.LastSeen.IsZero():
			seen = time.Since(d.LastSeen).Round(time.Second).String() + " ago"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\n", d.Name, seen, d.ID)
	}
	table.Flush()
}

func newDeviceRemoveCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "remove DEVICE",
		Short: "take a device out of the grid",
		Long: help(`Takes a device of yours out of the grid, for instance one that you lost: from then on no member talks to it. DEVICE
is its name, its id or the end of one ("cairn device list").

A thief who has the device has the account's key too, and can pair others with it: have somebody revoke you
("cairn revoke"), and join again with a new invitation and a new node.`, statusNotFound, statusRefused),
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := a.client()
			if err != nil {
				return about(err, "device remove %s", args[0])
			}
			defer client.Close()
			removed, err := client.RemoveDevice(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return a.result(removed, func(w io.Writer) { fmt.Fprintf(w, "removed %s (%s)\n", removed.Name, removed.ID) })
		},
	}
}

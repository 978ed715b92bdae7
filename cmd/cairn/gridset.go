package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"cairn/node/config"
	"cairn/node/control"
)

// setOptions say what to change for everybody in the grid.
type setOptions struct {
	paramsFlags
	lease, policy, floor, quota string
	percent                     int
}

func newGridSetCommand(a *app) *cobra.Command {
	o := &setOptions{}
	cmd := &cobra.Command{
		Use:   "set",
		Short: "change what holds for everybody in a private grid",
		Long: help(`Changes the defaults of a private grid, and how much its members may store. Without flags it shows them. The
founder and introducers can change them; what the founder set, introducers cannot.

The policy "proportional" lets everybody store --percent of what they lend, and --floor at least; "fixed" lets
everybody store --quota; "unlimited" whatever there is. A quota given with an invitation counts instead. All shares
are counted: a file of 1 GB takes 3.3 GB at 3-of-10.`, statusRefused),
		Example: "  cairn grid set --policy proportional --percent 100 --floor 2GB\n  cairn grid set --k 3 --happy 7 --n 10 --lease 180d",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runGridSet(cmd, a, o)
		},
	}
	flags := cmd.Flags()
	o.paramsFlags.addFlags(flags)
	flags.StringVar(&o.lease, "lease", "", "`DURATION` for which leases run")
	flags.StringVar(&o.policy, "policy", "", "proportional, fixed or unlimited")
	flags.IntVar(&o.percent, "percent", 0, "proportional: how much of what they lend members may store")
	flags.StringVar(&o.floor, "floor", "", "proportional: `SIZE` that everybody may store")
	flags.StringVar(&o.quota, "quota", "", "fixed: `SIZE` that everybody may store")
	return cmd
}

func runGridSet(cmd *cobra.Command, a *app, o *setOptions) error {
	client, err := a.client()
	if err != nil {
		return about(err, "grid set")
	}
	defer client.Close()
	settings, err := client.GridSettings(cmd.Context())
	if err != nil {
		return err
	}
	if changes(cmd) {
		if settings, err = o.change(cmd.Context(), cmd, client, settings); err != nil {
			return err
		}
	}
	return a.result(settings, func(w io.Writer) {
		encoding, lease := "by the number of servers", "1 year"
		if !settings.Params.IsZero() {
			encoding = settings.Params.String()
		}
		if settings.LeaseSeconds > 0 {
			lease = config.Duration(time.Duration(settings.LeaseSeconds) * time.Second).String()
		}
		fmt.Fprintf(w, "encoding  %s\nlease     %s\npolicy    %s\n", encoding, lease, policyText(settings))
	})
}

// changes reports whether flags of the verb itself were given: where the node is and how to print are no changes.
func changes(cmd *cobra.Command) (given bool) {
	cmd.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) { given = given || f.Changed })
	return given
}

// change applies the flags to the settings and sends them.
func (o *setOptions) change(ctx context.Context, cmd *cobra.Command, client *control.Client, s control.Settings) (control.Settings, error) {
	params, err := o.params(s.Params)
	if err != nil {
		return s, err
	}
	if !params.IsZero() {
		s.Params = params
	}
	if o.lease != "" {
		lease, err := config.ParseDuration(o.lease)
		if err != nil {
			return s, usagef("--lease: %w", err)
		}
		s.LeaseSeconds = int64(math.Ceil(lease.Seconds())) // what is shorter than a second is not the default
	}
	if o.policy != "" && o.policy != s.Policy {
		s.Policy, s.Percent, s.Floor, s.Quota = o.policy, 0, 0, 0
		if o.policy == "proportional" {
			s.Percent, s.Floor = 100, 1<<30
		}
	}
	for flag, policy := range map[string]string{"percent": "proportional", "floor": "proportional", "quota": "fixed"} {
		if cmd.Flags().Changed(flag) && s.Policy != policy {
			return s, usagef("--%s: it is for the policy %s, and this grid's is %s: give --policy %s too", flag, policy, s.Policy, policy)
		}
	}
	if cmd.Flags().Changed("percent") {
		if o.percent < 0 {
			return s, usagef("--percent %d: want 0 or more", o.percent)
		}
		s.Percent = o.percent
	}
	for _, size := range []struct {
		flag, text string
		value      *int64
	}{{"--floor", o.floor, &s.Floor}, {"--quota", o.quota, &s.Quota}} {
		if size.text == "" {
			continue
		}
		parsed, err := config.ParseSize(size.text)
		if err != nil {
			return s, usagef("%s: %w", size.flag, err)
		}
		*size.value = int64(parsed)
	}
	return client.SetGridSettings(ctx, s)
}

// policyText says in words how much members may store.
func policyText(s control.Settings) string {
	switch s.Policy {
	case "proportional":
		return fmt.Sprintf("members may store %d %% of what they lend, and at least %s", s.Percent, sizeText(s.Floor))
	case "fixed":
		return fmt.Sprintf("every member may store %s", sizeText(s.Quota))
	}
	return "members may store whatever there is room for"
}

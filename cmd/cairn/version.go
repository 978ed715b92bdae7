package main

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// release is the version of this program.
const release = "0.1.0"

// version returns the release, with the revision it was built from where that is known.
func version() string {
	if revision := revision(); revision != "" {
		return release + "+" + revision
	}
	return release
}

// revision returns the first digits of the commit that the program was built from.
func revision() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return s.Value[:min(len(s.Value), 12)]
		}
	}
	return ""
}

func newVersionCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "print the version",
		Long:  help("Prints the version of this program and what it was built with."),
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			v := struct {
				Version  string `json:"version"`
				Revision string `json:"revision,omitempty"`
				Go       string `json:"go"`
				OS       string `json:"os"`
				Arch     string `json:"arch"`
			}{release, revision(), runtime.Version(), runtime.GOOS, runtime.GOARCH}
			return a.result(v, func(w io.Writer) {
				fmt.Fprintf(w, "cairn %s %s %s/%s\n", version(), v.Go, v.OS, v.Arch)
			})
		},
	}
}

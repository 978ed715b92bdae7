package main

import (
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"cairn/node/transfer"
)

// habits takes flags of one letter that people type out of habit, and that ask for what is done anyway.
func habits(flags *pflag.FlagSet, letters string) {
	for _, letter := range letters {
		name := "as-usual-" + string(letter)
		flags.BoolP(name, string(letter), false, "")
		_ = flags.MarkHidden(name) // the flag is there
	}
}

// also takes further letters for a flag.
func also(flags *pflag.FlagSet, value *bool, letters ...string) {
	for _, letter := range letters {
		name := "also-" + letter
		flags.BoolVarP(value, name, letter, false, "")
		_ = flags.MarkHidden(name) // the flag is there
	}
}

// repeatsFlag adds the flag that bounds what is written to disk more than once.
func repeatsFlag(flags *pflag.FlagSet, repeats *int) {
	flags.IntVar(repeats, "repeats", transfer.DefaultRepeats, "write `N` entries once more at most, where directories are in several places")
}

// targetFlag adds the flag that names the directory into which all SOURCEs go, in place of a last argument.
func targetFlag(flags *pflag.FlagSet, directory *string) {
	flags.StringVarP(directory, targetName, "t", "", "put all of them into `DIRECTORY`, and none is TARGET")
}

// targetName is the flag's name.
const targetName = "target-directory"

// split takes the target off the end of a command line, unless a flag names it.
func split(args []string, directory string) (sources []string, target string) {
	if directory != "" {
		return args, directory
	}
	return args[:len(args)-1], args[len(args)-1]
}

// sourcesAndTarget checks how many arguments there are, of which the last is the target unless a flag names it.
func sourcesAndTarget(cmd *cobra.Command, args []string) error {
	if cmd.Flags().Changed(targetName) {
		return cobra.MinimumNArgs(1)(cmd, args)
	}
	return cobra.MinimumNArgs(2)(cmd, args)
}

// verboseFlag adds the flag that has a verb say what it did.
func verboseFlag(flags *pflag.FlagSet, verbose *bool) {
	flags.BoolVarP(verbose, "verbose", "v", false, "say what was done")
}

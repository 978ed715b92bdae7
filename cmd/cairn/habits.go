package main

import (
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

// verboseFlag adds the flag that has a verb say what it did.
func verboseFlag(flags *pflag.FlagSet, verbose *bool) {
	flags.BoolVarP(verbose, "verbose", "v", false, "say what was done")
}

package main

import "github.com/spf13/pflag"

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

package main

import (
	"fmt"

	"github.com/spf13/pflag"

	"cairn/node/control"
)

// copyFlag adds the flag that says whether a copy of what is stored goes to the bucket.
func (a *app) copyFlag(flags *pflag.FlagSet) {
	flags.Var((*copyWish)(&a.copies), "keep-copy", "`WHERE` a complete copy is kept besides: s3 for the node's bucket, or none (default: spill.keep_copy)")
}

// A copyWish is the value of the flag.
type copyWish control.CopyWish

func (w *copyWish) String() string { return string(*w) }

func (w *copyWish) Type() string { return "string" }

// Set reads the flag.
func (w *copyWish) Set(text string) error {
	switch wish := control.CopyWish(text); wish {
	case control.CopyToS3, control.CopyNone:
		*w = copyWish(wish)
		return nil
	default:
		return fmt.Errorf("%q: want s3 or none", text)
	}
}

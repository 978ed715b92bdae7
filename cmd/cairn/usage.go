package main

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"cairn/internal/spelling"
	"cairn/node/control"
)

// An operand is a place in a command line that is filled without a flag.
type operand struct {
	name           string
	optional, many bool
}

var (
	operandForm  = regexp.MustCompile(`^(\[?)([A-Za-z][^\]\s]*?)(\.\.\.)?(\]?)(\.\.\.)?$`)
	flagsInUsage = regexp.MustCompile(`\[-[^\]]*\]`)
)

// operandsOf reads the places of a command from its usage line.
func operandsOf(cmd *cobra.Command) []operand {
	var all []operand
	for _, word := range strings.Fields(flagsInUsage.ReplaceAllString(cmd.Use, ""))[1:] {
		if m := operandForm.FindStringSubmatch(word); m != nil {
			all = append(all, operand{name: m[2], optional: m[1] != "", many: m[3] != "" || m[5] != ""})
		}
	}
	return all
}

// missing names the places that a number of arguments leaves empty.
func missing(places []operand, given int) []string {
	var needed []string
	for _, o := range places {
		if !o.optional {
			needed = append(needed, strings.ReplaceAll(o.name, "|", " or "))
		}
	}
	return needed[min(given, len(needed)):]
}

// most returns how many arguments there can be; a negative number is no limit.
func most(places []operand) int {
	for _, o := range places {
		if o.many {
			return -1
		}
	}
	return len(places)
}

// checkCount says which names a command line lacks, or which one is too much.
func checkCount(cmd *cobra.Command, args []string) error {
	places := operandsOf(cmd)
	if cmd.Flags().Changed(targetName) {
		places = places[:len(places)-1]
	}
	if lacks := missing(places, len(args)); len(lacks) > 0 {
		is := "is missing"
		if len(lacks) > 1 {
			is = "are missing"
		}
		return withForm(cmd, "%s%s %s", verbOf(cmd), strings.Join(lacks, " and "), is)
	}
	limit := most(places)
	switch {
	case limit < 0 || len(args) <= limit:
		return nil
	case cmd.HasAvailableSubCommands():
		return unknownVerb(cmd, args[0])
	case limit == 0:
		return withForm(cmd, "%sit takes no names, and here is %s", verbOf(cmd), shownArgument(args[0]))
	}
	return withForm(cmd, "%s%s is too much", verbOf(cmd), shownArgument(args[limit]))
}

// unknownVerb says that a command has no such verb, and which one may be meant.
func unknownVerb(cmd *cobra.Command, word string) error {
	said := fmt.Sprintf("%sthere is no command %s", verbOf(cmd), shownArgument(word))
	var known []string
	for _, sub := range cmd.Commands() {
		if slices.Contains(sub.SuggestFor, word) {
			known = []string{sub.Name()}
			word = sub.Name()
			break
		}
		if sub.IsAvailableCommand() {
			known = append(known, sub.Name())
		}
	}
	if nearest, distance := spelling.Nearest(word, known); distance <= max(1, len(word)/2) {
		said += fmt.Sprintf("; there is %q", cmd.CommandPath()+" "+nearest)
	}
	return withHint(&usageError{err: errors.New(said)}, "see \"%s --help\"", cmd.CommandPath())
}

// misunderstood is the error for a command line that the parser did not understand.
func misunderstood(cmd *cobra.Command, err error) error {
	var word string
	if _, scanned := fmt.Sscanf(err.Error(), "unknown command %q", &word); scanned == nil {
		return unknownVerb(cmd, word)
	}
	if _, hinted := errors.AsType[*hinted](err); hinted {
		return err
	}
	return &usageError{err: err, command: cmd}
}

// explainArguments has a command say in the words of this program what is missing or too much.
func explainArguments(cmd *cobra.Command) {
	fits := cmd.Args
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if fits != nil {
			if err := fits(cmd, args); err != nil {
				return cmp.Or(checkCount(cmd, args), err)
			}
		}
		return checkExclusive(cmd)
	}
}

// withForm is a usage error whose next step shows the form of the command.
func withForm(cmd *cobra.Command, format string, args ...any) error {
	form := strings.TrimSuffix(cmd.UseLine(), " [flags]")
	return withHint(usagef(format, args...), "write it as %s; \"%s --help\" explains it", form, cmd.CommandPath())
}

// verbOf returns what messages about a command line begin with: its command, if it has one.
func verbOf(cmd *cobra.Command) string {
	if !cmd.HasParent() {
		return ""
	}
	return strings.TrimPrefix(cmd.CommandPath(), cmd.Root().Name()+" ") + ": "
}

// shownArgument returns what a person typed, without keys.
func shownArgument(arg string) string {
	if strings.HasPrefix(arg, "cairn:") || strings.HasPrefix(arg, "cairn-") {
		if t, err := control.ParseTarget(arg); err == nil {
			return t.String()
		}
		return "a text with keys"
	}
	return strconv.Quote(arg)
}

// exclusiveGroups is where the parser keeps which flags exclude each other.
const exclusiveGroups = "cobra_annotation_mutually_exclusive"

// checkExclusive says which two flags of a command line exclude each other.
func checkExclusive(cmd *cobra.Command) error {
	var err error
	cmd.Flags().Visit(func(f *pflag.Flag) {
		for _, group := range f.Annotations[exclusiveGroups] {
			for name := range strings.FieldsSeq(group) {
				if name != f.Name && cmd.Flags().Changed(name) && err == nil {
					err = usagef("%s--%s and --%s exclude each other", verbOf(cmd), f.Name, name)
				}
			}
		}
	})
	return err
}

// flagError says in the words of this program what the parser found wrong with a flag.
func flagError(cmd *cobra.Command, err error) error {
	if e, ok := errors.AsType[*pflag.NotExistError](err); ok {
		return unknownFlag(cmd, e)
	}
	if e, ok := errors.AsType[*pflag.ValueRequiredError](err); ok {
		value, _ := pflag.UnquoteUsage(e.GetFlag())
		return usagef("%s%s: %s is missing", verbOf(cmd), flagName(e.GetFlag()), cmp.Or(strings.ToUpper(value), "its value"))
	}
	if e, ok := errors.AsType[*pflag.InvalidValueError](err); ok {
		return usagef("%s%s %s: %s", verbOf(cmd), flagName(e.GetFlag()), shownArgument(e.GetValue()), wantedValue(e))
	}
	if e, ok := errors.AsType[*pflag.InvalidSyntaxError](err); ok {
		return usagef("%s%s is no flag", verbOf(cmd), shownArgument(e.GetSpecifiedFlag()))
	}
	return fmt.Errorf("%s%w", verbOf(cmd), err)
}

// unknownFlag says that there is no such flag, and which one may be meant.
func unknownFlag(cmd *cobra.Command, e *pflag.NotExistError) error {
	if letters := e.GetSpecifiedShortnames(); letters != "" {
		in := ""
		if letters != e.GetSpecifiedName() {
			in = " (in -" + letters + ")"
		}
		flag := "-" + e.GetSpecifiedName()[:1]
		return usagef("%sthere is no flag %s%s%s", verbOf(cmd), flag, in, instead(cmd.Name(), flag))
	}
	var known []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			known = append(known, f.Name)
		}
	})
	flag := "--" + e.GetSpecifiedName()
	said := fmt.Sprintf("%sthere is no flag %s%s", verbOf(cmd), flag, instead(cmd.Name(), flag))
	if nearest, distance := spelling.Nearest(e.GetSpecifiedName(), known); distance <= max(1, len(nearest)/3) {
		said += "; there is --" + nearest
	}
	return errors.New(said)
}

// flagName returns a flag as a person writes it.
func flagName(f *pflag.Flag) string {
	if f.Hidden && f.Shorthand != "" {
		return "-" + f.Shorthand
	}
	return "--" + f.Name
}

// wantedValue says what a flag takes.
func wantedValue(e *pflag.InvalidValueError) string {
	switch f := e.GetFlag(); f.Value.Type() {
	case "int", "uint64", "intSlice":
		if errors.Is(e, strconv.ErrRange) {
			return "the number is too large"
		}
		return "want a whole number"
	case "bool":
		return "it takes no value"
	case "duration":
		return "want a duration such as " + (90 * time.Second).String()
	}
	return e.Unwrap().Error()
}

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"cairn/node"
	"cairn/node/control"
)

// streams are where a command reads and writes.
type streams struct {
	in       *os.File
	out, err io.Writer
}

// An app is one run of the program: what all verbs have in common.
type app struct {
	streams
	dir   string
	json  bool
	quiet bool
	// started is true once the command line has been understood; errors before that are wrong usage.
	started bool
	verb    *cobra.Command // since then
	args    []string       // what stands behind it
	// unread counts the directories that could not be read.
	unread int
	// ended are the things of which it was said that they go on under other keys.
	ended []string
	// passphraseFile holds the passphrase of locked keys, passphrase is it once it was given.
	passphraseFile, passphrase string
	keyring                    int // keyringUnasked and so on
	// copies says whether copies of what is stored go to the bucket.
	copies control.CopyWish
	bar    *progress // the last one that was asked for
	// expression is what find tests and does.
	expression []string
	// answers are what a person types; nil before the first question.
	answers *bufio.Reader
}

// verbs returns every verb. A new one is added here.
func verbs(a *app) []*cobra.Command {
	return []*cobra.Command{
		newInviteCommand(a), newMembersCommand(a), newRevokeCommand(a), newDeviceCommand(a),
		newInitCommand(a), newRecoverCommand(a), newAccountCommand(a), newGridCommand(a), newJoinCommand(a), newUpCommand(a), newStopCommand(a), newServiceCommand(a),
		newStatusCommand(a), newPeersCommand(a), newEventsCommand(a), newDoctorCommand(a),
		newPutCommand(a), newGetCommand(a), newCatCommand(a), newStatCommand(a),
		newMkdirCommand(a), newLsCommand(a), newTreeCommand(a), newCpCommand(a), newMvCommand(a), newRmCommand(a), newLnCommand(a),
		newFindCommand(a), newDuCommand(a), newHistoryCommand(a), newRestoreCommand(a), newBackupCommand(a), newSnapshotsCommand(a), newPruneCommand(a), newAliasCommand(a),
		newShareCommand(a), newSharesCommand(a), newUnshareCommand(a),
		newManifestCommand(a), newMaintainCommand(a),
		newCheckCommand(a), newRepairCommand(a),
		newCapCommand(a), newCIDCommand(a),
		newSpillCommand(a), newStorageCommand(a), newConfigCommand(a), newVersionCommand(a), newManCommand(a),
		newDemoCommand(a), newBenchCommand(a),
	}
}

// execute runs one command line and returns its exit status.
func execute(ctx context.Context, args []string, s streams) int {
	a := &app{streams: s}
	root := newRoot(a)
	root.SetArgs(a.withoutExpression(args))
	root.SetIn(s.in)
	root.SetOut(s.out)
	root.SetErr(s.err)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return statusDone
	}
	if _, told := errors.AsType[*interruptedError](err); ctx.Err() != nil && !told {
		err = ctx.Err()
	} else if !a.started {
		err = misunderstood(cmd, err)
	}
	a.report(err)
	return statusOf(err)
}

func newRoot(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:   "cairn",
		Short: "peer-to-peer storage among friends",
		Long: `Cairn is a storage grid made of the spare disks of friends. Files are encrypted before they leave this machine, cut
into shares of which some are enough to give them back, and spread over the members' nodes.

  cairn init --nickname laptop           make a node
  cairn grid create "river friends"      found a private grid
  cairn up                               run the node
  cairn invite --name sister             print what a friend has to type
  cairn put holiday.mp4                  store a file, print its capability
  cairn get CAPABILITY -o copy.mp4       read it back, anywhere on the grid
  cairn cp plan.txt home:docs/           give it a name instead
  cairn ls -l home:docs                  see what is there
  cairn demo                             see it all happen on this machine alone`,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.CompletionOptions.HiddenDefaultCmd = false
	flags := root.PersistentFlags()
	flags.StringVar(&a.dir, "dir", defaultDir(), "`DIR` of the node (or CAIRN_DIR)")
	flags.BoolVar(&a.json, "json", false, "print results as JSON")
	flags.BoolVarP(&a.quiet, "quiet", "q", false, "print results and errors only")
	flags.StringVar(&a.passphraseFile, "passphrase-file", "", "`FILE` with the passphrase of locked keys, - for standard input (or CAIRN_PASSPHRASE_FILE)")
	root.MarkPersistentFlagDirname("dir")
	root.SetHelpCommand(newHelpCommand())
	root.SetFlagErrorFunc(flagError)
	root.AddCommand(verbs(a)...)
	noteStart(root, a)
	return root
}

// newHelpCommand returns `cairn help VERB`.
func newHelpCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "help [VERB]",
		Short: "explain a command",
		Long:  help("Explains a command: what it does, its flags, and its exit statuses."),
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			target, rest, err := cmd.Root().Find(args)
			if err != nil || len(rest) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			var names []string
			for _, sub := range target.Commands() {
				if sub.IsAvailableCommand() {
					names = append(names, sub.Name()+"\t"+sub.Short)
				}
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			target, rest, err := cmd.Root().Find(args)
			if err != nil || len(rest) > 0 {
				return usagef("help: there is no command %q", strings.Join(args, " "))
			}
			target.InitDefaultHelpFlag()
			return target.Help()
		},
	}
}

// noteStart makes every command note that its command line has been understood: what fails before is wrong usage.
func noteStart(cmd *cobra.Command, a *app) {
	if cmd.HasParent() {
		explainArguments(cmd)
	}
	if run := cmd.RunE; run != nil {
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			a.started, a.verb, a.args = true, cmd, args
			a.warnOfVariables()
			if err := checkTargets(args); err != nil {
				return about(err, "%s", cmd.Name())
			}
			return run(cmd, args)
		}
	}
	for _, sub := range cmd.Commands() {
		noteStart(sub, a)
	}
}

// defaultDir returns the directory of the node where none is named.
func defaultDir() string {
	if dir := os.Getenv(dirVariable); dir != "" {
		return dir
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return ".cairn"
	}
	return filepath.Join(home, ".cairn")
}

// client returns a client for the running node.
func (a *app) client() (*control.Client, error) {
	c, err := control.Dial(a.dir)
	if errors.Is(err, control.ErrNotRunning) && !node.Exists(a.dir) {
		err = about(node.ErrNoNode, "%s", a.dir)
	}
	if err == nil {
		c.KeepCopies(a.copies)
		var once sync.Once
		c.OnWaiting(func(w control.Waiting) { once.Do(func() { a.showWaiting(w) }) })
	}
	return c, err
}

// showWaiting tells a person at a terminal why nothing happens yet.
func (a *app) showWaiting(w control.Waiting) {
	if !a.terminal() {
		return
	}
	text := fmt.Sprintf("waiting for the other nodes of the grid: %d of the %d known ones answer", w.Answer, w.Known)
	if a.bar == nil || !a.bar.say(text) {
		a.note("%s", text)
	}
}

// result prints a result on standard output: as JSON where that was asked for, for people otherwise. On a terminal names cannot
// change how the rest shows; elsewhere they are as they are. What could not be written, as to a disk that is full, is an error.
func (a *app) result(value any, human func(w io.Writer)) error {
	if !a.json {
		out := &firstFailure{w: a.out}
		if a.outTerminal() {
			var text strings.Builder
			human(&text)
			_, _ = io.WriteString(out, visibleLines(text.String()))
			return out.err
		}
		human(out)
		return out.err
	}
	encoder := json.NewEncoder(a.out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(value)
}

// noteIf tells a person something on standard error who asked for it.
func (a *app) noteIf(asked bool, format string, args ...any) {
	if asked {
		a.note(format, args...)
	}
}

// note tells a person something on standard error.
func (a *app) note(format string, args ...any) {
	if !a.quiet {
		fmt.Fprintln(a.err, visibleLines(a.advice(fmt.Sprintf(format, args...))))
	}
}

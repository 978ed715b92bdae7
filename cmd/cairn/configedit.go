package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"cairn/node"
	"cairn/node/config"
	"cairn/share"
)

// editedName is the copy of the configuration file that is edited, and stays where what was written there is refused.
const editedName = "config.edited.toml"

func newConfigEditCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "edit",
		Short: "edit the configuration file",
		Long: help(`Opens a copy of the configuration file in the editor that VISUAL or EDITOR names, checks it afterwards as "config set"
does, and puts it in the place of the file. Where something is wrong the file stays as it was, the editor can be opened
again, and the copy stays for the next "config edit".`, statusRefused),
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !node.Exists(a.dir) {
				return about(node.ErrNoNode, "%s", a.dir)
			}
			editor := os.Getenv("VISUAL")
			if editor == "" {
				editor = os.Getenv("EDITOR")
			}
			if editor == "" {
				return withHint(errors.New("edit configuration: neither VISUAL nor EDITOR is set"), "edit %s, or use \"%s\"", a.configPath(), a.command("config set KEY VALUE"))
			}
			return runConfigEdit(cmd.Context(), a, editor)
		},
	}
}

func runConfigEdit(ctx context.Context, a *app, editor string) error {
	before, err := os.ReadFile(a.configPath())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	path := filepath.Join(a.dir, editedName)
	if left, err := os.ReadFile(path); err == nil && !bytes.Equal(left, before) {
		a.note("what was edited before and not taken is there again; without %s the file itself is edited", path)
	} else if err := os.WriteFile(path, before, 0o600); err != nil {
		return about(err, "edit configuration")
	}
	for {
		edit := editorCommand(ctx, editor, path)
		edit.Stdin, edit.Stdout, edit.Stderr = a.in, a.out, a.err
		if err := edit.Run(); err != nil {
			return about(err, "edit configuration with %s", editor)
		}
		after, err := os.ReadFile(path)
		if err != nil {
			return about(err, "edit configuration")
		}
		if bytes.Equal(before, after) {
			return os.Remove(path)
		}
		err = a.takeEdited(ctx, before, after)
		if err == nil {
			a.noteRestart("what was changed holds")
			return os.Remove(path)
		}
		if !a.editAgain(err) {
			return withHint(about(err, "the settings stay as they were"), "what was edited is in %s: \"%s\" goes on with it%s", path, a.command("config edit"), orHint(err))
		}
	}
}

// orHint returns what else an error advises.
func orHint(err error) string {
	if h, ok := errors.AsType[*hinted](err); ok {
		return "; " + h.hint
	}
	return ""
}

// editAgain asks a person at a terminal whether to open the editor again.
func (a *app) editAgain(why error) bool {
	if a.in == nil || !a.terminal() || !term.IsTerminal(int(a.in.Fd())) {
		return false
	}
	a.report(why)
	fmt.Fprint(a.err, "Edit it again? [Y/n] ")
	answer, err := bufio.NewReader(a.in).ReadString('\n')
	return err == nil && !strings.HasPrefix(strings.ToLower(strings.TrimSpace(answer)), "n")
}

// takeEdited writes an edited configuration file, unless "config set" would refuse a change in it.
func (a *app) takeEdited(ctx context.Context, before, after []byte) error {
	edited, err := config.Parse(after)
	if err == nil {
		err = edited.Validate()
	}
	if err != nil {
		return err
	}
	// A file that could not be read before is compared with nothing: what a start refuses it refuses.
	if was, err := config.Parse(before); err == nil && was.Validate() == nil {
		if err := a.refuseBucketSettings(was, edited); err != nil {
			return err
		}
		if err := a.refuseLeaving(ctx, was, edited); err != nil {
			return err
		}
	}
	if now, err := os.ReadFile(a.configPath()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	} else if !bytes.Equal(now, before) {
		return fmt.Errorf("%w: somebody else has changed %s meanwhile", share.ErrBusy, a.configPath())
	}
	return config.Write(a.configPath(), after)
}

// editorCommand runs an editor on a file. The variable may hold arguments, as in "code --wait"; a shell takes them apart as
// the user means them, where there is one.
func editorCommand(ctx context.Context, editor, path string) *exec.Cmd {
	if runtime.GOOS == "windows" {
		words := append(strings.Fields(editor), path)
		return exec.CommandContext(ctx, words[0], words[1:]...)
	}
	return exec.CommandContext(ctx, "sh", "-c", editor+` "$1"`, "sh", path)
}

package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"cairn/node"
	"cairn/node/config"
)

func newConfigCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "show and change settings",
		Long: help(`Shows and changes the node's settings. A flag of "cairn up" wins over the environment, the environment over the file,
the file over the default. A change takes effect when the node is started again.

Every setting has an environment variable: of storage.offer it is CAIRN_STORAGE_OFFER, and so on. "cairn config show
--doc" says what each setting is for. These are all:

` + settings()),
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newConfigGetCommand(a), newConfigSetCommand(a), newConfigEditCommand(a), newConfigPathCommand(a), newConfigShowCommand(a))
	return cmd
}

// settings lists the keys of all settings, those of a section together.
func settings() string {
	var b strings.Builder
	column, section := 0, ""
	for _, f := range config.Fields() {
		of, _, _ := strings.Cut(f.Key, ".")
		if of != section || column+1+len(f.Key) > helpWidth {
			b.WriteString("\n ")
			column, section = 1, of
		}
		b.WriteString(" " + f.Key)
		column += 1 + len(f.Key)
	}
	return strings.TrimPrefix(b.String(), "\n")
}

func getenv(key string) string { return os.Getenv(key) }

func (a *app) configPath() string { return filepath.Join(a.dir, config.FileName) }

// completeKey completes the keys of settings.
func completeKey(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var keys []string
	for _, f := range config.Fields() {
		keys = append(keys, f.Key+"\t"+f.Doc)
	}
	return keys, cobra.ShellCompDirectiveNoFileComp
}

func newConfigGetCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:               "get KEY",
		Short:             "print one setting",
		Long:              help("Prints the value that holds for one setting."),
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeKey,
		RunE: func(_ *cobra.Command, args []string) error {
			f, err := config.Lookup(args[0])
			if err != nil {
				return &usageError{err: err}
			}
			c, _, err := a.loadConfig(nil)
			if err != nil {
				return err
			}
			return a.result(map[string]any{"key": f.Key, "value": f.Value(c)}, func(w io.Writer) { fmt.Fprintln(w, f.Get(c)) })
		},
	}
}

func newConfigSetCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:               "set KEY VALUE",
		Short:             "change one setting in the file",
		Long:              help("Changes one setting in the file and leaves the rest of it as it is, comments included. Lists are separated by commas."),
		Example:           "  cairn config set storage.offer 50GB",
		Args:              cobra.ExactArgs(2),
		ValidArgsFunction: completeKey,
		RunE: func(cmd *cobra.Command, args []string) error {
			if !node.Exists(a.dir) {
				return about(node.ErrNoNode, "%s", a.dir)
			}
			before, _, wrong := a.loadConfig(nil)
			edited, err := a.editSettings(map[string]string{args[0]: args[1]})
			if err == nil {
				err = a.refuseBucketSetting(args[0], edited.config.Spill)
			}
			if err == nil && wrong == nil {
				err = a.refuseLeaving(cmd.Context(), before, edited.config)
			}
			if err == nil {
				err = edited.write(a)
			}
			if err != nil {
				return err
			}
			a.noteChange(args[0], args[1])
			if now, _, err := a.loadConfig(nil); err == nil && wrong == nil && before.Storage.Enabled && now.Storage.Path != before.Storage.Path {
				a.note("What is stored in %s stays there and is not served any more; a node that leaves (\"%s\") hands it to others first.",
					before.Storage.Path, a.command("grid leave"))
			}
			return a.result(map[string]string{"key": args[0], "value": args[1]}, func(io.Writer) {})
		},
	}
}

// changeSetting changes one setting in the file.
func (a *app) changeSetting(key, value string) error {
	return a.changeSettings(map[string]string{key: value})
}

// changeSettings writes all of the values into the configuration file, or none.
func (a *app) changeSettings(values map[string]string) error {
	edited, err := a.editSettings(values)
	if err != nil {
		return err
	}
	return edited.write(a)
}

// editedSettings are a configuration file that is not written yet.
type editedSettings struct {
	text   []byte
	config config.Config // what the file says
}

func (e editedSettings) write(a *app) error { return config.Write(a.configPath(), e.text) }

// editSettings sets all of the values in the text of the configuration file.
func (a *app) editSettings(values map[string]string) (e editedSettings, err error) {
	data, err := os.ReadFile(a.configPath())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return e, err
	}
	if _, err := config.Parse(data); err != nil {
		return e, withHint(about(err, "configuration %s", a.configPath()), "correct it with \"%s\"", a.command("config edit"))
	}
	if e.text, err = config.Edit(data, values); err != nil {
		return e, &usageError{err: err}
	}
	e.config, err = config.Parse(e.text)
	return e, err
}

// noteChange says from when on a setting that was changed in the file holds.
func (a *app) noteChange(key, value string) {
	f, err := config.Lookup(key)
	if err == nil && getenv(f.Env) != "" {
		a.note("%s is %s in the file, but the environment variable %s wins where it is set, as it is here", key, value, f.Env)
	}
	a.noteRestart(fmt.Sprintf("%s is %s", key, value))
}

// noteRestart says from when on a change of the file holds.
func (a *app) noteRestart(change string) {
	if _, running, err := node.Running(a.dir); err == nil && running {
		a.note("%s from the node's next start on; it is running: \"%s\" stops it", change, a.command("stop"))
		return
	}
	a.note("%s from the node's next start on", change)
}

func newConfigPathCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "path",
		Short: "print the path of the configuration file",
		Long:  help("Prints the path of the configuration file."),
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return a.result(map[string]string{"path": a.configPath()}, func(w io.Writer) { fmt.Fprintln(w, a.configPath()) })
		},
	}
}

// A setting is one line of `config show`.
type setting struct {
	Key    string `json:"key"`
	Value  any    `json:"value"`
	Origin string `json:"origin"`
	Env    string `json:"env"`
	Doc    string `json:"doc"`
}

func newConfigShowCommand(a *app) *cobra.Command {
	var origin, doc bool
	cmd := &cobra.Command{
		Use:   "show",
		Short: "show every setting",
		Long: help(`Shows the value that holds for every setting; with --origin also where it comes from (a flag, an environment variable,
the file or the default), with --doc what it is for.`),
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			c, origins, err := a.loadConfig(nil)
			if err != nil {
				return err
			}
			var settings []setting
			for _, f := range config.Fields() {
				settings = append(settings, setting{f.Key, f.Value(c), origins[f.Key], f.Env, f.Doc})
			}
			return a.result(settings, func(w io.Writer) {
				t := newTable(w)
				for _, f := range config.Fields() {
					cells := []string{f.Key, f.Get(c)}
					if origin {
						cells = append(cells, origins[f.Key])
					}
					if doc {
						cells = append(cells, f.Doc)
					}
					t.row(cells...)
				}
				t.end()
			})
		},
	}
	cmd.Flags().BoolVar(&origin, "origin", false, "say where each value comes from")
	cmd.Flags().BoolVar(&doc, "doc", false, "say what each setting is for")
	return cmd
}

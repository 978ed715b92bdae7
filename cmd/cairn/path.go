package main

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"cairn/internal/awake"
	"cairn/node/control"
	"cairn/share/capability"
)

// homeTarget is what verbs that list work on where nothing is named.
const homeTarget = control.HomeAlias + ":"

// pathHelp explains targets in the help of every verb that takes them.
const pathHelp = `A PATH is ALIAS:NAME/NAME, such as home:docs/plan.txt, or CAPABILITY/NAME. home: is your root directory, which every
node has; "cairn alias" makes more. ".." is refused, since a directory may be in many others.`

// checkTargets refuses places on the grid that are not UTF-8: requests to the node would name something else in their place.
func checkTargets(args []string) error {
	for _, arg := range args {
		if control.OnGrid(arg) && !utf8.ValidString(arg) {
			if strings.HasPrefix(arg, "cairn:") {
				arg = "CAPABILITY/..."
			}
			return usagef("%q: the path is not UTF-8", arg)
		}
	}
	return nil
}

// bare reports whether a text is a capability alone, and not a path.
func bare(text string) bool {
	return strings.HasPrefix(text, "cairn:") && !strings.Contains(text, "/")
}

// running runs what needs the node, and says in an error which verb it was.
func (a *app) running(verb string, do func(*control.Client) error) error {
	client, err := a.client()
	if err == nil {
		defer client.Close()
		if err = do(client); err == nil && a.unread > 0 {
			err = errUnread
		}
	}
	return about(err, "%s", verb)
}

var errUnread = errors.New("not everything could be read: what could not is named above")

// noteUnread says of a directory of a listing that it could not be read, and makes the command fail in the end.
func (a *app) noteUnread(verb string, e control.Entry) {
	if e.Problem != "" {
		a.unread++
		fmt.Fprintf(a.err, "cairn: %s: %s: %s\n", verb, visible(shownTarget(e.Path)), visible(e.Problem))
	}
}

// lookup returns what a path or a capability leads to, with its capability.
func lookup(ctx context.Context, client *control.Client, target string) (control.Entry, error) {
	return client.Lookup(ctx, control.LookupRequest{Target: target, Capabilities: true})
}

// opened returns the capability that a person named by itself or by a path. A capability needs no node.
func (a *app) opened(ctx context.Context, verb, text string) (c capability.Capability, err error) {
	if bare(text) {
		return parseCapability(text)
	}
	err = a.running(verb, func(client *control.Client) error {
		e, err := lookup(ctx, client, text)
		if err != nil {
			return err
		}
		c, err = capability.Parse(e.Capability)
		return err
	})
	return c, err
}

// atPath says in an error about a capability where that is, for who named a path and not the capability.
func atPath(err error, c capability.Capability, target string) error {
	e, ok := errors.AsType[*control.Error](err)
	if !ok || strings.HasPrefix(target, "cairn:") || strings.HasPrefix(target, "[") { // a secret, or what is shown of one
		return err
	}
	at := *e
	if rest, begins := strings.CutPrefix(e.Message, c.String()); begins {
		at.Message = strings.TrimSuffix(target, ":") + rest
	}
	at.Hint = strings.ReplaceAll(e.Hint, control.AnyCapability, typed(target))
	return &at
}

// A listing turns the paths of a listing into what the person typed with the rest behind it, so that they can be used again.
type listing struct {
	typed string // the target
	base  string // the path of the first entry
}

// relative returns the names below the target, empty for the target itself.
func (l *listing) relative(e control.Entry) string {
	return strings.TrimLeft(strings.TrimPrefix(e.Path, l.base), "/")
}

// show returns the path as the person would type it.
func (l *listing) show(e control.Entry) string {
	rest := l.relative(e)
	if rest == "" {
		return l.typed
	}
	return below(l.typed, rest)
}

// below returns the target of what is in another one.
func below(target, name string) string {
	if strings.HasSuffix(target, "/") || strings.HasSuffix(target, ":") && !strings.HasPrefix(target, "cairn:") {
		return target + name
	}
	return target + "/" + name
}

// depthOf returns how many names a path has.
func depthOf(rest string) int {
	if rest == "" {
		return 0
	}
	return 1 + strings.Count(rest, "/")
}

// hidden reports whether one of the names has a dot in front.
func hidden(rest string) bool {
	return strings.HasPrefix(rest, ".") || strings.Contains(rest, "/.")
}

// each lists a target and everything that a request asks for, the target itself first.
func each(ctx context.Context, client *control.Client, request control.ListRequest, do func(l *listing, e control.Entry) error) error {
	l := &listing{typed: request.Target}
	request.Self = true
	first := true
	return client.List(ctx, request, func(e control.Entry) error {
		if first {
			l.base, first = e.Path, false
		}
		return do(l, e)
	})
}

// into returns the target for each of several things, which all go into one directory. It has to be there before the first of
// them: a directory that is moved to a name that nobody has takes the name, and the next one would end inside it.
func into(ctx context.Context, client *control.Client, target string, several bool) (string, error) {
	if !several || nameOf(target) == "" {
		return target, nil
	}
	if !strings.HasSuffix(target, "/") {
		target += "/"
	}
	_, err := client.Lookup(ctx, control.LookupRequest{Target: target})
	return target, err
}

// nameOf returns the last name of a target, empty for a root.
func nameOf(target string) string {
	if !strings.HasPrefix(target, "cairn:") {
		_, target, _ = strings.Cut(target, ":")
	} else if bare(target) {
		return ""
	}
	name := path.Base(strings.TrimSuffix(target, "/"))
	if name == "." || name == "/" {
		return ""
	}
	return name
}

// completeTimeout bounds how long a shell waits for the names in a directory.
const completeTimeout = 3 * time.Second

// completeTargets completes aliases and the names in directories, and files on disk where disk is set.
func (a *app) completeTargets(disk bool) cobra.CompletionFunc {
	return func(cmd *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
		directive := cobra.ShellCompDirectiveNoSpace | cobra.ShellCompDirectiveNoFileComp
		if disk {
			directive = cobra.ShellCompDirectiveNoSpace
		}
		client, err := a.client()
		if err != nil || strings.HasPrefix(typed, "cairn:") {
			return nil, directive
		}
		defer client.Close()
		ctx, cancel := awake.WithTimeout(cmd.Context(), completeTimeout)
		defer cancel()
		if !strings.Contains(typed, ":") {
			return completeAlias(ctx, client, typed), directive
		}
		at := strings.LastIndexAny(typed, ":/") + 1
		var found []string
		_ = client.List(ctx, control.ListRequest{Target: typed[:at], Limit: 200}, func(e control.Entry) error {
			if strings.HasPrefix(e.Name, typed[at:]) && (typed[at:] != "" || !hidden(e.Name)) {
				name := typed[:at] + e.Name
				if e.Directory() {
					name += "/"
				}
				found = append(found, name)
			}
			return nil
		})
		return found, directive | cobra.ShellCompDirectiveNoFileComp
	}
}

func completeAlias(ctx context.Context, client *control.Client, typed string) []string {
	aliases, err := client.Aliases(ctx)
	if err != nil {
		return nil
	}
	var found []string
	for _, alias := range aliases {
		if strings.HasPrefix(alias.Alias, typed) {
			found = append(found, alias.Alias+":")
		}
	}
	return found
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"cairn/node"
	"cairn/node/config"
	"cairn/node/control"
	"cairn/share"
	"cairn/share/s3"
)

// explainLeft says what can be done about settings that leave a bucket in which shares are. The origins say where the settings come from; nil
// where they are not in force yet.
func (a *app) explainLeft(err error, c config.Config, origins config.Origins) error {
	left, ok := errors.AsType[*s3.OtherError](err)
	if !ok {
		return err
	}
	giveUp := fmt.Sprintf("%q gives up what is in it, after a list of it", a.command("spill off --abandon"))
	if node.UsedForStorage(left.Held) {
		giveUp = fmt.Sprintf("%q gives up what is in it, after a list of it", a.command("storage abandon"))
	}
	if left.Now == left.Held.Place() {
		return withHint(err, "bring back what was there, as from older versions of its objects, and start the node again; or %s", giveUp)
	}
	back := a.backTo(left.Held, c, origins)
	if !node.UsedForStorage(left.Held) {
		if a.leftCopiesOnly() {
			back += ", and start the node"
		} else {
			back += fmt.Sprintf(", start the node, and bring back what is there: %q", a.command("spill drain --all"))
		}
	}
	if origins == nil {
		return withHint(err, "leave the settings as they are; %q hands what is there to others, and %s", a.command("grid leave"), giveUp)
	}
	return withHint(err, "%s; or %s", back, giveUp)
}

// backTo says how the settings name again the bucket in which shares are.
func (a *app) backTo(held s3.Known, c config.Config, origins config.Origins) string {
	table, name := "spill", "bucket"
	if node.UsedForStorage(held) {
		table, name = "storage", "path"
	}
	var elsewhere, verbs []string
	for _, wanted := range [][2]string{{"storage.enabled", "true"}, {table + "." + name, held.URL}, {table + ".endpoint", held.Endpoint}} {
		key, value := wanted[0], wanted[1]
		f, err := config.Lookup(key)
		if err != nil || f.Get(c) == value || key == "storage.enabled" && table == "spill" {
			continue
		}
		switch origin := origins[key]; origin {
		case f.Env:
			elsewhere = append(elsewhere, "unset "+f.Env)
		case "flag":
			elsewhere = append(elsewhere, "leave out --set "+key)
		default:
			verbs = append(verbs, fmt.Sprintf("%q", a.command("config set "+typed(key, value))))
		}
	}
	if len(elsewhere) > 0 {
		return strings.Join(elsewhere, " and ")
	}
	if table == "spill" {
		return fmt.Sprintf("name it again: %q", a.command("spill set "+typed(held.URL, "--endpoint="+held.Endpoint)))
	}
	if c.Spill.Bucket != "" {
		verbs = append([]string{fmt.Sprintf("%q", a.command("spill off"))}, verbs...)
	}
	return "name it again: " + strings.Join(verbs, ", ")
}

// refuseLeaving refuses settings under which the node would not start any more, because they leave a bucket in which shares are.
func (a *app) refuseLeaving(ctx context.Context, before, after config.Config) error {
	was, wasNamed, _ := node.NamedBucket(before)
	now, named, err := node.NamedBucket(after)
	if err != nil {
		return &usageError{err: err}
	}
	if wasNamed == named && was.URL() == now.URL() {
		return nil
	}
	err = node.LeavesBucket(a.dir, after)
	if errors.Is(err, share.ErrBusy) {
		err = a.leavesOpenBucket(ctx, now, named)
	}
	return a.explainLeft(err, after, nil)
}

// leavesOpenBucket asks the running node whether something is in its bucket. The settings name another one, or none.
func (a *app) leavesOpenBucket(ctx context.Context, now s3.Config, named bool) error {
	return a.running("ask what is in the bucket", func(client *control.Client) error {
		s, err := client.Status(ctx)
		if err != nil {
			return err
		}
		left := &s3.OtherError{}
		switch b := s.Storage.Bucket; {
		case b != nil && b.Stored > 0:
			left.Held = s3.Known{URL: b.URL, Endpoint: b.Endpoint, Use: "storage", Bytes: b.Stored}
		case s.Spill != nil && s.Spill.Stored > 0:
			left.Held = s3.Known{URL: s.Spill.Bucket, Endpoint: s.Spill.Endpoint, Use: "spill", Bytes: s.Spill.Stored}
		default:
			return nil
		}
		if named {
			left.Now = now.Place()
		}
		if left.Held.URL == now.URL() {
			return nil
		}
		return left
	})
}

// leftBehind lists what the index of the node's bucket has. The node must not run.
func (a *app) leftBehind() ([]control.Spilled, error) {
	left := []control.Spilled{}
	err := node.BucketContents(a.dir, listInto(&left))
	if errors.Is(err, share.ErrNotFound) {
		err = nil
	}
	return left, err
}

// leftCopiesOnly reports whether all that is in the bucket are copies, which are not brought back.
func (a *app) leftCopiesOnly() bool {
	left, err := a.leftBehind()
	return err == nil && !slices.ContainsFunc(left, func(f control.Spilled) bool { return !f.Copy })
}

// listInto returns what adds the contents of a bucket to a list.
func listInto(left *[]control.Spilled) func(s3.Content) {
	return func(c s3.Content) {
		if c.Index.IsZero() {
			*left = append(*left, control.Spilled{Name: c.Name.String()})
			return
		}
		f := control.Spilled{File: c.Index.String(), Owners: c.Owners, Copy: node.IsCopy(c)}
		for _, n := range c.Numbers {
			f.Shares = append(f.Shares, int(n))
		}
		*left = append(*left, f)
	}
}

// printSpilled lists what is in a bucket.
func printSpilled(w io.Writer, left []control.Spilled) {
	for _, f := range left {
		if f.Name != "" {
			fmt.Fprintf(w, "%s heads\n", f.Name)
			continue
		}
		what := "stored for"
		if f.Copy {
			what = "a copy for"
		}
		var numbers []string
		for _, n := range f.Shares {
			numbers = append(numbers, strconv.Itoa(n))
		}
		slices.Sort(f.Owners)
		fmt.Fprintf(w, "%s shares %s, %s %s\n", f.File, strings.Join(numbers, ","), what, strings.Join(f.Owners, ", "))
	}
}

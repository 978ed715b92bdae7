package main

import (
	"context"
	"strings"

	"cairn/node/control"
)

// getKeys says how to come by the new keys of something that goes on under them.
const getKeys = "\"cairn shares\" fetches the new keys where its owner still shares it with you; otherwise ask for it anew"

// noteEnded says of something that it goes on under other keys: once, and not of what is in it besides.
func (a *app) noteEnded(what string, ended bool) {
	if !ended {
		return
	}
	for _, told := range a.ended {
		if what == told || strings.HasPrefix(what, below(told, "")) {
			return
		}
	}
	a.ended = append(a.ended, what)
	a.note("%s has been given new keys since: this is how it was then, and nothing can be changed in it. %s", what, getKeys)
}

// lookEnded says of what a target leads to that it goes on under other keys, and reports whether it does.
func (a *app) lookEnded(ctx context.Context, client *control.Client, target string) bool {
	e, err := client.Lookup(ctx, control.LookupRequest{Target: target, Links: true})
	ended := err == nil && e.Ended
	a.noteEnded(shownTarget(e.Path), ended)
	return ended
}

// tellEnded says, where a target refused what was to be written, that it or a directory that it is in goes on under other keys. It returns
// the error of the writing.
func (a *app) tellEnded(ctx context.Context, target string, err error) error {
	if statusOf(err) != statusRefused || !control.OnGrid(target) {
		return err
	}
	client, failed := a.client()
	if failed != nil {
		return err
	}
	defer client.Close()
	return a.refusedAt(ctx, client, err, target)
}

// refusedAt is tellEnded of several targets, of which one refused.
func (a *app) refusedAt(ctx context.Context, client *control.Client, err error, targets ...string) error {
	if statusOf(err) == statusRefused {
		for _, target := range targets {
			a.lookWhereTo(ctx, client, target)
		}
	}
	return err
}

// lookWhereTo is lookEnded of a target that is to be written, or else of the directories that it is in.
func (a *app) lookWhereTo(ctx context.Context, client *control.Client, target string) {
	for !a.lookEnded(ctx, client, target) && nameOf(target) != "" {
		target = above(target)
	}
}

// above returns the target of the directory that another one is in, which has a name.
func above(target string) string {
	return strings.TrimSuffix(strings.TrimRight(target, "/"), nameOf(target))
}

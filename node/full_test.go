package node_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"cairn/node/control"
)

func failed(_ control.Entry, err error) error { return err }

// TestFullAccount: who may store nothing more can still remove things and make them smaller, and is told so when something would take more.
func TestFullAccount(t *testing.T) {
	anna, _ := foundPrivate(t, "anna")
	start(t, anna)
	atAnna := client(t, anna)
	if _, err := atAnna.SetGridSettings(t.Context(), control.Settings{Policy: "fixed", Quota: 1_000_000}); err != nil {
		t.Fatal(err)
	}
	bert := invited(t, atAnna, control.InviteRequest{Nickname: "bert"}, "")
	c := testConfig()
	c.Nickname, c.Storage.Enabled = "bert", false // so that all goes to anna
	_, at := open(t, bert, c)
	comesTrue(t, "they met", func() bool { return storing(t, at) == 1 && answering(t, atAnna) == 1 })
	ctx := t.Context()
	put := func(target string, size int, mutable bool) error {
		data := bytes.Repeat([]byte("x"), size)
		_, err := at.Put(ctx, bytes.NewReader(data), control.PutRequest{Size: int64(size), Private: !mutable, Mutable: mutable, Target: target}, nil)
		return err
	}
	mkdir := func(target string) error {
		_, err := at.Mkdir(ctx, control.MkdirRequest{Target: target})
		return err
	}
	for i := range 30 {
		if err := put(fmt.Sprintf("home:file %02d", i), 100, false); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(put("home:notes", 30_000, true), mkdir("home:below"), put("home:below/file", 100, false)); err != nil {
		t.Fatal(err)
	}
	if err := put("home:big", 320_000, true); err != nil {
		t.Fatal(err)
	}
	for size := 200_000; size > 60; size = size * 2 / 3 {
		for put("", size, false) == nil { //nolint:revive // until nothing of that size fits
		}
	}
	for i := 0; mkdir(fmt.Sprint("home:new ", i)) == nil; i++ { // which takes less than the smallest file
	}
	for what, err := range map[string]error{"a directory": mkdir("home:new"), "a file": put("home:large", 50_000, false), "a larger version": put("home:notes", 60_000, false)} {
		e, ok := errors.AsType[*control.Error](err)
		if !ok || e.Code != control.CodeRefused || !strings.Contains(e.Message, "quota") || e.Hint == "" {
			t.Errorf("%s: %+v", what, err)
		}
	}
	e, ok := errors.AsType[*control.Error](put("home:big", 300_000, false))
	if !ok || e.Code != control.CodeRefused || !strings.Contains(e.Hint, "\"cairn history --keep-versions 1 --keep-for 1h home:big\"") {
		t.Errorf("a version that is smaller, and has no room beside the larger one: %+v", e)
	}
	if _, err := at.Retain(ctx, control.RetainRequest{Target: "home:big", Keep: control.Retention{Versions: 1, Seconds: 3600}}); err != nil {
		t.Errorf("keep less of a large file: %v", err)
	}
	if err := put("home:big", 10_000, false); err != nil {
		t.Errorf("a version that goes along with its head: %v", err)
	}
	if _, err := at.Remove(ctx, control.RemoveRequest{Target: "home:big"}); err != nil {
		t.Errorf("remove a large file: %v", err)
	}
	for i := range 30 {
		if _, err := at.Remove(ctx, control.RemoveRequest{Target: fmt.Sprintf("home:file %02d", i)}); err != nil {
			t.Fatalf("remove file %d: %v", i, err)
		}
	}
	if _, err := at.Remove(ctx, control.RemoveRequest{Target: "home:below", Recursive: true}); err != nil {
		t.Errorf("remove a directory: %v", err)
	}
	for i := 0; failed(at.Remove(ctx, control.RemoveRequest{Target: fmt.Sprint("home:new ", i), Recursive: true})) == nil; i++ {
	}
	if _, err := at.Retain(ctx, control.RetainRequest{Target: "home:", Keep: control.Retention{Versions: 1, Seconds: 3600}}); err != nil {
		t.Errorf("keep less: %v", err)
	}
	if err := put("home:notes", 20_000, false); err != nil {
		t.Errorf("a smaller version: %v", err)
	}
	var left []string
	if err := at.List(ctx, control.ListRequest{Target: "home:"}, func(e control.Entry) error {
		left = append(left, e.Name)
		return nil
	}); err != nil || len(left) != 1 || left[0] != "notes" {
		t.Errorf("left are %q, %v", left, err)
	}
	if members, err := atAnna.Members(ctx); err != nil || len(members) != 2 || members[1].UsesHere > 1_000_000*17/16 {
		t.Errorf("of a quota of 1 MB %+v are used, %v", members, err)
	}
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"cairn/internal/waittest"
	"cairn/node"
)

// endNodes has every node below the story's directory end with the story, also with one that fails.
func endNodes(env *testscript.Env) {
	env.Defer(func() {
		if err := killNodes(env.WorkDir); err != nil {
			env.T().Log("nodes that go on: ", err)
		}
	})
}

// killNodes kills the nodes of all directories below one, and returns when they have ended.
func killNodes(below string) error {
	var all error
	err := filepath.WalkDir(below, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.IsDir() {
			return nil // stories make what cannot be read, and nodes go on moving files until they have ended
		}
		all = errors.Join(all, killNode(path))
		return nil
	})
	return errors.Join(all, err)
}

func killNode(dir string) error {
	ctx, cancel := context.WithTimeout(context.Background(), waittest.Patience)
	defer cancel()
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	for {
		pid, running, err := node.Running(dir)
		if err != nil || !running {
			return err
		}
		if pid > 0 { // one that has just started has not said it yet
			process, err := os.FindProcess(pid)
			if err != nil {
				return err
			}
			_ = process.Kill() // it may have ended by now
			_ = process.Release()
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			return fmt.Errorf("%s: process %d runs", dir, pid)
		}
	}
}

// A storyT is what a story runs in that is to fail.
type storyT struct {
	dir    string // of the story
	failed bool
}

func (*storyT) Parallel()     {}
func (*storyT) Verbose() bool { return false }
func (*storyT) Log(...any)    {}
func (s *storyT) FailNow()    { s.failed = true; runtime.Goexit() }
func (s *storyT) Skip(...any) { runtime.Goexit() }
func (s *storyT) Fatal(...any) {
	s.FailNow()
}

func (s *storyT) Run(_ string, f func(testscript.T)) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f(s)
	}()
	<-done
}

// TestNodesEndWithTheirStory: a story that fails leaves no node running, wherever below its directory it started one.
func TestNodesEndWithTheirStory(t *testing.T) {
	file := filepath.Join(t.TempDir(), "fails.txtar")
	story := `exec cairn --dir below/node init -q --listen /ip4/127.0.0.1/tcp/0
exec cairn --dir below/node grid create g --open -q
exec cairn --dir below/node up --detach
exec cairn --dir below/node status
exec cairn no-such-verb
`
	if err := os.WriteFile(file, []byte(story), 0o600); err != nil {
		t.Fatal(err)
	}
	failing, root := &storyT{}, t.TempDir()
	testscript.RunT(failing, testscript.Params{
		Files: []string{file}, WorkdirRoot: root,
		Setup: func(env *testscript.Env) error {
			failing.dir = filepath.Join(env.WorkDir, "below", "node")
			env.Setenv("HOME", env.WorkDir)
			env.Vars = append(env.Vars, noExitSleep, "CAIRN_NETWORK_MDNS=false")
			endNodes(env)
			return nil
		},
	})
	if !failing.failed {
		t.Error("the story did not fail")
	}
	if !node.Exists(failing.dir) {
		t.Fatal("the story made no node")
	}
	if pid, running, err := node.Running(failing.dir); err != nil || running {
		t.Errorf("the node runs on as process %d: %v", pid, err)
	}
	if err := killNodes(root); err != nil {
		t.Error(err)
	}
}

package node_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cairn/node"
	"cairn/node/vfs"
	"cairn/share"
)

// killFilesEnv makes the test binary a node that writes files until it is killed.
const killFilesEnv = "CAIRN_TEST_FILES"

// content is what the file of a number holds.
func content(i int) []byte {
	size := []int{0, 20, 3000, 70_000, 400_000}[i%5]
	return bytes.Repeat([]byte{byte(i), byte(i >> 8), 1, 2, 3}, size/5)
}

// writeUntilKilled runs a node and makes changes through its file system. It tells of each before and after.
func writeUntilKilled(dir, from string) error {
	ctx := context.Background()
	n, err := node.Open(ctx, dir, testConfig(), node.Options{Version: "test"})
	if err != nil {
		return err
	}
	f, err := n.Files(ctx)
	if err != nil {
		return err
	}
	first := 0
	if _, err := fmt.Sscan(from, &first); err != nil {
		return err
	}
	for i := first; ; i++ {
		name, renamed := fmt.Sprintf("f%d", i), fmt.Sprintf("g%d", i)
		steps := []func() error{func() error { return writeFile(ctx, f, name, content(i), i%3 == 0) }}
		if i%2 == 1 {
			steps = append(steps, func() error { return f.Rename(ctx, name, renamed) })
		}
		switch {
		case i%4 == 3:
			steps = append(steps, func() error { return removeOpen(ctx, f, renamed) })
		case i%8 == 0:
			steps = append(steps, func() error { return writeFile(ctx, f, name, newer(i), i%3 == 0) })
		case i%8 == 4:
			steps = append(steps,
				func() error { return writeFile(ctx, f, name+".new", newer(i), i%3 == 0) },
				func() error { return f.Rename(ctx, name+".new", name) })
		}
		for step, do := range steps {
			fmt.Printf("begin %d %d\n", i, step)
			if err := do(); err != nil {
				return fmt.Errorf("file %d, step %d: %w", i, step, err)
			}
			fmt.Printf("done %d %d\n", i, step)
		}
	}
}

func writeFile(ctx context.Context, f *vfs.FS, name string, data []byte, sync bool) error {
	file, err := f.Open(ctx, name, os.O_RDWR|os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return err
	}
	_, err = file.WriteAt(ctx, data, 0)
	if err == nil && sync {
		err = file.Sync(ctx)
	}
	return errors.Join(err, file.Close())
}

// newer is what takes the place of the contents of every fourth file.
func newer(i int) []byte { return append([]byte("newer "), content(i+3)...) }

// removeOpen removes a file that is open for writing, and writes to it afterwards.
func removeOpen(ctx context.Context, f *vfs.FS, name string) error {
	file, err := f.Open(ctx, name, os.O_RDWR)
	if err != nil {
		return err
	}
	if err := f.Remove(ctx, name); err != nil {
		return errors.Join(err, file.Close())
	}
	_, err = file.WriteAt(ctx, []byte("nobody reads this"), 3)
	return errors.Join(err, file.Close())
}

// A told says which steps of a file were begun and which were acknowledged.
type told struct{ begun, done int }

// killed runs a node that writes, kills it after some time, and returns what it has told.
func killed(t *testing.T, dir string, first int, after time.Duration) map[int]told {
	t.Helper()
	command := exec.Command(os.Args[0]) //nolint:gosec // this test binary
	command.Env = append(os.Environ(), killFilesEnv+"="+dir, killFilesEnv+"_FROM="+fmt.Sprint(first))
	var problem bytes.Buffer
	command.Stderr = &problem
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	steps := map[int]told{}
	lines := bufio.NewScanner(out)
	var timer *time.Timer
	for lines.Scan() {
		if timer == nil { // the node runs
			timer = time.AfterFunc(after, func() { _ = command.Process.Kill() })
			defer timer.Stop()
		}
		var what string
		var i, step int
		if _, err := fmt.Sscan(lines.Text(), &what, &i, &step); err != nil {
			continue // a line that was cut off
		}
		s := steps[i]
		if what == "begin" {
			s.begun = step + 1
		} else {
			s.done = step + 1
		}
		steps[i] = s
	}
	if err := command.Wait(); err == nil || problem.Len() > 0 {
		t.Fatalf("the node was not killed: %v, %s", err, problem.String())
	}
	return steps
}

// TestFilesSurviveKill kills a node in the middle of writing, replacing, renaming, also over another file, and removing files that
// are open: what was closed is there, what was renamed or removed is, and nothing is half there.
func TestFilesSurviveKill(t *testing.T) {
	dir := founded(t)
	steps := map[int]told{}
	for range 3 {
		for i, s := range killed(t, dir.Path(), len(steps), 300*time.Millisecond+rand.N(1500*time.Millisecond)) {
			steps[i] = s
		}
		spoolIsSealed(t, dir.Path())
	}
	n, stop := start(t, dir)
	f, err := n.Files(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i, s := range steps {
		checkKilled(t, f, i, s)
	}
	if n := f.Dirty(); n != 0 {
		t.Errorf("%d bytes are dirty after Sync", n)
	}
	stop()
	n, _ = start(t, dir)
	if f, err = n.Files(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i, s := range steps { // from the grid alone
		checkKilled(t, f, i, s)
	}
	t.Logf("%d files", len(steps))
}

// spoolIsSealed looks for capabilities and names in what a killed node has left.
func spoolIsSealed(t *testing.T, dir string) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "spool", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil || bytes.Contains(data, []byte("cairn:")) || bytes.Contains(data, []byte(`"name"`)) {
			t.Errorf("%s is in clear, or cannot be read: %v", name, err)
		}
		for at := 0; at+15 <= len(data); at++ { // contents repeat five bytes
			if bytes.Equal(data[at:at+10], data[at+5:at+15]) && data[at] != 0 {
				t.Fatalf("%s has contents in clear", name)
			}
		}
	}
}

// holds reports whether these may be the contents of a file of which so much was told.
func (s told) holds(i int, data []byte) bool {
	last := map[int]int{0: 2, 4: 3}[i%8] // the step with which the newer contents get their place
	old, new := bytes.Equal(data, content(i)), bytes.Equal(data, newer(i))
	switch {
	case last == 0 || s.begun < last:
		return old
	case s.done >= last:
		return new
	}
	return old || new
}

// checkKilled compares one file with what was told of it. Steps: written, renamed or replaced, removed.
func checkKilled(t *testing.T, f *vfs.FS, i int, s told) {
	t.Helper()
	var there []string
	for _, name := range []string{fmt.Sprintf("f%d", i), fmt.Sprintf("g%d", i)} {
		data, err := readFile(t.Context(), f, name)
		switch {
		case errors.Is(err, share.ErrNotFound):
			continue
		case err != nil:
			t.Errorf("read %s: %v", name, err)
			continue
		case !s.holds(i, data):
			t.Errorf("%s has %d bytes, want %d, or others, after %d steps were acknowledged and %d begun", name, len(data), len(content(i)), s.done, s.begun)
		}
		there = append(there, name[:1])
	}
	states := []string{"", "f", "g", ""} // after so many steps
	if i%4 == 0 {
		states = []string{"", "f", "f", "f"}
	}
	got := strings.Join(there, "")
	for done := s.done; done <= s.begun; done++ {
		if got == states[done] {
			return
		}
	}
	t.Errorf("file %d is %q after %d steps were acknowledged and %d begun", i, got, s.done, s.begun)
}

func readFile(ctx context.Context, f *vfs.FS, name string) ([]byte, error) {
	file, err := f.Open(ctx, name, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data := make([]byte, file.Info().Size)
	if n, err := file.ReadAt(ctx, data, 0); err != nil && !errors.Is(err, io.EOF) || n < len(data) {
		return nil, fmt.Errorf("%d of %d bytes: %w", n, len(data), err)
	}
	return data, nil
}

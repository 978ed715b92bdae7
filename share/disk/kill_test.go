//go:build unix

package disk

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"cairn/internal/fault"
)

// The test binary runs itself as a writer that is killed: at the operation of the file system that killAtEnv names,
// or by the parent where that is 0.
const (
	killDirEnv = "CAIRN_TEST_KILL_DIRECTORY"
	killAtEnv  = "CAIRN_TEST_KILL_AT"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(killDirEnv); dir != "" {
		if err := killedWriter(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// killedWriter prints a line for each acknowledged share, until it is killed.
func killedWriter(dir string) error {
	at, err := strconv.ParseInt(os.Getenv(killAtEnv), 10, 64)
	if err != nil {
		return err
	}
	in := fault.At(at, fault.Action{Do: func() { syscall.Kill(os.Getpid(), syscall.SIGKILL) }})
	store, err := Open(dir, Options{files: failingFiles{systemFiles{}, in}, memTable: testMemTable, inline: testInline, segment: testSegment})
	if err != nil {
		return err
	}
	if at == 0 {
		return putForever(store)
	}
	w, err := makeWorkload()
	if err != nil {
		return err
	}
	if err := w.run(context.Background(), store, func(i int) { fmt.Println(i) }); err != nil {
		return err
	}
	return store.Close()
}

// putForever stores the same blocks under ever new names from several goroutines.
func putForever(store *Store) error {
	w, err := makeWorkload()
	if err != nil {
		return err
	}
	var group sync.WaitGroup
	for g := range uint64(4) {
		group.Go(func() {
			for i := g; ; i += 4 {
				f, id := w.files[i/4%2].Renamed(i)
				if err := f.PutAs(context.Background(), store, workloadShare, "alice", id); err != nil {
					panic(err)
				}
				fmt.Println(i)
			}
		})
	}
	group.Wait()
	return nil
}

// runWriter runs the killed writer and returns the numbers that it acknowledged, and whether it was killed.
func runWriter(t *testing.T, dir string, at int64, life time.Duration) (acked []uint64, killed bool) {
	t.Helper()
	var stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), killDirEnv+"="+dir, killAtEnv+"="+strconv.FormatInt(at, 10))
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var timer *time.Timer
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		n, err := strconv.ParseUint(lines.Text(), 10, 64)
		if err != nil {
			t.Fatalf("the writer says %q", lines.Text())
		}
		acked = append(acked, n)
		if life > 0 && timer == nil {
			timer = time.AfterFunc(life, func() { cmd.Process.Kill() })
			defer timer.Stop()
		}
	}
	err = cmd.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL {
		return acked, true
	}
	if err != nil {
		t.Fatalf("the writer ends with %v: %s", err, stderr.String())
	}
	return acked, false
}

// TestKillAtEveryStep kills a process at each operation of the file system in turn; each run looks at some of them.
func TestKillAtEveryStep(t *testing.T) {
	all := newWorkload(t)
	step := int64(11)
	for at := 1 + rand.Int64N(step); ; at += step {
		dir, w := t.TempDir(), all.again()
		acked, killed := runWriter(t, dir, at, 0)
		for _, step := range acked {
			w.acknowledge(int(step))
		}
		w.check(t, dir)
		if t.Failed() {
			t.Fatalf("killed at operation %d", at)
		}
		if !killed {
			if len(acked) != workloadSteps || at < 50 {
				t.Errorf("%d steps acknowledged after %d operations", len(acked), at)
			}
			return
		}
	}
}

// TestKillAtRandom kills a process with many writers at some moment, several times over the same directory.
func TestKillAtRandom(t *testing.T) {
	all := newWorkload(t)
	dir := t.TempDir()
	acked := map[uint64]bool{}
	for range 4 {
		numbers, killed := runWriter(t, dir, 0, time.Duration(rand.IntN(300))*time.Millisecond)
		if !killed || len(numbers) == 0 {
			t.Fatalf("%d acknowledged, killed: %t", len(numbers), killed)
		}
		for _, n := range numbers {
			acked[n] = true
		}
		store := mustOpen(t, dir, Options{})
		for n := range acked {
			f, _ := all.files[n/4%2].Renamed(n)
			if err := f.Check(t.Context(), store, workloadShare); err != nil {
				t.Fatalf("share %d of %d acknowledged: %v", n, len(acked), err)
			}
		}
		stats, err := store.Stats(t.Context())
		if err != nil || stats.Shares < int64(len(acked)) || stats.Unfinished != 0 {
			t.Errorf("stats: %+v, %v; %d were acknowledged", stats, err, len(acked))
		}
		if report, err := store.Scrub(t.Context(), 0); err != nil || report.Quarantined != 0 {
			t.Errorf("scrub: %+v, %v", report, err)
		}
		if err := store.Close(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d shares were acknowledged over 4 lives", len(acked))
}

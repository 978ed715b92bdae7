package mutable_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"cairn/grid/mutable"
	"cairn/share"
	"cairn/share/capability"
	"cairn/share/head"
	"cairn/share/keys"
)

// liars are ways in which a server lies about the heads of a name. old is the record of the first version.
var liars = map[string]func(s *store, old []byte){
	"shows an old head": func(s *store, old []byte) {
		s.after = func(op string, held []share.HeldHead, err error) error {
			if op == "heads" && held[0].Record != nil {
				held[0] = share.HeldHead{Record: old}
			}
			return err
		}
	},
	"forges a head": func(s *store, old []byte) {
		s.after = func(op string, held []share.HeldHead, err error) error {
			if op == "heads" {
				signed, _ := head.Sign(keys.NewWriteKey().Signer(), head.Head{Sequence: 1000, Root: share.StorageIndex{1}, Written: time.Now()})
				held[0] = share.HeldHead{Record: signed}
			}
			return err
		}
	},
	"sends bad shares": func(s *store, _ []byte) {
		s.after = func(op string, held []share.HeldHead, err error) error {
			for _, h := range held {
				for _, w := range h.Shares {
					w.Data[0] ^= 1
				}
			}
			return err
		}
	},
	"forgets": func(s *store, _ []byte) { s.keeps = func() bool { return false } },
	"claims a conflict with the first version": func(s *store, old []byte) {
		s.after = func(op string, _ []share.HeldHead, err error) error {
			if op == "sethead" {
				return &share.ConflictError{Record: old}
			}
			return err
		}
	},
	"claims a conflict with nothing": func(s *store, _ []byte) {
		s.after = func(op string, _ []share.HeldHead, err error) error {
			if op == "sethead" {
				return &share.ConflictError{}
			}
			return err
		}
	},
	"claims a conflict with garbage": func(s *store, _ []byte) {
		s.after = func(op string, _ []share.HeldHead, err error) error {
			if op == "sethead" {
				return &share.ConflictError{Record: []byte("garbage")}
			}
			return err
		}
	},
	"answers too little": func(s *store, _ []byte) {
		s.after = func(op string, held []share.HeldHead, err error) error {
			if op == "heads" {
				held[0] = share.HeldHead{}
			}
			return err
		}
	},
}

// named are the lies that can be told from honest trouble: the log names the server.
var named = map[string]bool{"forges a head": true, "sends bad shares": true, "claims a conflict with garbage": true}

// TestLiars has three of ten servers lie: everything goes on, and who can be shown to lie is named, each time.
func TestLiars(t *testing.T) {
	for name, lie := range liars {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { threeLie(t, lie, named[name]) })
		})
	}
}

func threeLie(t *testing.T, lie func(s *store, old []byte), named bool) {
	g := newGrid(10)
	key := keys.NewWriteKey()
	c := capability.Mutable(key)
	var log bytes.Buffer
	m := mutable.New(mutable.Env{Servers: g.servers, Owner: "alice", Logger: slog.New(slog.NewTextHandler(&log, nil))})
	v := write(t, m, key, nil, "one")
	history, err := g.stores[9].Store.History(t.Context(), v.Head.Name, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range g.stores[:3] {
		lie(s, history[0])
	}
	for i := range 5 {
		log.Reset()
		text := fmt.Sprint("version ", i)
		v = write(t, m, key, v, text)
		for _, reader := range []*mutable.Files{m, newFiles(t, g)} {
			var got string
			if v, got = read(t, reader, c); got != text || len(v.Forks) > 0 {
				t.Fatalf("read %q, want %q, forks %v", got, text, v.Forks)
			}
		}
		for _, s := range g.stores {
			blamed := strings.Contains(log.String(), `server="`+s.name+" (")
			if liar := s.after != nil; named && blamed != liar {
				t.Errorf("%s: %s is blamed: %t", text, s.name, blamed)
			}
		}
	}
}

// TestHeadOfAnotherFile: servers give for one file what is the true head of another one, which the reader has verified as that.
func TestHeadOfAnotherFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, asked, other := newGrid(5), keys.NewWriteKey(), keys.NewWriteKey()
		m := newFiles(t, g)
		write(t, m, asked, nil, "asked for")
		record := write(t, m, other, nil, "another one")
		if _, got := read(t, m, capability.Mutable(other)); got != "another one" {
			t.Fatalf("read %q", got)
		}
		held, err := g.stores[0].Store.History(t.Context(), record.Head.Name, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range g.stores {
			s.after = func(op string, heads []share.HeldHead, err error) error {
				if op == "heads" {
					heads[0] = share.HeldHead{Record: held[0]}
				}
				return err
			}
		}
		if _, err := m.Read(t.Context(), capability.Mutable(asked)); !errors.Is(err, share.ErrCorrupt) {
			t.Errorf("the heads verified: %v", err)
		}
	})
}

// A chaos makes the servers of a grid slow and unreliable: requests take a while, some fail before they are done, some after.
func (g *grid) chaos(seed uint64, failures float64) {
	for i, s := range g.stores {
		random := rand.New(rand.NewPCG(seed, uint64(i)))
		var mu sync.Mutex
		draw := func() (time.Duration, bool) {
			mu.Lock()
			defer mu.Unlock()
			return time.Duration(random.ExpFloat64() * float64(20*time.Millisecond)), random.Float64() < failures
		}
		s.on(func(ctx context.Context, _ string) error {
			wait, fails := draw()
			select {
			case <-time.After(wait):
			case <-ctx.Done():
				return ctx.Err()
			}
			if fails {
				return fmt.Errorf("before: %w", share.ErrUnavailable)
			}
			return nil
		})
		s.after = func(_ string, _ []share.HeldHead, err error) error {
			if _, fails := draw(); fails && err == nil {
				return fmt.Errorf("after: %w", share.ErrUnavailable)
			}
			return err
		}
	}
}

// merge brings the lines of forks in, as directories do with entries.
func merge(ctx context.Context, m *mutable.Files, key keys.WriteKey, v *mutable.Version, text string) (string, bool) {
	for _, fork := range v.Forks {
		other, err := m.ReadHead(ctx, capability.Mutable(key), fork)
		if err != nil {
			return "", false
		}
		data, err := other.Bytes(ctx, 1<<20)
		if err != nil {
			return "", false
		}
		for line := range strings.Lines(string(data)) {
			if !strings.Contains(text, line) {
				text += line
			}
		}
	}
	return text, true
}

// appendLine changes a file as a directory is changed: read, apply, write, and again after a collision. It reports whether
// the change was acknowledged.
func appendLine(ctx context.Context, m *mutable.Files, key keys.WriteKey, line string) bool {
	for try := range 100 {
		err := tryLine(ctx, m, key, line)
		if err == nil {
			return true
		}
		time.Sleep(time.Duration(rand.IntN(20<<min(try, 6))) * time.Millisecond)
	}
	return false
}

func tryLine(ctx context.Context, m *mutable.Files, key keys.WriteKey, line string) error {
	v, err := m.Read(ctx, capability.Mutable(key))
	if err != nil {
		return err
	}
	data, err := v.Bytes(ctx, 1<<20)
	if err != nil {
		return err
	}
	text, complete := merge(ctx, m, key, v, string(data))
	switch {
	case !complete:
		return errors.New("a fork cannot be read")
	case strings.Contains(text, line) && len(v.Forks) == 0: // an attempt that was not acknowledged went on
		_, err = m.Confirm(ctx, key, v, mutable.WriteOptions{})
	default:
		_, err = m.Write(ctx, key, v, strings.NewReader(text+line), mutable.WriteOptions{})
	}
	return err
}

// TestNothingAcknowledgedIsLost has five writers change one file over servers that fail at random, one that is killed in the
// middle, and one that lies. Every acknowledged change is there in the end.
func TestNothingAcknowledgedIsLost(t *testing.T) {
	for seed := range uint64(3) {
		synctest.Test(t, func(t *testing.T) { hammer(t, seed, 5, 6) })
	}
}

func hammer(t *testing.T, seed uint64, writers, changes int) {
	g := newGrid(10)
	key := keys.NewWriteKey()
	v := write(t, newFiles(t, g), key, nil, "start\n")
	record, err := g.stores[9].Store.History(t.Context(), v.Head.Name, 0)
	if err != nil {
		t.Fatal(err)
	}
	g.chaos(seed, 0.02)
	lies := []string{"shows an old head", "forges a head", "forgets", "claims a conflict with the first version", "answers too little", "sends bad shares"}
	liars[lies[int(seed)%len(lies)]](g.stores[4], record[0])
	var mu sync.Mutex
	acknowledged, done := []string{}, 0
	var running sync.WaitGroup
	for w := range writers {
		m := newFiles(t, g)
		running.Go(func() {
			for i := range changes {
				line := fmt.Sprintf("writer %d change %d\n", w, i)
				ok := appendLine(t.Context(), m, key, line)
				mu.Lock()
				if done++; done == writers*changes/2 {
					g.stores[7].on(dead)
				}
				if ok {
					acknowledged = append(acknowledged, line)
				}
				mu.Unlock()
			}
		})
	}
	start := time.Now()
	running.Wait()
	took := time.Since(start)
	for _, s := range g.stores {
		if s.name != "s07" {
			s.on(nil)
		}
		s.after = nil
	}
	m := newFiles(t, g)
	final, text := read(t, m, capability.Mutable(key))
	text, _ = merge(t.Context(), m, key, final, text)
	for _, line := range acknowledged {
		if !strings.Contains(text, line) {
			t.Errorf("seed %d: acknowledged and lost: %s", seed, line)
		}
	}
	t.Logf("seed %d: %d changes of %d acknowledged in %s, %d versions", seed, len(acknowledged), writers*changes, took, final.Head.Sequence)
	if len(acknowledged) < writers*changes*9/10 {
		t.Errorf("seed %d: %d changes of %d were acknowledged", seed, len(acknowledged), writers*changes)
	}
}

// TestCancelledWrite ends with its context and leaves a file that can be read and written.
func TestCancelledWrite(t *testing.T) { synctest.Test(t, cancelledWrite) }

func cancelledWrite(t *testing.T) {
	g := newGrid(10)
	key := keys.NewWriteKey()
	m := newFiles(t, g)
	v := write(t, m, key, nil, "one")
	for _, s := range g.stores[2:] {
		s.on(hang)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := m.Write(ctx, key, v, strings.NewReader("two"), mutable.WriteOptions{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("write: %v", err)
	}
	g.heal()
	v, got := read(t, m, capability.Mutable(key))
	if got != "one" {
		t.Errorf("read %q", got)
	}
	write(t, m, key, v, "three")
}

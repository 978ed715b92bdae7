package storage_test

import (
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"

	"cairn/internal/waittest"
	"cairn/p2p/storage"
	"cairn/p2p/wire"
	"cairn/share"
	"cairn/share/memory"
	"cairn/share/storetest"
)

// A raw is the near end of a stream to a server, spoken to by hand.
type raw struct {
	network.Stream
	t  testing.TB
	in *wire.Reader
}

func (p *pair) raw(t testing.TB, name string) *raw {
	t.Helper()
	s, err := p.near.Stream(t.Context(), p.far.ID(), name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Reset() })
	if err := s.SetDeadline(time.Now().Add(waittest.Patience)); err != nil {
		t.Fatal(err)
	}
	return &raw{Stream: s, t: t, in: wire.NewReader(s)}
}

// frames returns messages as frames.
func frames(t testing.TB, messages ...wire.Message) (out []byte) {
	t.Helper()
	var err error
	for _, m := range messages {
		if out, err = wire.Append(out, m); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// say sends bytes. That the server hung up shows in what is heard.
func (r *raw) say(p []byte) { _, _ = r.Write(p) }

// hear returns the error that the server answers, or nil for any other answer.
func (r *raw) hear() error {
	kind, n, err := r.in.Next()
	if err != nil {
		return err
	}
	if kind == wire.KindError {
		_, err = wire.AnswerOf[wire.Done](r.in, kind, n)
		return err
	}
	return r.in.Fill(make([]byte, n))
}

// mustWork fails the test unless the server serves.
func (p *pair) mustWork(t *testing.T) {
	t.Helper()
	if _, err := p.client.Space(t.Context()); err != nil {
		t.Errorf("the server does not serve any more: %v", err)
	}
}

// upload is a whole upload as a peer sends it.
func upload(t testing.TB, f *storetest.File, n share.Number) []byte {
	t.Helper()
	out := frames(t, wire.CreateOf(f.Upload(n, ""), time.Now()))
	for i := range f.Segments() {
		var err error
		if out, err = wire.AppendRow(out, f.BlockLen(i), f.Row(i)); err != nil {
			t.Fatal(err)
		}
		out = wire.AppendBlock(out, f.Block(i, n))
	}
	return append(out, frames(t, wire.Commit{Root: f.Root})...)
}

// TestViolations sends what the protocol does not allow: the server says so, hangs up and serves on.
func TestViolations(t *testing.T) {
	p := newPair(t)
	create := wire.CreateOf(storetest.NewFile(t, 1, 1, 2, 4096, 10).Upload(0, ""), time.Now())
	for _, c := range []struct {
		what, name string
		bytes      []byte
		want       error
	}{
		{"an unknown kind", storage.Ask, []byte{0x77, 0, 0, 0, 0}, share.ErrVersion},
		{"another protocol", storage.Ask, []byte("GET / HTTP/1.1\r\n\r\n"), share.ErrVersion},
		{"an oversized question", storage.Ask, []byte{0x10, 0, 1, 0, 1}, share.ErrTooLarge},
		{"an empty question", storage.Ask, []byte{0x10, 0, 0, 0, 0}, share.ErrCorrupt},
		{"an answer", storage.Ask, frames(t, wire.Done{}), share.ErrCorrupt},
		{"a read among questions", storage.Ask, frames(t, wire.Read{Length: 1}), share.ErrCorrupt},
		{"a field of a later version", storage.Ask, []byte{0x15, 0, 0, 0, 3, 0xa1, 0x09, 0x01}, share.ErrVersion},
		{"a question among reads", storage.Read, frames(t, wire.Space{}), share.ErrCorrupt},
		{"data among reads", storage.Read, wire.AppendBlock(nil, []byte("x")), share.ErrCorrupt},
		{"a malformed read", storage.Read, []byte{0x22, 0, 0, 0, 1, 0xff}, share.ErrCorrupt},
		{"a row before create", storage.Write, []byte{0x33, 0, 0, 0, 4, 0, 0, 0, 0}, share.ErrCorrupt},
		{"a commit before create", storage.Write, frames(t, wire.Commit{}), share.ErrCorrupt},
		{"create twice", storage.Write, frames(t, create, create), share.ErrCorrupt},
		{"data without a row", storage.Write, append(frames(t, create), wire.AppendBlock(nil, []byte("x"))...), share.ErrCorrupt},
		{"an oversized row", storage.Write, append(frames(t, create), 0x33, 0, 0, 0x20, 5), share.ErrTooLarge},
		{"a misshapen row", storage.Write, append(frames(t, create), 0x33, 0, 0, 0, 5, 0, 0, 0, 0, 0), share.ErrCorrupt},
		{"an oversized block", storage.Write, append(frames(t, create), 0x33, 0, 0, 0, 4, 0, 0x10, 0, 1), share.ErrTooLarge},
		{"a short data frame", storage.Write, append(frames(t, create), 0x33, 0, 0, 0, 4, 0, 0, 0, 9, 3, 0, 0, 0, 1, 'x'), share.ErrCorrupt},
		{"an oversized data frame", storage.Write, append(frames(t, create), 0x33, 0, 0, 0, 4, 0, 0, 0, 9, 3, 0, 4, 0, 1), share.ErrTooLarge},
	} {
		s := p.raw(t, c.name)
		s.say(c.bytes)
		if err := s.hear(); !errors.Is(err, c.want) {
			t.Errorf("%s: %v; want %v", c.what, err, c.want)
		}
		if err := s.hear(); err == nil {
			t.Errorf("%s: the stream goes on", c.what)
		}
	}
	p.mustWork(t)
}

// TestGarbage sends random bytes to every protocol.
func TestGarbage(t *testing.T) {
	p := newPair(t)
	for _, name := range []string{storage.Ask, storage.Read, storage.Write, storage.Head, storage.Batch} {
		for seed := range 20 {
			s := p.raw(t, name)
			s.say(storetest.NewFile(t, uint64(seed), 1, 1, 4096, 3000).Plain)
			for i := 0; s.hear() == nil; i++ {
				if i > 100 {
					t.Fatal("the server talks to a peer that sends garbage")
				}
			}
		}
	}
	p.mustWork(t)
}

// TestTruncated cuts a conversation after each byte and hangs up: the server keeps what was whole and serves on.
func TestTruncated(t *testing.T) {
	store := memory.New(memory.Options{})
	p := connect(t, store, storage.ServerOptions{}, storage.ClientOptions{})
	f := storetest.NewFile(t, 1, 1, 2, 4096, 40)
	for name, stream := range map[string][]byte{
		storage.Ask:   frames(t, wire.Numbers{Indexes: []share.StorageIndex{{1}}}),
		storage.Read:  frames(t, wire.Read{Length: 10}),
		storage.Write: upload(t, f, 0),
		storage.Head:  setHead(t, f),
		storage.Batch: put(t, f.Whole(1)),
	} {
		for n := range stream {
			s := p.raw(t, name)
			s.say(stream[:n])
			if err := s.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			if err := s.hear(); err == nil {
				t.Fatalf("%s cut after %d bytes was answered", name, n)
			}
			s.Reset() // a peer has only so many streams
		}
	}
	held, err := store.Numbers(t.Context(), []share.StorageIndex{f.Index})
	if err != nil || len(held[0].Numbers) != 0 {
		t.Errorf("a truncated upload was published: %v, %v", held[0].Numbers, err)
	}
	s := p.raw(t, storage.Write)
	s.say(upload(t, f, 0))
	if err := s.hear(); err != nil {
		t.Errorf("the whole upload: %v", err)
	}
	p.mustWork(t)
}

// TestDrip sends one byte at a time, each in time to keep a stream from being idle: the message has a deadline too.
func TestDrip(t *testing.T) {
	t.Parallel()
	p := connect(t, memory.New(memory.Options{}), storage.ServerOptions{Timeout: 400 * time.Millisecond}, storage.ClientOptions{})
	f := storetest.NewFile(t, 1, 1, 2, 4096, 4000)
	for name, stream := range map[string][]byte{
		storage.Ask: frames(t, wire.Numbers{Indexes: []share.StorageIndex{{1}, {2}}}), storage.Write: upload(t, f, 0), storage.Batch: put(t, f.Whole(1)),
	} {
		s := p.raw(t, name)
		tick := time.NewTicker(20 * time.Millisecond)
		begin := time.Now()
		for _, b := range stream {
			if _, err := s.Write([]byte{b}); err != nil {
				break
			}
			if <-tick.C; time.Since(begin) > waittest.Patience {
				t.Fatalf("%s: still served after %s", name, time.Since(begin))
			}
		}
		tick.Stop()
		if err := s.hear(); err == nil {
			t.Errorf("%s: a message in drips was taken", name)
		}
	}
	p.mustWork(t)
}

// TestIdle keeps a stream for as long as it may be idle, and not longer.
func TestIdle(t *testing.T) {
	t.Parallel()
	p := connect(t, memory.New(memory.Options{}), storage.ServerOptions{Timeout: 100 * time.Millisecond, Idle: time.Second}, storage.ClientOptions{})
	s := p.raw(t, storage.Ask)
	begin := time.Now()
	ran := waittest.Took(func() {
		s.say(frames(t, wire.Space{}))
		if err := s.hear(); err != nil {
			t.Fatal(err)
		}
		if err := s.hear(); err == nil {
			t.Fatal("the server said something unasked")
		}
	})
	if took := time.Since(begin); took < 900*time.Millisecond || ran > 5*time.Second {
		t.Errorf("the stream was closed after %s, of which the process ran %s", took, ran)
	}
	p.mustWork(t)
}

// TestFlood asks for far more than it takes away. The server waits for its peer, one answer at a time, and hangs up.
func TestFlood(t *testing.T) {
	t.Parallel()
	store := memory.New(memory.Options{})
	p := connect(t, store, storage.ServerOptions{Timeout: 400 * time.Millisecond}, storage.ClientOptions{})
	f := storetest.NewFile(t, 1, 1, 1, 1<<20, 1<<20)
	if err := f.Put(t.Context(), store, 0, "somebody"); err != nil {
		t.Fatal(err)
	}
	s := p.raw(t, storage.Read)
	request := frames(t, wire.Read{Index: f.Index, Length: 1 << 20})
	begin := time.Now()
	for {
		if _, err := s.Write(request); err != nil {
			break
		}
		if time.Since(begin) > waittest.Patience {
			t.Fatal("the server takes requests without end")
		}
	}
	if sent := p.server.Stats().Sent; sent > 40<<20 {
		t.Errorf("%d bytes were sent to a peer that takes none", sent)
	}
	p.mustWork(t)
}

// TestStreamLimit opens one stream more than a peer may have.
func TestStreamLimit(t *testing.T) {
	limit := storage.Limit{PerPeer: 3}
	p := connect(t, memory.New(memory.Options{}), storage.ServerOptions{Streams: limit, ReadStreams: limit}, storage.ClientOptions{Questions: 1})
	for name, request := range map[string]wire.Message{
		storage.Ask: wire.Space{}, storage.Read: wire.Open{}, storage.Write: wire.Have{}, storage.Head: wire.History{}, storage.Batch: wire.Fetch{},
	} {
		var open []*raw
		for range 3 {
			s := p.raw(t, name)
			s.say(frames(t, request))
			if err := s.hear(); errors.Is(err, share.ErrBusy) {
				t.Errorf("%s: a stream within the limit: %v", name, err)
			}
			if name != storage.Write { // there, a question without an upload ends the stream
				open = append(open, s)
			}
		}
		if name == storage.Write {
			eventually(t, "the first streams are closed", func() bool { return p.server.Stats().Streams == 0 })
			for range 3 {
				s := p.raw(t, name)
				s.say(frames(t, wire.CreateOf(share.Upload{}, time.Now()))[:3])
				open = append(open, s)
			}
		}
		eventually(t, "the streams are open", func() bool { return p.server.Stats().Streams == int64(len(open)) })
		s := p.raw(t, name)
		s.say(frames(t, request))
		if err := s.hear(); !errors.Is(err, share.ErrBusy) {
			t.Errorf("%s: a stream beyond the limit: %v", name, err)
		}
		for _, s := range open {
			s.Reset()
		}
		eventually(t, "the streams are closed", func() bool { return p.server.Stats().Streams == 0 })
	}
	p.mustWork(t)
}

func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	waittest.Eventually(t, what, holds)
}

// TestFlippedBytes changes each byte of an upload in turn: whatever the server makes of it, what it publishes under the
// file's index is the file's share.
func TestFlippedBytes(t *testing.T) {
	var log lockedBuilder
	store := memory.New(memory.Options{})
	o := storage.ServerOptions{Logger: slog.New(slog.NewTextHandler(&log, nil))}
	p := connect(t, store, o, storage.ClientOptions{})
	f := storetest.NewFile(t, 1, 1, 2, 4096, 40)
	stream := upload(t, f, 0)
	for i := range stream {
		flipped := slices.Clone(stream)
		flipped[i] ^= byte(1 + i%255)
		s := p.raw(t, storage.Write)
		s.say(flipped)
		if err := s.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		for n := 0; s.hear() == nil; n++ {
			if n > 2 {
				t.Fatalf("byte %d: the server does not stop answering", i)
			}
		}
		s.Reset()
	}
	held, err := store.Numbers(t.Context(), []share.StorageIndex{f.Index})
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range held[0].Numbers {
		wantShare(t, p.client, f, n)
	}
	if strings.Contains(log.String(), "panic") {
		t.Errorf("the server panicked: %s", log.String())
	}
	p.mustWork(t)
}

package hostile_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"go.uber.org/goleak"

	"cairn/internal/hostile"
	"cairn/internal/waittest"
	"cairn/p2p"
	"cairn/p2p/storage"
	"cairn/p2p/wire"
	"cairn/share"
	"cairn/share/memory"
	"cairn/share/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func host(t *testing.T, bootstrap ...string) *p2p.Host {
	t.Helper()
	key, _, err := crypto.GenerateEd25519Key(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	h, err := p2p.Open(t.Context(), p2p.Config{
		Key: key, Grid: "test", Listen: []string{"/ip4/127.0.0.1/tcp/0"}, Bootstrap: bootstrap,
		Self:        func() wire.Hello { return wire.Hello{Nickname: "node", Version: "test"} },
		DialTimeout: waittest.Patience, AnswerWithin: waittest.Patience,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return h
}

// patience is how long the client of these tests waits for a peer: not long for one of whom nothing is to be had by waiting.
func patience(b hostile.Behaviour) time.Duration {
	switch b {
	case hostile.Stalls, hostile.Mute, hostile.Drips:
		return 500 * time.Millisecond
	}
	return waittest.Patience
}

// A scene is a hostile peer that holds share 0 of a file, and its client.
type scene struct {
	*storage.Client
	peer *hostile.Peer
	file *storetest.File
	self string // how the peer knows the client
}

func setUp(t *testing.T, behaviour hostile.Behaviour) *scene {
	t.Helper()
	far := host(t)
	near := host(t, far.Addresses()...)
	store := memory.New(memory.Options{})
	s := &scene{file: storetest.NewFile(t, 1, 1, 3, 64<<10, 200_000), self: string(near.ID())}
	if err := s.file.Put(t.Context(), store, 0, s.self); err != nil {
		t.Fatal(err)
	}
	s.peer = hostile.Handle(far, behaviour, store)
	t.Cleanup(func() { s.peer.Close() })
	wait := patience(behaviour)
	s.Client = storage.NewClient(near, far.ID(), storage.ClientOptions{AskTimeout: wait, ReadTimeout: wait, WriteTimeout: wait})
	t.Cleanup(func() { s.Client.Close() })
	return s
}

func (s *scene) numbers(ctx context.Context) (share.Held, error) {
	held, err := s.Numbers(ctx, []share.StorageIndex{s.file.Index})
	if err != nil {
		return share.Held{}, err
	}
	return held[0], nil
}

// read returns the first two blocks of share 0 as the peer gives them.
func (s *scene) read(ctx context.Context) ([]byte, error) {
	r, err := s.Open(ctx, s.file.Index, 0)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	p := make([]byte, 128<<10)
	n, err := r.ReadAt(ctx, p, 0)
	return p[:n], err
}

func (s *scene) write(ctx context.Context) error { return s.file.Put(ctx, s.Client, 1, s.self) }

// want is what each of three requests gives: an error of these, or success where there is none.
type want struct{ numbers, read, write []error }

var (
	gone     = []error{share.ErrUnavailable}
	nonsense = []error{share.ErrCorrupt, share.ErrVersion, share.ErrTooLarge, share.ErrUnavailable}
)

// TestBehaviours says what the client of each kind of peer gets, and that it gets it soon.
func TestBehaviours(t *testing.T) {
	for behaviour, want := range map[hostile.Behaviour]want{
		hostile.Honest:    {},
		hostile.Lies:      {},
		hostile.WrongRoot: {},
		hostile.Truncates: {read: []error{io.ErrUnexpectedEOF}},
		hostile.Breaks:    {gone, gone, gone},
		hostile.Stalls:    {gone, gone, gone},
		hostile.Mute:      {gone, gone, gone},
		hostile.Drips:     {gone, gone, gone},
		hostile.Forgets:   {},
		hostile.Claims:    {read: []error{share.ErrNotFound}},
		hostile.Refuses:   {write: []error{share.ErrNoSpace}},
		hostile.Garbage:   {nonsense, nonsense, nonsense},
		hostile.Floods:    {nonsense, nonsense, nonsense},
	} {
		t.Run(behaviour.String(), func(t *testing.T) {
			t.Parallel()
			s := setUp(t, behaviour)
			check := func(what string, want []error, ask func() error) {
				t.Helper()
				var err error
				if took := waittest.Took(func() { err = ask() }); took > 10*time.Second {
					t.Errorf("%s took %s", what, took)
				}
				if len(want) == 0 && err != nil || len(want) > 0 && !oneOf(err, want) {
					t.Errorf("%s: %v; want one of %v", what, err, want)
				}
			}
			check("numbers", want.numbers, func() error {
				_, err := s.numbers(t.Context())
				return err
			})
			check("read", want.read, func() error {
				_, err := s.read(t.Context())
				return err
			})
			check("write", want.write, func() error { return s.write(t.Context()) })
		})
	}
}

func oneOf(err error, list []error) bool {
	for _, e := range list {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

func TestAllAreNamed(t *testing.T) {
	seen := map[string]bool{}
	for _, b := range append(hostile.All(), hostile.Honest) {
		if name := b.String(); name == "" || seen[name] {
			t.Errorf("behaviour %d is called %q", int(b), name)
		} else {
			seen[name] = true
		}
	}
	if len(seen) != 16 {
		t.Errorf("%d behaviours", len(seen))
	}
}

func TestLies(t *testing.T) {
	s := setUp(t, hostile.Lies)
	got, err := s.read(t.Context())
	if err != nil || bytes.Equal(got, s.file.Share(0)[:len(got)]) {
		t.Fatalf("read the truth: %v", err)
	}
}

func TestWrongRoot(t *testing.T) {
	s := setUp(t, hostile.WrongRoot)
	held, err := s.numbers(t.Context())
	if err != nil || share.IndexOf(held.Root) == s.file.Index {
		t.Fatalf("got the right root: %v", err)
	}
}

func TestForgets(t *testing.T) {
	s := setUp(t, hostile.Forgets)
	if err := s.write(t.Context()); err != nil {
		t.Fatal(err)
	}
	held, err := s.numbers(t.Context())
	if err != nil || len(held.Numbers) != 1 {
		t.Fatalf("held: %v, %v; want share 0 only", held.Numbers, err)
	}
}

func TestClaims(t *testing.T) {
	s := setUp(t, hostile.Claims)
	held, err := s.Numbers(t.Context(), []share.StorageIndex{{7}})
	if err != nil || len(held[0].Numbers) != share.MaxTotal {
		t.Fatalf("held: %v, %v; want every share", held, err)
	}
}

// TestBecome turns a mute peer honest: the client finds it well again without being told.
func TestBecome(t *testing.T) {
	s := setUp(t, hostile.Mute)
	if _, err := s.read(t.Context()); !errors.Is(err, share.ErrUnavailable) {
		t.Fatalf("read: %v", err)
	}
	s.peer.Become(hostile.Honest)
	undisturbed(t, func(int) error {
		got, err := s.read(t.Context())
		if err == nil && !bytes.Equal(got, s.file.Share(0)[:len(got)]) {
			t.Error("read something else")
		}
		return err
	})
	undisturbed(t, func(try int) error { return s.file.Put(t.Context(), s.Client, share.Number(try), s.self) })
}

// undisturbed has something succeed for which a client waits half a second, once more where this process stood still meanwhile.
func undisturbed(t *testing.T, do func(try int) error) {
	t.Helper()
	for try := 1; ; try++ {
		var err error
		disturbed := waittest.Disturbed(func() { err = do(try) })
		if err == nil {
			return
		}
		if !disturbed || try == 20 {
			t.Fatal(err)
		}
	}
}

package storage_test

import (
	"io"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	quicgo "github.com/quic-go/quic-go"

	"cairn/p2p/storage"
	"cairn/share/memory"
)

// A vanished stream is one over QUIC whose peer is gone: each read says at once that the connection timed out.
type vanished struct {
	network.Stream
	reads int
}

func (*vanished) Conn() network.Conn                           { return vanishedConn{} }
func (*vanished) SetReadDeadline(time.Time) error              { return nil }
func (*vanished) SetWriteDeadline(time.Time) error             { return nil }
func (*vanished) Reset() error                                 { return nil }
func (*vanished) ResetWithError(network.StreamErrorCode) error { return nil }
func (*vanished) Close() error                                 { return nil }
func (*vanished) Write([]byte) (int, error)                    { return 0, &quicgo.IdleTimeoutError{} }

func (s *vanished) Read([]byte) (int, error) {
	if s.reads++; s.reads > 1000 {
		return 0, io.EOF
	}
	return 0, &quicgo.IdleTimeoutError{}
}

type vanishedConn struct{ network.Conn }

func (vanishedConn) RemotePeer() peer.ID { return "gone" }

type handlers map[string]func(network.Stream)

func (h handlers) Handle(name string, handler func(network.Stream)) { h[name] = handler }

// TestPeerVanishes: the stream of a peer that is gone ends, and is not read again and again for as long as it may be idle.
func TestPeerVanishes(t *testing.T) {
	t.Parallel()
	server, all := storage.NewServer(memory.New(memory.Options{}), storage.ServerOptions{}), handlers{}
	server.Register(all)
	for name, handle := range all {
		s := &vanished{}
		handle(s)
		if s.reads == 0 || s.reads > 2 {
			t.Errorf("%s: a stream that had timed out was read %d times", name, s.reads)
		}
	}
	if err := server.Close(); err != nil || len(all) < 5 {
		t.Errorf("%d protocols, %v", len(all), err)
	}
}

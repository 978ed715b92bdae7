package wire

import (
	"bytes"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/fxamacker/cbor/v2"

	"cairn/share"
)

// Limits of a Hello. Every message that ParseHello accepts keeps them.
const (
	// MaxHello bounds an encoded Hello in bytes.
	MaxHello = 64 << 10
	// MaxNickname bounds a nickname in characters.
	MaxNickname = 64
	// MaxSoftware bounds the name and version of the software in bytes.
	MaxSoftware = 64
	// MaxHelloPeers bounds the members told of in one Hello.
	MaxHelloPeers = 64
	// MaxPeerAddresses bounds the addresses told of one member.
	MaxPeerAddresses = 8
	// MaxAddress bounds one multiaddr in bytes of its text form.
	MaxAddress = 256
	// maxPeerID bounds a peer id in bytes of its text form.
	maxPeerID = 128
)

// A Hello is what two members tell each other when they meet and every few seconds after: who they are, what they
// offer, and some of the members they know. Everything in it is a claim of the peer; only its id is authenticated, by
// the connection.
type Hello struct {
	Nickname string
	// Version names the software and its version.
	Version string
	// Storage says that the peer stores shares for others, Space how much it offers and has left.
	Storage bool
	Space   share.Space
	// Serves says of a peer that stores nothing for others that it has shares of its own which it gives to them.
	Serves bool
	// Peers are members that the sender has met, with the addresses at which it reached them.
	Peers []PeerAddresses
}

// PeerAddresses are the addresses of one member, as multiaddrs without the trailing peer id.
type PeerAddresses struct {
	ID        share.ServerID
	Addresses []string
}

type helloMessage struct {
	Nickname string        `cbor:"1,keyasint"`
	Version  string        `cbor:"2,keyasint"`
	Storage  bool          `cbor:"3,keyasint"`
	Offered  int64         `cbor:"4,keyasint"`
	Used     int64         `cbor:"5,keyasint"`
	Free     int64         `cbor:"6,keyasint"`
	Peers    []peerMessage `cbor:"7,keyasint"`
	Serves   bool          `cbor:"8,keyasint,omitempty"`
}

type peerMessage struct {
	_         struct{} `cbor:",toarray"`
	ID        string
	Addresses []string
}

var (
	helloEncoder = helloMode(cbor.CoreDetEncOptions().EncMode())
	helloDecoder = helloMode(cbor.DecOptions{
		DupMapKey: cbor.DupMapKeyEnforcedAPF, IndefLength: cbor.IndefLengthForbidden, TagsMd: cbor.TagsForbidden,
		ExtraReturnErrors: cbor.ExtraDecErrorUnknownField, MaxNestedLevels: 5, MaxMapPairs: 16,
		MaxArrayElements: MaxHelloPeers,
	}.DecMode())
)

func helloMode[T any](mode T, err error) T {
	if err != nil {
		panic("wire: " + err.Error())
	}
	return mode
}

// Marshal encodes the message. It returns ErrTooLarge when a limit is exceeded.
func (h Hello) Marshal() ([]byte, error) {
	if err := h.validate(); err != nil {
		return nil, fmt.Errorf("encode hello: %w", err)
	}
	m := helloMessage{
		Nickname: h.Nickname, Version: h.Version, Storage: h.Storage,
		Offered: h.Space.Offered, Used: h.Space.Used, Free: h.Space.Free,
		Peers: make([]peerMessage, 0, len(h.Peers)), Serves: h.Serves,
	}
	for _, p := range h.Peers {
		addresses := append(make([]string, 0, len(p.Addresses)), p.Addresses...)
		m.Peers = append(m.Peers, peerMessage{ID: string(p.ID), Addresses: addresses})
	}
	data, err := helloEncoder.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encode hello: %w", err)
	}
	if len(data) > MaxHello {
		return nil, fmt.Errorf("encode hello: %w: %d bytes, at most %d", share.ErrTooLarge, len(data), MaxHello)
	}
	return data, nil
}

// ParseHello decodes a message. It accepts only what Marshal writes and returns ErrTooLarge or ErrCorrupt for anything
// else.
func ParseHello(data []byte) (Hello, error) {
	if len(data) > MaxHello {
		return Hello{}, fmt.Errorf("hello: %w: %d bytes, at most %d", share.ErrTooLarge, len(data), MaxHello)
	}
	var m helloMessage
	if err := helloDecoder.Unmarshal(data, &m); err != nil {
		return Hello{}, fmt.Errorf("hello: %w: %v", share.ErrCorrupt, err)
	}
	h := Hello{
		Nickname: m.Nickname, Version: m.Version, Storage: m.Storage, Serves: m.Serves,
		Space: share.Space{Offered: m.Offered, Used: m.Used, Free: m.Free},
	}
	for _, p := range m.Peers {
		h.Peers = append(h.Peers, PeerAddresses{ID: share.ServerID(p.ID), Addresses: p.Addresses})
	}
	again, err := h.Marshal()
	if err != nil {
		return Hello{}, fmt.Errorf("hello: %w: %v", share.ErrCorrupt, err)
	}
	if !bytes.Equal(again, data) {
		return Hello{}, fmt.Errorf("hello: %w: not in canonical form", share.ErrCorrupt)
	}
	return h, nil
}

func (h Hello) validate() error {
	switch {
	case h.Nickname != CleanNickname(h.Nickname):
		return fmt.Errorf("%w: nickname is too long or has control characters", share.ErrTooLarge)
	case len(h.Version) > MaxSoftware || !plainASCII(h.Version):
		return fmt.Errorf("%w: software version is longer than %d plain characters", share.ErrTooLarge, MaxSoftware)
	case h.Space.Offered < 0 || h.Space.Used < 0 || h.Space.Free < 0:
		return fmt.Errorf("%w: negative space", share.ErrCorrupt)
	case len(h.Peers) > MaxHelloPeers:
		return fmt.Errorf("%w: %d peers, at most %d", share.ErrTooLarge, len(h.Peers), MaxHelloPeers)
	}
	for _, p := range h.Peers {
		if err := p.validate(); err != nil {
			return err
		}
	}
	return nil
}

func (p PeerAddresses) validate() error {
	if p.ID == "" || len(p.ID) > maxPeerID || !plainASCII(string(p.ID)) {
		return fmt.Errorf("%w: peer id of %d bytes", share.ErrTooLarge, len(p.ID))
	}
	if len(p.Addresses) > MaxPeerAddresses {
		return fmt.Errorf("%w: %d addresses of one peer, at most %d", share.ErrTooLarge, len(p.Addresses), MaxPeerAddresses)
	}
	for _, a := range p.Addresses {
		if a == "" || len(a) > MaxAddress || !plainASCII(a) {
			return fmt.Errorf("%w: address of %d bytes", share.ErrTooLarge, len(a))
		}
	}
	return nil
}

// CleanNickname returns the name as others may see it: valid UTF-8 without control, formatting or unassigned characters,
// each run of white space as one blank, at most MaxNickname characters.
func CleanNickname(name string) string {
	var b strings.Builder
	count, blank := 0, false
	for _, r := range strings.ToValidUTF8(name, "") {
		if unicode.IsSpace(r) {
			blank = count > 0
			continue
		}
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			continue
		}
		if blank {
			if count+2 > MaxNickname {
				break
			}
			b.WriteByte(' ')
			count, blank = count+1, false
		}
		if count == MaxNickname {
			break
		}
		b.WriteRune(r)
		count++
	}
	return b.String()
}

func plainASCII(text string) bool {
	for i := range len(text) {
		if text[i] < ' ' || text[i] > '~' {
			return false
		}
	}
	return true
}

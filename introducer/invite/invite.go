// Package invite makes and accepts invitations: one line of text with which a person joins a private grid, or pairs a
// further device of their own.
//
// The text holds a secret and the addresses of the node that issued it, nothing about the grid (docs/formats.md, "Invitation").
// Whoever holds the text proves that to the issuing node and is let in, as often as the invitation says; everything else that
// a member needs comes in the answer (docs/protocol.md, "join/2"). An Issuer serves the one side, Redeem is the other.
package invite

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"

	"cairn/share"
)

// A Kind says what an invitation is for.
type Kind uint8

// The kinds of invitations.
const (
	KindMember Kind = 1 // a person joins the grid
	KindDevice Kind = 2 // a further device of whoever issued it
)

// String returns the kind in a word.
func (k Kind) String() string {
	switch k {
	case KindMember:
		return "member"
	case KindDevice:
		return "device"
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// Errors of this package, beside those of package share.
var (
	// ErrMalformed says that a text is not an invitation. Where it is nearly one, the error is a *TextError.
	ErrMalformed = errors.New("not an invitation")
	// ErrExpired says that the time of an invitation is over.
	ErrExpired = errors.New("the invitation expired")
	// ErrNotValid says that the node which an invitation leads to does not know it, or not any more. It does not say which.
	ErrNotValid = errors.New("the invitation is not valid there (any more): it was used, was cancelled, or is not one of that node's")
)

// Limits of an invitation.
const (
	version = 1
	// MaxPeers nodes with MaxAddresses addresses each fit into an invitation.
	MaxPeers     = 4
	MaxAddresses = 8
	maxEncoded   = 1 << 10
	maxField     = 255
	headerSize   = 4
	secretSize   = 16
	sumSize      = 4
	minEncoded   = headerSize + secretSize + 4 + 1 + sumSize
)

// An Invitation is what the text says. It prints as a label; Reveal returns the text.
type Invitation struct {
	Kind Kind
	// Expires is when its time is over, in whole seconds.
	Expires time.Time
	// Addresses are full multiaddrs of the nodes that may redeem it, those of one node behind each other.
	Addresses []string

	secret [secretSize]byte
}

// Usable returns ErrExpired, wrapped with when that was, where the time of the invitation is over.
func (i Invitation) Usable(now time.Time) error {
	if now.Before(i.Expires) {
		return nil
	}
	return fmt.Errorf("%w on %s", ErrExpired, i.Expires.Local().Format("2 January 2006 at 15:04"))
}

// newInvitation makes one with a random secret.
func newInvitation(kind Kind, expires time.Time, addresses []string) (Invitation, error) {
	inv := Invitation{Kind: kind, Expires: expires.UTC().Truncate(time.Second)}
	rand.Read(inv.secret[:]) // never fails: crypto/rand ends the program instead
	peers, err := groupPeers(addresses)
	if err != nil {
		return Invitation{}, err
	}
	for _, p := range peers {
		for _, a := range p.addresses {
			inv.Addresses = append(inv.Addresses, a.String()+"/p2p/"+p.id.String())
		}
	}
	data, err := inv.encode()
	if err != nil {
		return Invitation{}, err
	}
	return decode(data)
}

// Reveal returns the text: whoever has it may use the invitation.
func (i Invitation) Reveal() string {
	data, err := i.encode()
	if err != nil {
		return "" // only an Invitation that was put together by hand
	}
	return Prefix + formatGroups(data)
}

const secretLabel = "[invitation]"

func (Invitation) String() string       { return secretLabel }
func (Invitation) GoString() string     { return secretLabel }
func (Invitation) LogValue() slog.Value { return slog.StringValue(secretLabel) }

// MarshalText returns the label, so that no encoder writes the secret by accident.
func (Invitation) MarshalText() ([]byte, error) { return []byte(secretLabel), nil }

// peers returns the addresses by node, in the order of the text.
func (i Invitation) peers() [][]string {
	var list [][]string
	last := ""
	for _, a := range i.Addresses {
		id := a[strings.LastIndex(a, "/")+1:]
		if id != last {
			list, last = append(list, nil), id
		}
		list[len(list)-1] = append(list[len(list)-1], a)
	}
	return list
}

type peerAddresses struct {
	id        peer.ID
	addresses []multiaddr.Multiaddr
}

// groupPeers sorts full multiaddrs by node, in the order of their first appearance, and leaves out what is there twice.
func groupPeers(addresses []string) ([]peerAddresses, error) {
	var peers []peerAddresses
	for _, text := range addresses {
		info, err := peer.AddrInfoFromString(text)
		if err != nil || len(info.Addrs) != 1 {
			return nil, fmt.Errorf("address %.200q: want a transport address with a peer id at its end", text)
		}
		i := slices.IndexFunc(peers, func(p peerAddresses) bool { return p.id == info.ID })
		if i < 0 {
			i, peers = len(peers), append(peers, peerAddresses{id: info.ID})
		}
		if !slices.ContainsFunc(peers[i].addresses, info.Addrs[0].Equal) {
			peers[i].addresses = append(peers[i].addresses, info.Addrs[0])
		}
	}
	return peers, nil
}

// encode returns the bytes of the invitation.
func (i Invitation) encode() ([]byte, error) {
	peers, err := groupPeers(i.Addresses)
	if err != nil {
		return nil, err
	}
	seconds := i.Expires.Unix()
	switch {
	case i.Kind != KindMember && i.Kind != KindDevice:
		return nil, fmt.Errorf("invitation: unknown %s", i.Kind)
	case seconds <= 0 || seconds > 1<<32-1:
		return nil, fmt.Errorf("invitation: it expires in the year %d", i.Expires.Year())
	case len(peers) == 0 || len(peers) > MaxPeers:
		return nil, fmt.Errorf("invitation: %d nodes to ask: want 1 to %d", len(peers), MaxPeers)
	}
	data := append([]byte{version, byte(i.Kind), 0, 0}, i.secret[:]...)
	data = binary.BigEndian.AppendUint32(data, uint32(seconds))
	data = append(data, byte(len(peers)))
	for _, p := range peers {
		if len(p.addresses) > MaxAddresses {
			return nil, fmt.Errorf("invitation: %d addresses of one node: want at most %d", len(p.addresses), MaxAddresses)
		}
		fields := [][]byte{[]byte(p.id)}
		for _, a := range p.addresses {
			fields = append(fields, a.Bytes())
		}
		for n, field := range fields {
			if len(field) > maxField {
				return nil, fmt.Errorf("invitation: an address of %d bytes: want at most %d", len(field), maxField)
			}
			data = append(append(data, byte(len(field))), field...)
			if n == 0 {
				data = append(data, byte(len(p.addresses)))
			}
		}
	}
	if len(data)+sumSize > maxEncoded {
		return nil, fmt.Errorf("invitation: %w: %d bytes, at most %d; name fewer addresses", share.ErrTooLarge, len(data)+sumSize, maxEncoded)
	}
	binary.BigEndian.PutUint16(data[2:], uint16(len(data)+sumSize))
	return append(data, checksum(data)...), nil
}

func checksum(data []byte) []byte {
	sum := sha256.Sum256(data)
	return sum[:sumSize]
}

// decode reads what encode wrote, and nothing else.
func decode(data []byte) (Invitation, error) {
	if len(data) < minEncoded || int(binary.BigEndian.Uint16(data[2:])) != len(data) {
		return Invitation{}, fmt.Errorf("%w: %d bytes", ErrMalformed, len(data))
	}
	body := data[:len(data)-sumSize]
	if string(checksum(body)) != string(data[len(body):]) {
		return Invitation{}, fmt.Errorf("%w: the checksum does not match", ErrMalformed)
	}
	inv := Invitation{Kind: Kind(data[1]), Expires: time.Unix(int64(binary.BigEndian.Uint32(body[headerSize+secretSize:])), 0).UTC()}
	copy(inv.secret[:], body[headerSize:])
	r := fields{rest: body[headerSize+secretSize+4:]}
	for range r.count(MaxPeers) {
		id, err := peer.IDFromBytes(r.field())
		if err != nil {
			return Invitation{}, fmt.Errorf("%w: peer id: %w", ErrMalformed, err)
		}
		for range r.count(MaxAddresses) {
			a, err := multiaddr.NewMultiaddrBytes(r.field())
			if err != nil {
				return Invitation{}, fmt.Errorf("%w: address: %w", ErrMalformed, err)
			}
			inv.Addresses = append(inv.Addresses, a.String()+"/p2p/"+id.String())
		}
	}
	again, err := inv.encode()
	if err != nil || string(again) != string(data) {
		return Invitation{}, fmt.Errorf("%w: not in canonical form", ErrMalformed)
	}
	return inv, nil
}

// fields reads counted things; where they are cut off, it reads nothing, which the comparison with the canonical form finds.
type fields struct{ rest []byte }

func (f *fields) count(limit int) int {
	if len(f.rest) == 0 {
		return 0
	}
	n := int(f.rest[0])
	f.rest = f.rest[1:]
	return min(n, limit)
}

func (f *fields) field() []byte {
	n := f.count(maxField)
	n = min(n, len(f.rest))
	field := f.rest[:n]
	f.rest = f.rest[n:]
	return field
}

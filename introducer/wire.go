package introducer

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/multiformats/go-multiaddr"

	"cairn/share"
)

// version is the version of the descriptor's and the address's format.
const version = 1

// Limits of an address.
const (
	maxPeers     = 16
	maxAddresses = 16 // per peer
	maxEncoded   = 8 << 10
)

// wireDescriptor is what the grid's key signs.
type wireDescriptor struct {
	Version int    `cbor:"1,keyasint"`
	Name    string `cbor:"2,keyasint"`
	Key     []byte `cbor:"3,keyasint"`
	Needed  int    `cbor:"4,keyasint,omitempty"`
	Happy   int    `cbor:"5,keyasint,omitempty"`
	Total   int    `cbor:"6,keyasint,omitempty"`
	Open    bool   `cbor:"7,keyasint,omitempty"`
	Created int64  `cbor:"8,keyasint"`
}

// wireAddress is the binary form of an address: the descriptor as it was signed, and first peers.
type wireAddress struct {
	Descriptor []byte     `cbor:"1,keyasint"`
	Signature  []byte     `cbor:"2,keyasint"`
	Peers      []wirePeer `cbor:"3,keyasint,omitempty"`
}

// wirePeer is one peer with its transport addresses, all in multiaddr's binary form.
type wirePeer struct {
	ID        []byte   `cbor:"1,keyasint"`
	Addresses [][]byte `cbor:"2,keyasint"`
}

var (
	encoder = must(cbor.CoreDetEncOptions().EncMode())
	decoder = must(cbor.DecOptions{
		DupMapKey:         cbor.DupMapKeyEnforcedAPF,
		IndefLength:       cbor.IndefLengthForbidden,
		ExtraReturnErrors: cbor.ExtraDecErrorUnknownField,
		TagsMd:            cbor.TagsForbidden,
		MaxArrayElements:  16, // the least the library allows; maxPeers and maxAddresses are no larger
		MaxMapPairs:       16,
		MaxNestedLevels:   6,
	}.DecMode())
)

func must[T any](value T, err error) T {
	if err != nil {
		panic("introducer: " + err.Error()) // the options are constants
	}
	return value
}

func encode(value any) []byte {
	data, err := encoder.Marshal(value)
	if err != nil {
		panic("introducer: encoding: " + err.Error()) // structs of plain fields always encode
	}
	return data
}

// encoded returns the bytes that carry the descriptor.
func (d Descriptor) encoded() []byte {
	return encode(wireDescriptor{
		Version: version, Name: d.Name, Key: d.key[:],
		Needed: d.Params.Needed, Happy: d.Params.Happy, Total: d.Params.Total,
		Open: d.Open, Created: d.Created.Unix(),
	})
}

// signed returns the bytes that the grid's key signs.
func (d Descriptor) signed() []byte { return append([]byte(signContext), d.encoded()...) }

func decodeDescriptor(data, signature []byte) (Descriptor, error) {
	var w wireDescriptor
	if err := decoder.Unmarshal(data, &w); err != nil {
		return Descriptor{}, fmt.Errorf("descriptor: %w", err)
	}
	if w.Version != version {
		return Descriptor{}, fmt.Errorf("descriptor: %w %d", share.ErrVersion, w.Version)
	}
	d := Descriptor{
		Name: w.Name, Params: share.Params{Needed: w.Needed, Happy: w.Happy, Total: w.Total},
		Open: w.Open, Created: time.Unix(w.Created, 0).UTC(),
	}
	if len(w.Key) != len(d.key) || len(signature) != len(d.signature) {
		return Descriptor{}, errors.New("descriptor: key or signature has the wrong length")
	}
	copy(d.key[:], w.Key)
	copy(d.signature[:], signature)
	if err := d.verify(); err != nil {
		return Descriptor{}, fmt.Errorf("descriptor: %w", err)
	}
	return d, nil
}

// encodePeers groups full multiaddrs by peer, in the order of their first appearance.
func encodePeers(bootstrap []string) ([]wirePeer, error) {
	var peers []wirePeer
	for _, text := range bootstrap {
		transport, id, err := splitPeer(text)
		if err != nil {
			return nil, err
		}
		i := 0
		for i < len(peers) && !bytes.Equal(peers[i].ID, id) {
			i++
		}
		if i == len(peers) {
			peers = append(peers, wirePeer{ID: id})
		}
		peers[i].Addresses = append(peers[i].Addresses, transport)
	}
	return peers, checkPeers(peers)
}

func checkPeers(peers []wirePeer) error {
	if len(peers) > maxPeers {
		return fmt.Errorf("%d peers: want at most %d", len(peers), maxPeers)
	}
	for i, p := range peers {
		if len(p.Addresses) == 0 || len(p.Addresses) > maxAddresses {
			return fmt.Errorf("peer %d has %d addresses: want 1 to %d", i, len(p.Addresses), maxAddresses)
		}
		for j, a := range p.Addresses {
			for _, b := range p.Addresses[:j] {
				if bytes.Equal(a, b) {
					return fmt.Errorf("peer %d has the same address twice", i)
				}
			}
		}
	}
	return nil
}

// splitPeer cuts a multiaddr with a peer id at its end into its transport and its peer id.
func splitPeer(text string) (transport, id []byte, err error) {
	full, err := multiaddr.NewMultiaddr(text)
	if err != nil {
		return nil, nil, fmt.Errorf("address %.200q: %w", text, err)
	}
	rest, last := multiaddr.SplitLast(full)
	if last == nil || last.Protocol().Code != multiaddr.P_P2P || len(rest) == 0 {
		return nil, nil, fmt.Errorf("address %.200q: want a transport address with a peer id at its end", text)
	}
	return rest.Bytes(), last.Bytes(), nil
}

func decodePeers(peers []wirePeer) ([]string, error) {
	if err := checkPeers(peers); err != nil {
		return nil, err
	}
	var bootstrap []string
	for _, p := range peers {
		id, err := multiaddr.NewMultiaddrBytes(p.ID)
		if err != nil {
			return nil, fmt.Errorf("peer id: %w", err)
		}
		if len(id) != 1 || id[0].Code() != multiaddr.P_P2P {
			return nil, fmt.Errorf("peer id: %s is none", id)
		}
		for _, data := range p.Addresses {
			transport, err := multiaddr.NewMultiaddrBytes(data)
			if err != nil {
				return nil, fmt.Errorf("peer address: %w", err)
			}
			bootstrap = append(bootstrap, transport.Encapsulate(id).String())
		}
	}
	return bootstrap, nil
}

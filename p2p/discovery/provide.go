package discovery

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"

	"cairn/internal/awake"
	"cairn/p2p"
	"cairn/share"
)

// The protocol in which members give each other records and ask for them: one question and one answer on a stream of its
// own. Numbers are big-endian.
//
//	give    'G' addresses, number of keys (4 bytes), keys (8 bytes each)   answer: 0 kept, 1 no room for all
//	ask     'A' key                                                        answer: number of members (1 byte), and for
//	                                                                       each: length (1), id, addresses
//	addresses: number (1 byte), and for each: length (1 byte), multiaddr as bytes
const (
	provideName = "provide/1"
	giveKind    = 'G'
	askKind     = 'A'
	keptAll     = 0
	noRoom      = 1
	// maxGiven is how many records go into one message.
	maxGiven = 1 << 16
	// maxAddresses is how many addresses a member tells of itself; longer ones than 255 bytes are left out.
	maxAddresses = 8
	// serveWithin bounds one exchange at the side that answers.
	serveWithin = 30 * time.Second
)

// giveRecords gives a member records of this node.
func (d *Discovery) giveRecords(ctx context.Context, id peer.ID, addresses []byte, keys []fileKey) error {
	if id == d.dht.PeerID() {
		return d.records.put(id, addresses, keys, time.Now())
	}
	for len(keys) > 0 {
		part := keys[:min(len(keys), maxGiven)]
		keys = keys[len(part):]
		message := append([]byte{giveKind}, addresses...)
		message = binary.BigEndian.AppendUint32(message, uint32(len(part)))
		for _, key := range part {
			message = binary.BigEndian.AppendUint64(message, uint64(key))
		}
		d.given.Add(1)
		d.givenSize.Add(int64(len(message)))
		err := d.exchange(ctx, id, sendWithin, message, func(answer *bufio.Reader) error {
			verdict, err := answer.ReadByte()
			if err == nil && verdict != keptAll {
				err = share.ErrNoSpace
			}
			return err
		})
		if err != nil {
			return fmt.Errorf("announce %d files to %s: %w", len(part), share.ServerID(id.String()).Short(), err)
		}
	}
	return nil
}

// askRecords asks a member who announced a file.
func (d *Discovery) askRecords(ctx context.Context, id peer.ID, key fileKey) (named []peer.AddrInfo, err error) {
	message := binary.BigEndian.AppendUint64([]byte{askKind}, uint64(key))
	err = d.exchange(ctx, id, d.cfg.Within, message, func(answer *bufio.Reader) (err error) {
		named, err = readNamed(answer)
		return err
	})
	return named, err
}

func (d *Discovery) exchange(ctx context.Context, id peer.ID, within time.Duration, question []byte, read func(*bufio.Reader) error) error {
	ctx, cancel := awake.WithTimeout(ctx, within)
	defer cancel()
	s, err := d.host.Stream(ctx, share.ServerID(id.String()), provideName)
	if err != nil {
		return err
	}
	defer s.Close()
	defer context.AfterFunc(ctx, func() { s.Reset() })()
	if _, err := s.Write(question); err != nil {
		return p2p.Reason(err)
	}
	if err := s.CloseWrite(); err != nil {
		return p2p.Reason(err)
	}
	if err := read(bufio.NewReader(s)); err != nil {
		return p2p.Reason(err)
	}
	return nil
}

// serveRecords answers a member.
func (d *Discovery) serveRecords(s network.Stream) {
	defer s.Close()
	s.SetDeadline(time.Now().Add(serveWithin))
	answer, err := d.answer(s.Conn().RemotePeer(), bufio.NewReader(s))
	if err == nil {
		_, err = s.Write(answer)
	}
	if err != nil {
		d.log.Debug("records not understood", "peer", share.ServerID(s.Conn().RemotePeer().String()).Short(), "error", err)
		s.ResetWithError(network.StreamProtocolViolation)
	}
}

func (d *Discovery) answer(from peer.ID, r *bufio.Reader) ([]byte, error) {
	kind, err := r.ReadByte()
	if err != nil {
		return nil, err
	}
	switch kind {
	case giveKind:
		addresses, keys, err := readGiven(r)
		if err != nil {
			return nil, err
		}
		if err := d.records.put(from, addresses, keys, time.Now()); err != nil {
			d.log.Debug("records are not kept", "peer", share.ServerID(from.String()).Short(), "error", err)
			return []byte{noRoom}, nil
		}
		return []byte{keptAll}, nil
	case askKind:
		var key [fileKeyLength]byte
		if _, err := io.ReadFull(r, key[:]); err != nil {
			return nil, err
		}
		return appendNamed(nil, d.kept(fileKey(binary.BigEndian.Uint64(key[:])))), nil
	}
	return nil, fmt.Errorf("%w: message of kind %d", share.ErrCorrupt, kind)
}

// readGiven reads what follows the kind of a message that gives records.
func readGiven(r *bufio.Reader) (addresses []byte, keys []fileKey, err error) {
	list, err := readAddresses(r)
	if err != nil {
		return nil, nil, err
	}
	var count [4]byte
	if _, err := io.ReadFull(r, count[:]); err != nil {
		return nil, nil, err
	}
	n := binary.BigEndian.Uint32(count[:])
	if n > maxGiven {
		return nil, nil, fmt.Errorf("%w: %d records in one message", share.ErrTooLarge, n)
	}
	var key [fileKeyLength]byte
	for range n {
		if _, err := io.ReadFull(r, key[:]); err != nil {
			return nil, nil, err
		}
		keys = append(keys, fileKey(binary.BigEndian.Uint64(key[:])))
	}
	return encodeAddresses(list), keys, nil
}

func appendNamed(b []byte, named []peer.AddrInfo) []byte {
	b = append(b, byte(len(named)))
	for _, info := range named {
		b = append(append(b, byte(len(info.ID))), info.ID...)
		b = append(b, encodeAddresses(info.Addrs)...)
	}
	return b
}

func readNamed(r *bufio.Reader) ([]peer.AddrInfo, error) {
	n, err := r.ReadByte()
	if err != nil {
		return nil, err
	}
	if n > MaxProviders {
		return nil, fmt.Errorf("%w: %d members named", share.ErrTooLarge, n)
	}
	var named []peer.AddrInfo
	for range n {
		text, err := readShort(r)
		if err != nil {
			return nil, err
		}
		id, err := peer.IDFromBytes(text)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", share.ErrCorrupt, err)
		}
		addresses, err := readAddresses(r)
		if err != nil {
			return nil, err
		}
		named = append(named, peer.AddrInfo{ID: id, Addrs: addresses})
	}
	return named, nil
}

// encodeAddresses leaves out what has no room.
func encodeAddresses(list []multiaddr.Multiaddr) []byte {
	b := []byte{0}
	for _, a := range list {
		if text := a.Bytes(); len(text) <= 255 && b[0] < maxAddresses {
			b = append(append(b, byte(len(text))), text...)
			b[0]++
		}
	}
	return b
}

func readAddresses(r *bufio.Reader) ([]multiaddr.Multiaddr, error) {
	n, err := r.ReadByte()
	if err != nil {
		return nil, err
	}
	if n > maxAddresses {
		return nil, fmt.Errorf("%w: %d addresses of one member", share.ErrTooLarge, n)
	}
	var list []multiaddr.Multiaddr
	for range n {
		text, err := readShort(r)
		if err != nil {
			return nil, err
		}
		a, err := multiaddr.NewMultiaddrBytes(text)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", share.ErrCorrupt, err)
		}
		list = append(list, a)
	}
	return list, nil
}

func readShort(r *bufio.Reader) ([]byte, error) {
	n, err := r.ReadByte()
	if err != nil {
		return nil, err
	}
	text := make([]byte, n)
	_, err = io.ReadFull(r, text)
	return text, err
}

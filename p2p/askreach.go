package p2p

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/protocol/autonatv2"
	"github.com/libp2p/go-libp2p/p2p/protocol/autonatv2/pb"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/util"
	"github.com/multiformats/go-multiaddr"

	"cairn/internal/awake"
	"cairn/share"
)

const (
	// maxAskedAddresses is how many addresses one AskReachable asks about: a member answers twelve requests a minute.
	maxAskedAddresses = 6
	askReachTimeout   = 20 * time.Second
	maxAutoNATMessage = 8192
	// maxDialData is the most that a member may want to be sent before it dials an address other than the one it sees
	// us at (AutoNAT v2).
	maxDialData = 100_000
)

// A DialBack is what a member answered when it was asked to connect to one of our addresses.
type DialBack struct {
	Address string `json:"address"`
	Reach   Reach  `json:"reach"`
	// Reason says why Reach is not ReachPublic.
	Reason string `json:"reason,omitempty"`
}

// AskReachable has a member connect to each public address of this node, as a stranger would (AutoNAT v2), and returns
// what it answers, one DialBack for each address. It takes up to half a minute. There is none when this node has no public address.
// Reachability knows of the answers from then on.
// The error wraps share.ErrUnavailable when the member cannot be asked and share.ErrVersion when it does not do this.
func (h *Host) AskReachable(ctx context.Context, id share.ServerID) ([]DialBack, error) {
	to, err := peer.Decode(string(id))
	if err != nil {
		return nil, fmt.Errorf("ask %s to connect: %w: not a peer id: %v", id.Short(), share.ErrUnavailable, err)
	}
	if err := h.gater.admit(to); err != nil {
		return nil, fmt.Errorf("ask %s to connect: %w: %w", id.Short(), share.ErrDenied, err)
	}
	var answers []DialBack
	for _, a := range h.askable() {
		d, err := h.askDialBack(ctx, to, a)
		if err != nil {
			return answers, fmt.Errorf("ask %s to connect: %w", id.Short(), Reason(err))
		}
		h.sight.answer(a, d.Reach, time.Now())
		answers = append(answers, d)
	}
	return answers, nil
}

// askable returns the public addresses, one of each port and those that were observed and not confirmed included.
func (h *Host) askable() []multiaddr.Multiaddr {
	own, _ := h.host.Network().InterfaceListenAddresses()
	good, bad := h.sight.confirmed()
	var list []multiaddr.Multiaddr
	for _, a := range append(append(append(good, bad...), h.host.Addrs()...), own...) {
		if isPublic(a) && transportName(a) != "" && !containsAddress(list, a) && len(list) < maxAskedAddresses {
			list = append(list, a)
		}
	}
	return list
}

func (h *Host) askDialBack(ctx context.Context, to peer.ID, a multiaddr.Multiaddr) (DialBack, error) {
	ctx, cancel := awake.WithTimeout(ctx, askReachTimeout)
	defer cancel()
	open, cancelOpen := awake.WithTimeout(network.WithNoDial(ctx, "reachability"), h.cfg.DialTimeout)
	defer cancelOpen()
	s, err := h.host.NewStream(open, to, autonatv2.DialProtocol)
	if err != nil {
		return DialBack{}, err
	}
	defer s.Reset()
	defer context.AfterFunc(ctx, func() { s.Reset() })()
	if err := s.Scope().SetService(autonatv2.ServiceName); err != nil {
		return DialBack{}, err
	}
	response, err := dialBackExchange(s, a)
	if err != nil {
		return DialBack{}, err
	}
	d := DialBack{Address: a.String(), Reach: ReachUnknown}
	switch {
	case response.GetStatus() == pb.DialResponse_E_DIAL_REFUSED:
		d.Reason = "it cannot connect to addresses of this kind"
	case response.GetStatus() == pb.DialResponse_E_REQUEST_REJECTED:
		d.Reason = "it was asked too often, ask again in a minute"
	case response.GetStatus() != pb.DialResponse_OK:
		d.Reason = "it answered " + response.GetStatus().String()
	case response.GetDialStatus() == pb.DialStatus_OK, response.GetDialStatus() == pb.DialStatus_E_DIAL_BACK_ERROR:
		d.Reach = ReachPublic
	default:
		d.Reach, d.Reason = ReachPrivate, "it could not connect"
	}
	return d, nil
}

// dialBackExchange asks for one address and hears the answer. The number that the member sends back over the connection
// it makes is not waited for: whether it got through is its word either way.
func dialBackExchange(s network.Stream, a multiaddr.Multiaddr) (*pb.DialResponse, error) {
	w, r := util.NewDelimitedWriter(s), util.NewDelimitedReader(s, maxAutoNATMessage)
	defer r.Close()
	ask := &pb.DialRequest{Addrs: [][]byte{a.Bytes()}, Nonce: rand.Uint64()}
	if err := w.WriteMsg(&pb.Message{Msg: &pb.Message_DialRequest{DialRequest: ask}}); err != nil {
		return nil, err
	}
	var answer pb.Message
	if err := r.ReadMsg(&answer); err != nil {
		return nil, err
	}
	if wanted := answer.GetDialDataRequest(); wanted != nil {
		for left := int(min(wanted.GetNumBytes(), maxDialData)); left > 0; left -= 4000 {
			data := &pb.DialDataResponse{Data: make([]byte, min(left, 4000))}
			if len(data.Data) < 100 {
				data.Data = make([]byte, 100) // less is refused
			}
			if err := w.WriteMsg(&pb.Message{Msg: &pb.Message_DialDataResponse{DialDataResponse: data}}); err != nil {
				return nil, err
			}
		}
		if err := r.ReadMsg(&answer); err != nil {
			return nil, err
		}
	}
	if answer.GetDialResponse() == nil {
		return nil, fmt.Errorf("%w: not an answer to a dial request", share.ErrVersion)
	}
	return answer.GetDialResponse(), nil
}

package recovery

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"cairn/introducer"
	"cairn/introducer/message"
	"cairn/p2p"
	"cairn/share"
)

// servedAtOnce bounds the exchanges served at a time.
const servedAtOnce = 8

// Config describes the answering side. All but Logger are required.
type Config struct {
	Roster *introducer.Roster
	// Self is the id of this node.
	Self share.ServerID
	// Contacts returns full multiaddrs of members to meet first.
	Contacts func() []string
	// Logger receives what happens; nothing is logged when nil.
	Logger *slog.Logger
}

// A Server answers those who come back with the key of an account. It is safe for concurrent use.
type Server struct {
	cfg   Config
	log   *slog.Logger
	slots chan struct{}
}

// NewServer returns a server; its Serve is for p2p.Host.HandleStranger.
func NewServer(cfg Config) (*Server, error) {
	if cfg.Roster == nil || cfg.Self == "" || cfg.Contacts == nil {
		return nil, errors.New("recovery: roster, own id or contacts are missing")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Server{cfg: cfg, log: cfg.Logger, slots: make(chan struct{}, servedAtOnce)}, nil
}

// Serve answers one stream of Protocol.
func (s *Server) Serve(stream p2p.Stream) {
	claimant := share.ServerID(stream.Conn().RemotePeer().String())
	if err := s.serve(stream, claimant); err != nil {
		s.log.Info("nobody was let back in", "peer", claimant.Short(), "error", err)
		stream.Reset()
		return
	}
	stream.Close()
}

func (s *Server) serve(stream p2p.Stream, claimant share.ServerID) error {
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	default:
		return share.ErrBusy
	}
	var theirs hail
	if err := message.Read(stream, &theirs, maxSmall); err != nil {
		return err
	}
	if err := theirs.validate(); err != nil {
		return err
	}
	nonce := newNonce()
	if err := message.Write(stream, hail{Nonce: nonce}, maxSmall); err != nil {
		return err
	}
	var c claim
	if err := message.Read(stream, &c, maxSmall); err != nil {
		return err
	}
	account, err := c.verify(signed(theirs.Nonce, nonce, claimant, s.cfg.Self))
	if err != nil {
		return err
	}
	a, err := s.answer(account, time.Now())
	if err != nil {
		return err
	}
	if err := message.Write(stream, a, maxAnswer); err != nil || a.Verdict != verdictKnown {
		return err
	}
	return s.name(stream, account, claimant)
}

// answer says what the roster knows of the account.
func (s *Server) answer(account introducer.AccountKey, now time.Time) (answer, error) {
	m, known := s.cfg.Roster.Member(account, now)
	switch {
	case !known:
		return answer{Verdict: verdictUnknown}, nil
	case m.State != introducer.StateMember:
		text := fmt.Sprintf("%s: %s", m.Nickname, m.Reason)
		return answer{Verdict: verdictRefused, Text: cut(text)}, nil
	}
	grid, err := introducer.NewAddress(s.cfg.Roster.Grid(), contacts(s.cfg.Contacts()))
	if err != nil {
		return answer{}, err
	}
	own, err := s.cfg.Roster.Credentials(s.cfg.Self)
	if err != nil {
		return answer{}, fmt.Errorf("this node is no member itself: %w", err)
	}
	chain, err := s.cfg.Roster.Vouching(account)
	if err != nil {
		return answer{}, err
	}
	return answer{
		Verdict: verdictKnown, Grid: grid.String(), Statements: s.cfg.Roster.Excerpt(append(own, chain...), maxStatements),
	}, nil
}

// name takes the statement about the claimant's node.
func (s *Server) name(stream p2p.Stream, account introducer.AccountKey, claimant share.ServerID) error {
	var n naming
	if err := message.Read(stream, &n, maxSmall); err != nil {
		return fmt.Errorf("known, but its node is not named yet: %w", err)
	}
	a := answer{Verdict: verdictAdmitted}
	if _, err := s.cfg.Roster.Add(n.Device); err != nil {
		a = answer{Verdict: verdictRefused, Text: cut(err.Error())}
	} else if err := s.cfg.Roster.Admit(claimant); err != nil {
		a = answer{Verdict: verdictRefused, Text: cut(err.Error())}
	} else {
		s.log.Info("a member is back with its account's key", "account", account.Short(), "peer", claimant.Short())
	}
	return message.Write(stream, a, maxSmall)
}

// contacts cuts a list of addresses to what a grid address carries.
func contacts(addresses []string) []string {
	const most = 12
	var list []string
	for _, a := range addresses {
		if len(list) < most && !slices.Contains(list, a) {
			list = append(list, a)
		}
	}
	return list
}

func cut(text string) string {
	runes := []rune(text)
	return string(runes[:min(len(runes), 300)])
}

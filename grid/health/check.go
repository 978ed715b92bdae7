package health

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"cairn/internal/awake"
	"cairn/share"
	"cairn/share/encoding"
)

// Check asks all servers which shares of a file they hold. It takes as long as the slowest answer, a few seconds at
// most: servers that have not answered by then are listed as such. Wrong roots are blamed on those who give
// them; that the shares are intact is the servers' word (see Verify).
//
// The report of a file that cannot be recovered is no error; Report.Err makes one of it. The error is that of ctx, or
// ErrVersion or ErrCorrupt when the storage index stands for something that is not an encoded file of a version
// known here.
func Check(ctx context.Context, servers []share.Server, index share.StorageIndex) (Report, error) {
	s, err := takeSurvey(ctx, servers, index)
	if err != nil {
		return Report{}, err
	}
	return s.report(), nil
}

// A survey is what the servers say about one file.
type survey struct {
	index     share.StorageIndex
	servers   []share.Server // each id once
	root      encoding.Root
	rootBlock []byte // nil until a server has given the right one
	// claims are the numbers that each server claims to hold under the right root, by position in servers.
	claims      []Numbers
	answered    []bool
	corrupt     []Fault
	undelivered []Fault
	unanswered  []Unanswered
	verified    bool
}

func takeSurvey(ctx context.Context, servers []share.Server, index share.StorageIndex) (*survey, error) {
	s := &survey{index: index, servers: distinct(servers)}
	s.claims, s.answered = make([]Numbers, len(s.servers)), make([]bool, len(s.servers))
	held, errs := make([]share.Held, len(s.servers)), make([]error, len(s.servers))
	each(s.servers, askAtOnce, func(i int, server share.Server) {
		held[i], errs[i] = askHeld(ctx, server, index)
	})
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("check %s: %w", index, err)
	}
	for i, server := range s.servers {
		if errs[i] != nil {
			s.unanswered = append(s.unanswered, Unanswered{server.ID, reason(errs[i])})
			continue
		}
		s.answered[i] = true
		if err := s.judge(i, held[i]); err != nil {
			return nil, fmt.Errorf("check %s: %w", index, err)
		}
	}
	return s, nil
}

// askHeld returns what one server says about one file.
func askHeld(ctx context.Context, server share.Server, index share.StorageIndex) (share.Held, error) {
	ctx, cancel := awake.WithTimeout(ctx, askTimeout)
	defer cancel()
	held, err := server.Store.Numbers(ctx, []share.StorageIndex{index})
	switch {
	case err != nil:
		return share.Held{}, err
	case len(held) != 1 || held[0].Index != index:
		return share.Held{}, errors.New("the answer does not belong to the question")
	}
	return held[0], nil
}

// judge sorts what one server claims into shares that may be good and faults. The error says that the file
// itself, not the server, is at fault.
func (s *survey) judge(i int, held share.Held) error {
	if len(held.Numbers) == 0 {
		return nil
	}
	numbers := slices.Clone(held.Numbers)
	slices.Sort(numbers)
	numbers = slices.Compact(numbers)
	wrong := ""
	if share.IndexOf(held.Root) != s.index {
		wrong = "the root does not match the storage index"
	} else if s.rootBlock == nil {
		root, err := encoding.ParseRoot(held.Root)
		if err != nil {
			return err
		}
		s.root, s.rootBlock = root, held.Root
	}
	for _, number := range numbers {
		switch {
		case wrong != "":
			s.corrupt = append(s.corrupt, Fault{Number: number, Peer: s.servers[i].ID, Reason: wrong})
		case int(number) >= s.root.Total:
			s.corrupt = append(s.corrupt, Fault{
				Number: number, Peer: s.servers[i].ID, Reason: fmt.Sprintf("the file has %d shares only", s.root.Total),
			})
		default:
			s.claims[i] = append(s.claims[i], number)
		}
	}
	return nil
}

// drop takes a share out of a server's claims.
func (s *survey) drop(i int, number share.Number) {
	s.claims[i] = slices.DeleteFunc(s.claims[i], func(n share.Number) bool { return n == number })
}

func (s *survey) report() Report {
	r := Report{
		index: s.index, Verified: s.verified, Asked: len(s.servers),
		SharesNeeded: s.root.Needed, SharesTotal: s.root.Total, Size: s.root.Size,
		Corrupt: append([]Fault{}, s.corrupt...), Undelivered: append([]Fault{}, s.undelivered...),
		Unanswered: append([]Unanswered{}, s.unanswered...),
		Holders:    make(map[share.ServerID]Numbers, len(s.servers)),
	}
	for i, server := range s.servers {
		r.Holders[server.ID] = slices.Clone(s.claims[i])
	}
	r.sum()
	return r
}

// distinct returns the servers without later ones of the same id.
func distinct(servers []share.Server) []share.Server {
	seen := make(map[share.ServerID]bool, len(servers))
	return slices.DeleteFunc(slices.Clone(servers), func(s share.Server) bool {
		if seen[s.ID] {
			return true
		}
		seen[s.ID] = true
		return false
	})
}

// reason says why a server did not answer. That it was the server, and what it was asked, is said already.
func reason(err error) string {
	if errors.Is(err, context.DeadlineExceeded) {
		return "no answer in time"
	}
	text := err.Error()
	if _, why, ok := strings.Cut(text, share.ErrUnavailable.Error()+": "); ok && errors.Is(err, share.ErrUnavailable) {
		return why
	}
	return text
}

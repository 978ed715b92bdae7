package health

import (
	"context"
	"slices"

	"cairn/grid/placement"
	"cairn/internal/awake"
	"cairn/share"
)

// jobs returns what is to be made now: every share that is nowhere, and copies of shares that crowd on one server as far
// as they bring the happiness up to the one that is wished for.
func (r *repairer) jobs() []job {
	params := share.Params{
		Needed: r.root.Needed, Total: r.root.Total, Happy: max(r.root.Needed, min(r.Happy, r.root.Total)),
	}
	// The best plan there is will do: the verdict tells how happy it is.
	plan, _ := placement.New(r.index[:], params, r.shareSize(), r.candidates())
	holders := make(map[share.ServerID][]share.Number, len(r.servers))
	good := map[share.Number]bool{}
	for i, server := range r.servers {
		holders[server.ID] = slices.Clone(r.claims[i])
		for _, number := range r.claims[i] {
			good[number] = true
		}
	}
	var jobs []job
	for _, number := range r.numbers() {
		if id, ok := plan.Assign[number]; ok && !good[number] {
			holders[id] = append(holders[id], number)
			jobs = append(jobs, job{r.position(id), number})
		}
	}
	// A good share that the plan sends to another server makes that one count.
	for _, number := range r.numbers() {
		if placement.Happiness(holders) >= min(r.Happy, r.root.Total) {
			break
		}
		if id, ok := plan.Assign[number]; ok && good[number] && !slices.Contains(holders[id], number) {
			holders[id] = append(holders[id], number)
			jobs = append(jobs, job{r.position(id), number})
		}
	}
	return jobs
}

func (r *repairer) shareSize() int64 { return r.layout.RootOffset() + int64(len(r.rootBlock)) }

func (r *repairer) numbers() []share.Number {
	numbers := make([]share.Number, r.root.Total)
	for i := range numbers {
		numbers[i] = share.Number(i)
	}
	return numbers
}

func (r *repairer) position(id share.ServerID) int {
	return slices.IndexFunc(r.servers, func(s share.Server) bool { return s.ID == id })
}

// candidates describes the servers that answered. Those that gave a bad share keep what else they hold but get
// nothing new, because a share that is stored under the same number already would not be replaced; but for those that
// have found it damaged themselves and let go of it.
func (r *repairer) candidates() []placement.Server {
	blamed := map[share.ServerID]bool{}
	for _, faults := range [][]Fault{r.corrupt, r.undelivered} {
		for _, f := range faults {
			blamed[f.Peer] = blamed[f.Peer] || !f.Dropped
		}
	}
	var candidates []placement.Server
	for i, server := range r.servers {
		if !r.answered[i] {
			continue
		}
		c := placement.Server{ID: server.ID, Free: server.Free, Holds: slices.Clone(r.claims[i]), Refused: server.Refused, Last: server.Last}
		c.Full = server.Down || r.refused[i] != nil || blamed[server.ID]
		if !c.Full {
			c.Holds = append(c.Holds, r.partial[i]...)
		}
		candidates = append(candidates, c)
	}
	return candidates
}

// findPartial asks which shares an earlier repair left unfinished, so that they are finished where they are.
func (r *repairer) findPartial(ctx context.Context) {
	each(r.servers, askAtOnce, func(i int, server share.Server) {
		resumer, ok := server.Store.(share.Resumer)
		if !ok || !r.answered[i] {
			return
		}
		ctx, cancel := awake.WithTimeout(ctx, askTimeout)
		defer cancel()
		uploads, err := resumer.Uploads(ctx, r.Lease.Owner, UploadID(r.index))
		if err != nil {
			return // it costs doing the work again, no more
		}
		for _, p := range uploads {
			if p.Index.IsZero() && p.Blocks > 0 && int(p.Number) < r.root.Total {
				r.partial[i] = append(r.partial[i], p.Number)
			}
		}
	})
}

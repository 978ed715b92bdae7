package health

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"cairn/grid/placement"
	"cairn/share"
	"cairn/share/encoding"
)

// Spread copies the shares of one file that a store holds to others which hold none of it, one share to each, as far as they have room. It
// returns the shares that another server holds now, or held before, each after all of it was read back from there and verified: the
// store can let go of them; size is how many bytes each of them has. Interrupted, it goes on where it stopped when it is called again. That no server is left for a share is no error;
// one that is damaged is a *DamagedError (see Damages).
func Spread(ctx context.Context, from share.Store, others []share.Server, index share.StorageIndex, o Options) (made []Made, size int64, err error) {
	held, err := from.Numbers(ctx, []share.StorageIndex{index})
	if err != nil || len(held[0].Numbers) == 0 {
		return nil, 0, err
	}
	root, err := encoding.CheckRoot(index, held[0].Root)
	if err != nil {
		return nil, 0, fmt.Errorf("spread %s: %w", index, err)
	}
	h := &handover{from: from, others: others, index: index, root: root, rootBlock: held[0].Root, o: o}
	h.ask(ctx)
	size = h.root.Layout().RootOffset() + int64(len(h.rootBlock))
	var errs []error
	for _, number := range held[0].Numbers {
		peer, err := h.spread(ctx, number)
		switch {
		case ctx.Err() != nil:
			return made, size, ctx.Err()
		case err != nil:
			errs = append(errs, fmt.Errorf("spread share %d of %s: %w", number, index, err))
		case peer != "":
			made = append(made, Made{Number: number, Peer: peer})
		}
	}
	return made, size, errors.Join(errs...)
}

// spread returns the server that has a share now, empty when there is none.
func (h *handover) spread(ctx context.Context, number share.Number) (share.ServerID, error) {
	var errs []error
	for i, p := range h.places {
		if !slices.Contains(p.Holds, number) {
			continue
		}
		err := h.verifyAt(ctx, i, number)
		if err == nil {
			return p.ID, nil
		}
		errs = append(errs, fmt.Errorf("server %s: %w", h.others[i], err))
	}
	if len(errs) > 0 {
		return "", errors.Join(errs...) // to be repaired, not to be covered up
	}
	size := h.root.Layout().RootOffset() + int64(len(h.rootBlock))
	for {
		idle := slices.DeleteFunc(slices.Clone(h.places), func(p placement.Server) bool { return p.Full || len(p.Holds) > 0 })
		id, ok := placement.Replace(h.index[:], size, idle, number)
		if !ok {
			return "", errors.Join(errs...)
		}
		i := slices.IndexFunc(h.others, func(s share.Server) bool { return s.ID == id })
		err := h.copyTo(ctx, h.others[i], number)
		if err == nil {
			h.places[i].Holds = append(h.places[i].Holds, number)
			h.places[i].Free -= size
			err = h.verifyAt(ctx, i, number)
		}
		if errors.Is(err, errOwnShare) && ctx.Err() == nil {
			return "", h.own(ctx, number, err)
		}
		if err == nil || ctx.Err() != nil {
			return id, err
		}
		h.places[i].Full = true
		errs = append(errs, fmt.Errorf("server %s: %w", h.others[i], err))
	}
}

// verifyAt reads all of a share from a server.
func (h *handover) verifyAt(ctx context.Context, at int, number share.Number) error {
	r, err := openShare(ctx, h.others[at], h.index, number)
	if err != nil {
		return err
	}
	defer r.Close()
	return encoding.Verify(ctx, timedReader{r, func(int) {}}, h.index, number, h.rootBlock)
}

package health

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"cairn/grid/placement"
	"cairn/internal/awake"
	"cairn/share"
	"cairn/share/encoding"
)

// HandOver copies the shares of one file that a store holds, and no other server does, to others, because the store is
// about to go. It returns the shares that it stored elsewhere. What a holder gives is verified on its way. Interrupted, it
// goes on where it stopped when it is called again.
//
// The error says why a share found no place: ErrNoSpace where no server is left that takes it, ErrCorrupt for a share that
// is damaged in the store (see Damages), which a repair by the file's owner makes anew.
func HandOver(ctx context.Context, from share.Store, others []share.Server, index share.StorageIndex, o Options) ([]Made, error) {
	held, err := from.Numbers(ctx, []share.StorageIndex{index})
	if err != nil || len(held[0].Numbers) == 0 {
		return nil, err
	}
	root, err := encoding.CheckRoot(index, held[0].Root)
	if err != nil {
		return nil, fmt.Errorf("hand over %s: %w", index, err)
	}
	h := &handover{from: from, others: others, index: index, root: root, rootBlock: held[0].Root, o: o}
	h.ask(ctx)
	var made []Made
	var errs []error
	for _, number := range held[0].Numbers {
		if h.elsewhere(number) {
			continue
		}
		peer, err := h.place(ctx, number)
		if err != nil {
			errs = append(errs, fmt.Errorf("hand over share %d of %s: %w", number, index, err))
			continue
		}
		made = append(made, Made{Number: number, Peer: peer})
	}
	return made, errors.Join(errs...)
}

// A handover moves the shares of one file. It is used from one goroutine.
type handover struct {
	from      share.Store
	others    []share.Server
	index     share.StorageIndex
	root      encoding.Root
	rootBlock []byte
	o         Options
	places    []placement.Server // like others
}

// ask finds out what the others hold.
func (h *handover) ask(ctx context.Context) {
	h.places = make([]placement.Server, len(h.others))
	each(h.others, askAtOnce, func(i int, server share.Server) {
		h.places[i] = placement.Server{ID: server.ID, Free: server.Free, Full: server.Down, Refused: server.Refused, Last: server.Last}
		ctx, cancel := awake.WithTimeout(ctx, askTimeout)
		defer cancel()
		held, err := server.Store.Numbers(ctx, []share.StorageIndex{h.index})
		if err != nil {
			h.places[i].Full = true
			return
		}
		h.places[i].Holds = held[0].Numbers
	})
}

// elsewhere reports whether a server that answers says that it holds the share.
func (h *handover) elsewhere(number share.Number) bool {
	return slices.ContainsFunc(h.places, func(p placement.Server) bool { return slices.Contains(p.Holds, number) })
}

// place copies a share to the first server that takes it.
func (h *handover) place(ctx context.Context, number share.Number) (share.ServerID, error) {
	size := h.root.Layout().RootOffset() + int64(len(h.rootBlock))
	var refusals []error
	for {
		id, ok := placement.Replace(h.index[:], size, h.places, number)
		if !ok {
			return "", errors.Join(append(refusals, fmt.Errorf("%w: no other server takes it", share.ErrNoSpace))...)
		}
		i := slices.IndexFunc(h.others, func(s share.Server) bool { return s.ID == id })
		err := h.copyTo(ctx, h.others[i], number)
		if err == nil {
			h.places[i].Holds = append(h.places[i].Holds, number)
			h.places[i].Free -= size
			return id, nil
		}
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		if errors.Is(err, errOwnShare) {
			return "", h.own(ctx, number, err)
		}
		h.places[i].Full = true
		refusals = append(refusals, fmt.Errorf("server %s: %w", h.others[i], err))
	}
}

// errOwnShare says that the share to be handed over cannot be read.
var errOwnShare = errors.New("the share cannot be read here")

// A DamagedError says that a share was not copied because it turned out to be damaged. The store from which it was to be copied has found so
// itself, and does not hold it any more: a repair makes it anew from the others of its file.
type DamagedError struct {
	Index  share.StorageIndex
	Number share.Number
	Err    error
}

func (e *DamagedError) Error() string {
	return fmt.Sprintf("it was damaged, and is not held any more: %v", e.Err)
}

// Unwrap returns what was found.
func (e *DamagedError) Unwrap() error { return e.Err }

// Damages returns the shares that an error of Spread or HandOver says were damaged, and what else it says.
func Damages(err error) (damaged []*DamagedError, rest error) {
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		var others []error
		for _, one := range many.Unwrap() {
			found, other := Damages(one)
			damaged, others = append(damaged, found...), append(others, other)
		}
		return damaged, errors.Join(others...)
	}
	if d, ok := errors.AsType[*DamagedError](err); ok {
		return []*DamagedError{d}, nil
	}
	return nil, err
}

// own has the store look at a share that could not be read from it, and returns the error that says what came of it.
func (h *handover) own(ctx context.Context, number share.Number, err error) error {
	if complain(ctx, share.Server{Store: h.from}, h.index, number, err) {
		if corrupt, ok := errors.AsType[*share.CorruptShareError](err); ok {
			err = corrupt
		}
		return &DamagedError{Index: h.index, Number: number, Err: err}
	}
	return err
}

// copyTo copies a share to one server, from where an earlier attempt stopped.
func (h *handover) copyTo(ctx context.Context, to share.Server, number share.Number) error {
	reader, err := h.from.Open(ctx, h.index, number)
	if err != nil {
		return fmt.Errorf("%w: %w", errOwnShare, err)
	}
	defer reader.Close()
	lease := h.o.Lease
	if lease.Expires.IsZero() {
		lease.Expires = time.Now().Add(share.DefaultLease)
	}
	t := &target{}
	t.ctx, t.cancel = context.WithCancelCause(ctx)
	defer t.close()
	err = t.within(openTimeout, func(ctx context.Context) (err error) {
		t.writer, err = to.Store.Create(ctx, share.Upload{
			ID: UploadID(h.index), Number: number,
			Needed: h.root.Needed, Total: h.root.Total, BlockSize: h.root.BlockSize, Size: h.root.Size, Lease: lease,
		})
		if err == nil {
			t.have, err = t.writer.Have(ctx)
		}
		return err
	})
	if err != nil {
		return err
	}
	layout := h.root.Layout()
	row, block := make([]byte, layout.RowLen()), make([]byte, layout.BlockSize)
	for i := max(t.have, 0); i < layout.Segments(); i++ {
		piece := block[:layout.BlockLen(i)]
		if err := h.read(ctx, reader, number, i, row, piece); err != nil {
			return err
		}
		err := t.within(appendTimeout, func(ctx context.Context) error { return t.writer.Append(ctx, encoding.Digests(row), piece) })
		if err != nil {
			return err
		}
	}
	return t.within(commitTimeout, func(ctx context.Context) error { return t.writer.Commit(ctx, h.rootBlock) })
}

// read reads one segment of the share and verifies its block against its row; the row is verified by the server, against
// the root, before it acknowledges.
func (h *handover) read(ctx context.Context, r share.Reader, number share.Number, i int64, row, block []byte) error {
	layout := h.root.Layout()
	if _, err := r.ReadAt(ctx, row, layout.RowOffset(i)); err != nil {
		return fmt.Errorf("%w: %w", errOwnShare, err)
	}
	if _, err := r.ReadAt(ctx, block, layout.BlockOffset(i)); err != nil {
		return fmt.Errorf("%w: %w", errOwnShare, err)
	}
	if err := layout.CheckBlock(i, number, encoding.Digests(row), block); err != nil {
		return fmt.Errorf("%w: %w", errOwnShare, &share.CorruptShareError{Index: h.index, Number: number, Segment: i, Reason: err.Error()})
	}
	return nil
}

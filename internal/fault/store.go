package fault

import (
	"context"
	"io"

	"cairn/share"
)

// Operations of a Store, as an Injector counts them.
const (
	OpNumbers = "numbers"
	OpOpen    = "open"
	OpRead    = "read"
	OpCreate  = "create"
	OpHave    = "have"
	OpAppend  = "append"
	OpCommit  = "commit"
	OpRenew   = "renew"
	OpUploads = "uploads"
	OpSpace   = "space"
)

// NewStore returns a Store that passes everything on to the inner one, where the Injector lets it. It is a
// share.Resumer and a share.Spacer if the inner store is both, and then a share.HeadStore and a share.Batcher if it is
// both, and then a share.Mover and a share.Accounter if it is both, and then a share.NameMover if it is one.
func NewStore(inner share.Store, in *Injector) share.Store {
	s := &store{inner, in}
	resumer, resumes := inner.(share.Resumer)
	spacer, knows := inner.(share.Spacer)
	if !resumes || !knows {
		return s
	}
	full := &fullStore{s, resumer, spacer}
	heads, keeps := inner.(share.HeadStore)
	batch, takes := inner.(share.Batcher)
	if keeps && takes {
		h := &headStore{full, heads, batch}
		mover, moves := inner.(share.Mover)
		account, counts := inner.(share.Accounter)
		if moves && counts {
			m := &moveStore{h, account, mover}
			if names, ok := inner.(share.NameMover); ok {
				return &nameStore{m, names}
			}
			return m
		}
		return h
	}
	return full
}

type store struct {
	inner share.Store
	in    *Injector
}

// Numbers, when corrupted, gives a wrong root for the first file; when truncated, loses the last answer's numbers.
func (s *store) Numbers(ctx context.Context, indexes []share.StorageIndex) ([]share.Held, error) {
	action, hit := s.in.next(OpNumbers)
	if hit {
		if err := action.run(ctx, OpNumbers); err != nil {
			return nil, err
		}
	}
	held, err := s.inner.Numbers(ctx, indexes)
	if err != nil || !hit {
		return held, err
	}
	for i := range held {
		if action.Truncate {
			held[i].Numbers = nil
		}
		if action.Corrupt && len(held[i].Root) > 0 {
			root := append([]byte(nil), held[i].Root...)
			root[len(root)/2] ^= 1
			held[i].Root = root
		}
	}
	return held, nil
}

func (s *store) Open(ctx context.Context, index share.StorageIndex, n share.Number) (share.Reader, error) {
	if err := s.in.Step(ctx, OpOpen); err != nil {
		return nil, err
	}
	r, err := s.inner.Open(ctx, index, n)
	if err != nil {
		return nil, err
	}
	return &reader{r, s.in}, nil
}

func (s *store) Create(ctx context.Context, upload share.Upload) (share.Writer, error) {
	if err := s.in.Step(ctx, OpCreate); err != nil {
		return nil, err
	}
	w, err := s.inner.Create(ctx, upload)
	if err != nil {
		return nil, err
	}
	return &writer{w, s.in}, nil
}

func (s *store) Renew(ctx context.Context, indexes []share.StorageIndex, lease share.Lease) error {
	if err := s.in.Step(ctx, OpRenew); err != nil {
		return err
	}
	return s.inner.Renew(ctx, indexes, lease)
}

type fullStore struct {
	*store
	resumer share.Resumer
	spacer  share.Spacer
}

func (s *fullStore) Uploads(ctx context.Context, owner string, id share.UploadID) ([]share.Progress, error) {
	if err := s.in.Step(ctx, OpUploads); err != nil {
		return nil, err
	}
	return s.resumer.Uploads(ctx, owner, id)
}

func (s *fullStore) Space(ctx context.Context) (share.Space, error) {
	if err := s.in.Step(ctx, OpSpace); err != nil {
		return share.Space{}, err
	}
	return s.spacer.Space(ctx)
}

type reader struct {
	share.Reader
	in *Injector
}

func (r *reader) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	return r.in.Read(ctx, OpRead, p, io.ErrUnexpectedEOF, func(p []byte) (int, error) { return r.Reader.ReadAt(ctx, p, off) })
}

type writer struct {
	share.Writer
	in *Injector
}

func (w *writer) Have(ctx context.Context) (int64, error) {
	if err := w.in.Step(ctx, OpHave); err != nil {
		return 0, err
	}
	return w.Writer.Have(ctx)
}

func (w *writer) Append(ctx context.Context, digests []share.Digest, block []byte) error {
	_, err := w.in.Write(ctx, OpAppend, block, func(p []byte) (int, error) {
		return len(p), w.Writer.Append(ctx, digests, p)
	})
	return err
}

func (w *writer) Commit(ctx context.Context, root []byte) error {
	if err := w.in.Step(ctx, OpCommit); err != nil {
		return err
	}
	return w.Writer.Commit(ctx, root)
}

package hostile

import (
	"context"
	"fmt"
	"io"

	"cairn/share"
)

// A store misbehaves in what it says about shares and in what it does with them.
type store struct {
	share.Store
	behaviour Behaviour
	firsts    *firsts
}

var (
	_ share.Resumer   = (*store)(nil)
	_ share.Spacer    = (*store)(nil)
	_ share.HeadStore = (*store)(nil)
	_ share.Batcher   = (*store)(nil)
)

// Numbers implements share.Store.
func (s *store) Numbers(ctx context.Context, indexes []share.StorageIndex) ([]share.Held, error) {
	held, err := s.Store.Numbers(ctx, indexes)
	if err != nil || s.behaviour != Claims && s.behaviour != WrongRoot {
		return held, err
	}
	for i := range held {
		held[i].Numbers = held[i].Numbers[:0]
		for n := range share.MaxTotal {
			held[i].Numbers = append(held[i].Numbers, share.Number(n))
		}
		if s.behaviour == WrongRoot {
			held[i].Root = []byte("\xa1dlies\xf5 of another file")
		}
	}
	return held, nil
}

// Open implements share.Store.
func (s *store) Open(ctx context.Context, index share.StorageIndex, number share.Number) (share.Reader, error) {
	if s.behaviour == Claims {
		return nil, fmt.Errorf("share %d: %w", number, share.ErrNotFound)
	}
	r, err := s.Store.Open(ctx, index, number)
	if err != nil {
		return nil, err
	}
	return &reader{Reader: r, behaviour: s.behaviour}, nil
}

// Create implements share.Store.
func (s *store) Create(ctx context.Context, upload share.Upload) (share.Writer, error) {
	if s.behaviour == Forgets {
		return &forgetful{}, nil
	}
	w, err := s.Store.Create(ctx, upload)
	if err != nil || s.behaviour != Refuses {
		return w, err
	}
	return refusing{w}, nil
}

// Uploads implements share.Resumer.
func (s *store) Uploads(ctx context.Context, owner string, id share.UploadID) ([]share.Progress, error) {
	if r, ok := s.Store.(share.Resumer); ok {
		return r.Uploads(ctx, owner, id)
	}
	return nil, nil
}

// Space implements share.Spacer.
func (s *store) Space(ctx context.Context) (share.Space, error) {
	if r, ok := s.Store.(share.Spacer); ok {
		return r.Space(ctx)
	}
	return share.Space{Offered: 1 << 40, Free: 1 << 40}, nil
}

type reader struct {
	share.Reader
	behaviour Behaviour
}

// ReadAt implements share.Reader.
func (r *reader) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	if r.behaviour == Truncates {
		n, err := r.Reader.ReadAt(ctx, p[:len(p)/2], off)
		if err == nil {
			err = io.ErrUnexpectedEOF
		}
		return n, err
	}
	n, err := r.Reader.ReadAt(ctx, p, off)
	if r.behaviour == Lies {
		for i := range p[:n] {
			p[i] ^= 1
		}
	}
	return n, err
}

// A forgetful writer says yes to everything.
type forgetful struct{ blocks int64 }

// Have implements share.Writer.
func (w *forgetful) Have(context.Context) (int64, error) { return w.blocks, nil }

// Append implements share.Writer.
func (w *forgetful) Append(context.Context, []share.Digest, []byte) error {
	w.blocks++
	return nil
}

// Commit implements share.Writer.
func (w *forgetful) Commit(context.Context, []byte) error { return nil }

// Close implements share.Writer.
func (w *forgetful) Close() error { return nil }

// A refusing writer takes everything and keeps nothing.
type refusing struct{ share.Writer }

// Commit implements share.Writer.
func (w refusing) Commit(context.Context, []byte) error {
	return fmt.Errorf("commit: %w", share.ErrNoSpace)
}

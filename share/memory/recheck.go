package memory

import (
	"bytes"
	"context"

	"cairn/share"
	"cairn/share/encoding"
)

// Recheck implements share.Rechecker.
func (s *Store) Recheck(ctx context.Context, index share.StorageIndex, number share.Number, segment int64) (_ bool, err error) {
	s.mu.Lock()
	data, root, held := s.bytesOf(index, number)
	s.mu.Unlock()
	if !held || ctx.Err() != nil {
		return held, ctx.Err()
	}
	err = encoding.VerifySegment(ctx, reader{r: bytes.NewReader(data)}, index, number, root, segment)
	if err == nil || ctx.Err() != nil {
		return true, ctx.Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now, _, held := s.bytesOf(index, number)
	if held && same(now, data) {
		s.drop(index, number)
		held = false
	}
	return held, nil
}

func (s *Store) bytesOf(index share.StorageIndex, number share.Number) (data, root []byte, held bool) {
	f := s.files[index]
	if f == nil {
		return nil, nil, false
	}
	data, held = f.shares[number]
	return data, f.root, held
}

// has reports whether the store still holds a share in these very bytes.
func (s *Store) has(index share.StorageIndex, number share.Number, data []byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	now, _, held := s.bytesOf(index, number)
	return held && same(now, data)
}

// same reports whether two slices are the same memory.
func same(a, b []byte) bool { return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0]) }

// whole reports whether a share ends as it should.
func whole(data, root []byte) bool { return bytes.HasSuffix(data, root) }

// Damage has a test change the bytes of a share that is held, and reports whether it is.
func (s *Store) Damage(index share.StorageIndex, number share.Number, change func([]byte) []byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	data, _, held := s.bytesOf(index, number)
	if !held {
		return false
	}
	changed := change(bytes.Clone(data))
	s.used += int64(len(changed) - len(data))
	s.files[index].shares[number] = changed
	return true
}

package node

import (
	"context"
	"testing"

	"cairn/share"
)

// A plainWriter commits everything.
type plainWriter struct{ share.Writer }

func (plainWriter) Commit(context.Context, []byte) error { return nil }

// A manyWriter takes many blocks at a time as well.
type manyWriter struct{ plainWriter }

func (manyWriter) AppendAll(context.Context, []share.Digest, []byte) error { return nil }

// A writerStore creates one writer.
type writerStore struct {
	store
	writer share.Writer
}

func (s writerStore) Create(context.Context, share.Upload) (share.Writer, error) {
	return s.writer, nil
}

// TestLocalWriter: uploads of this node can do with its disk what those of peers can, and what is committed is told.
func TestLocalWriter(t *testing.T) {
	for _, c := range []struct {
		writer share.Writer
		bulk   bool
	}{{plainWriter{}, false}, {manyWriter{}, true}} {
		told := 0
		s := localStore{writerStore{writer: c.writer}, func(share.StorageIndex) { told++ }}
		w, err := s.Create(t.Context(), share.Upload{})
		if err != nil {
			t.Fatal(err)
		}
		if _, bulk := w.(share.BulkWriter); bulk != c.bulk {
			t.Errorf("%T: many blocks at a time: %v", c.writer, bulk)
		}
		if err := w.Commit(t.Context(), nil); err != nil || told != 1 {
			t.Errorf("%T: told %d times: %v", c.writer, told, err)
		}
	}
}

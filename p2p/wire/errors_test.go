package wire_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"testing"

	"cairn/p2p/wire"
	"cairn/share"
)

// TestErrors sends each error over the wire and asks what it is on the other side.
func TestErrors(t *testing.T) {
	local := &fs.PathError{Op: "write", Path: "/home/alice/shares/7", Err: share.ErrNoSpace}
	for _, c := range []struct {
		err, want error
		text      string
	}{
		{share.ErrNotFound, share.ErrNotFound, "not found"},
		{share.ErrCorrupt, share.ErrCorrupt, "corrupt"},
		{share.ErrNoSpace, share.ErrNoSpace, "no space left"},
		{share.ErrReadOnly, share.ErrReadOnly, "read-only"},
		{share.ErrDenied, share.ErrDenied, "refused"},
		{share.ErrBusy, share.ErrBusy, "busy"},
		{share.ErrTooLarge, share.ErrTooLarge, "too large"},
		{share.ErrUnavailable, share.ErrUnavailable, "unavailable"},
		{share.ErrVersion, share.ErrVersion, "unsupported version"},
		{io.ErrUnexpectedEOF, io.ErrUnexpectedEOF, "unexpected EOF"},
		{fmt.Errorf("share 7: %w: a reason", share.ErrDenied), share.ErrDenied, "share 7: refused: a reason"},
		{share.ErrClosed, share.ErrUnavailable, "closed"},
		{context.Canceled, share.ErrUnavailable, "context canceled"},
		{context.DeadlineExceeded, share.ErrUnavailable, "context deadline exceeded"},
		{local, share.ErrNoSpace, "no space left"},
		{&fs.PathError{Op: "open", Path: "/home/alice", Err: fs.ErrPermission}, nil, "internal error"},
		{errors.New("disk on fire"), nil, "internal error"},
		{fmt.Errorf("%w: \x1b[2J\u202eevil\nname", share.ErrDenied), share.ErrDenied, "refused: [2Jevilname"},
		{fmt.Errorf("%w: %s", share.ErrDenied, strings.Repeat("é", 300)), share.ErrDenied, "refused: " + strings.Repeat("é", 123)},
	} {
		frame, err := wire.Append(nil, wire.ErrorOf(c.err))
		if err != nil {
			t.Errorf("%v: %v", c.err, err)
			continue
		}
		got, err := wire.Decode[wire.Error](frame[wire.HeaderSize:])
		if err != nil {
			t.Errorf("%v: %v", c.err, err)
			continue
		}
		if got.Unwrap() != c.want || got.Error() != c.text {
			t.Errorf("%v: became %q, which is %v; want %q, %v", c.err, got.Error(), got.Unwrap(), c.text, c.want)
		}
	}
}

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

// TestQuotaError carries the numbers of a quota in a refusal that peers of any version understand.
func TestQuotaError(t *testing.T) {
	for _, want := range []share.QuotaError{
		{Used: 12_000_000_000, Limit: 40_000_000_000, Asked: 1}, {Used: 7, Limit: 0}, {}, {Used: 1<<63 - 1, Limit: 1<<63 - 1, Asked: 1<<63 - 1},
	} {
		report := wire.ErrorOf(fmt.Errorf("create: %w", &want))
		frame, err := wire.Append(nil, report)
		if err != nil {
			t.Fatal(err)
		}
		got, err := wire.Decode[wire.Error](frame[wire.HeaderSize:])
		if err != nil || got.Code != 5 {
			t.Fatalf("%v: %+v, %v", want, got, err)
		}
		q, ok := errors.AsType[*share.QuotaError](fmt.Errorf("server: %w", got))
		if !ok || *q != want || !errors.Is(got, share.ErrQuota) || !errors.Is(got, share.ErrDenied) {
			t.Errorf("%v came as %v, which is %v", want, got, q)
		}
		if got.Error() != want.Error() {
			t.Errorf("%q came as %q", want.Error(), got.Error())
		}
	}
	const text = "quota reached: 5 of 4 bytes used"
	for _, other := range []wire.Error{
		{Code: 3, Text: text},
		{Code: 5, Text: text + "."},
		{Code: 5, Text: " " + text},
		{Code: 5, Text: text + ", 0 more wanted"},
		{Code: 5, Text: "quota reached: 05 of 4 bytes used"},
		{Code: 5, Text: "quota reached: -5 of 4 bytes used"},
		{Code: 5, Text: "quota reached: 99999999999999999999 of 4 bytes used"},
		{Code: 5, Text: "quota reached"},
	} {
		if errors.Is(other, share.ErrQuota) {
			t.Errorf("%+v passes for a quota error", other)
		}
	}
	if got := wire.ErrorOf(&share.QuotaError{Used: -1}); got.Code != 5 || errors.Is(got, share.ErrQuota) {
		t.Errorf("a quota error without sense: %+v", got)
	}
}

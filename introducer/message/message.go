// Package message carries the messages of the introducer's protocols: a length, then one CBOR map in the only encoding that
// is accepted.
package message

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/fxamacker/cbor/v2"

	"cairn/share"
)

// maxElements bounds the lists in a message; what they hold is bounded by the message's own limit.
const maxElements = 1 << 14

var (
	encoder = must(func() (cbor.EncMode, error) {
		o := cbor.CoreDetEncOptions()
		o.NilContainers = cbor.NilContainerAsEmpty
		return o.EncMode()
	}())
	decoder = must(cbor.DecOptions{
		DupMapKey: cbor.DupMapKeyEnforcedAPF, IndefLength: cbor.IndefLengthForbidden, TagsMd: cbor.TagsForbidden,
		ExtraReturnErrors: cbor.ExtraDecErrorUnknownField, MaxNestedLevels: 4, MaxMapPairs: 16,
		MaxArrayElements: maxElements,
	}.DecMode())
)

func must[T any](mode T, err error) T {
	if err != nil {
		panic("message: " + err.Error()) // the options are constants
	}
	return mode
}

// Marshal returns the encoding of a struct whose fields have integer keys, at most limit bytes of it. It returns
// share.ErrTooLarge, wrapped, for more.
func Marshal(v any, limit int) ([]byte, error) {
	data, err := encoder.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode %T: %w", v, err)
	}
	if len(data) > limit {
		return nil, fmt.Errorf("encode %T: %w: %d bytes, at most %d", v, share.ErrTooLarge, len(data), limit)
	}
	return data, nil
}

// Unmarshal reads what Marshal wrote, and nothing else, into the struct at v. Errors wrap share.ErrCorrupt, and
// share.ErrVersion for a key that it does not know.
func Unmarshal(data []byte, v any) error {
	if err := decoder.Unmarshal(data, v); err != nil {
		cause := share.ErrCorrupt
		if _, unknown := errors.AsType[*cbor.UnknownFieldError](err); unknown {
			cause = share.ErrVersion
		}
		return fmt.Errorf("decode %T: %w: %v", v, cause, err)
	}
	if again, err := encoder.Marshal(v); err != nil || !bytes.Equal(again, data) {
		return fmt.Errorf("decode %T: %w: not in canonical form", v, share.ErrCorrupt)
	}
	return nil
}

// Write writes the message behind its length in four bytes.
func Write(w io.Writer, v any, limit int) error {
	data, err := Marshal(v, limit)
	if err != nil {
		return err
	}
	framed := binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(data)), uint32(len(data)))
	_, err = w.Write(append(framed, data...))
	return err
}

// Read reads what Write wrote, at most limit bytes of it, into the struct at v. It takes as much memory as has arrived.
func Read(r io.Reader, v any, limit int) error {
	var length [4]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return err
	}
	n := binary.BigEndian.Uint32(length[:])
	if uint64(n) > uint64(limit) {
		return fmt.Errorf("decode %T: %w: %d bytes, at most %d", v, share.ErrTooLarge, n, limit)
	}
	var data bytes.Buffer
	if _, err := io.CopyN(&data, r, int64(n)); err != nil {
		return fmt.Errorf("decode %T: %w", v, unexpected(err))
	}
	return Unmarshal(data.Bytes(), v)
}

// unexpected says of an end in the middle that it is one.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

package wire

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/fxamacker/cbor/v2"

	"cairn/share"
)

// A Message is what a control frame carries.
type Message interface {
	// Kind returns the kind of the frame that carries the message.
	Kind() Kind
	// validate checks the limits of the message.
	validate() error
}

var (
	encoder = mode(func() (cbor.EncMode, error) {
		o := cbor.CoreDetEncOptions()
		o.NilContainers = cbor.NilContainerAsEmpty
		return o.EncMode()
	}())
	decoder = mode(cbor.DecOptions{
		DupMapKey: cbor.DupMapKeyEnforcedAPF, IndefLength: cbor.IndefLengthForbidden, TagsMd: cbor.TagsForbidden,
		ExtraReturnErrors: cbor.ExtraDecErrorUnknownField, MaxNestedLevels: 4, MaxMapPairs: 16,
		MaxArrayElements: MaxBatch,
	}.DecMode())
)

func mode[T any](mode T, err error) T {
	if err != nil {
		panic("wire: " + err.Error())
	}
	return mode
}

// Append appends the frame of a message. It returns ErrTooLarge, and dst as it was, for a message beyond its limits.
func Append(dst []byte, m Message) ([]byte, error) {
	payload, err := marshal(m)
	if err != nil {
		return dst, err
	}
	return append(AppendHeader(dst, m.Kind(), len(payload)), payload...), nil
}

func marshal(m Message) ([]byte, error) {
	if err := m.validate(); err != nil {
		return nil, fmt.Errorf("encode %T: %w", m, err)
	}
	payload, err := encoder.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encode %T: %w", m, err)
	}
	if len(payload) > MaxControl {
		return nil, fmt.Errorf("encode %T: %w: %d bytes, at most %d", m, share.ErrTooLarge, len(payload), MaxControl)
	}
	return payload, nil
}

// Decode reads the payload of a control frame. It accepts only what Append writes.
func Decode[M Message](payload []byte) (M, error) {
	var m, none M
	if len(payload) > MaxControl {
		return none, fmt.Errorf("decode %T: %w: %d bytes, at most %d", m, share.ErrTooLarge, len(payload), MaxControl)
	}
	if err := decoder.Unmarshal(payload, &m); err != nil {
		cause := share.ErrCorrupt
		if _, unknown := errors.AsType[*cbor.UnknownFieldError](err); unknown {
			cause = share.ErrVersion
		}
		return none, fmt.Errorf("decode %T: %w: %v", m, cause, err)
	}
	if err := m.validate(); err != nil {
		return none, fmt.Errorf("decode %T: %w", m, err)
	}
	again, err := encoder.Marshal(m)
	if err != nil || !bytes.Equal(again, payload) {
		return none, fmt.Errorf("decode %T: %w: not in canonical form", m, share.ErrCorrupt)
	}
	return m, nil
}

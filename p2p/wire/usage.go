package wire

import (
	"errors"
	"fmt"

	"cairn/share"
)

// Usage asks how the peer's own account stands at the server. The answer is Standing. A server of an older version does not
// know the question: it answers with the error for an unsupported version and ends the stream.
type Usage struct{}

// Kind returns KindUsage.
func (Usage) Kind() Kind { return KindUsage }

func (Usage) validate() error { return nil }

// Standing answers Usage, in bytes.
type Standing struct {
	Used  int64 `cbor:"1,keyasint"`
	Limit int64 `cbor:"2,keyasint"` // share.NoLimit where there is none
}

// Kind returns KindStanding.
func (Standing) Kind() Kind { return KindStanding }

func (m Standing) validate() error {
	if m.Used < 0 || m.Limit < share.NoLimit {
		return fmt.Errorf("%w: negative usage", share.ErrCorrupt)
	}
	return nil
}

// The texts of a quota error, which carry its numbers: the code is that of share.ErrDenied, so that peers of any version
// know that they were refused, and the text tells them why.
const (
	quotaText      = "quota reached: %d of %d bytes used"
	quotaAskedText = quotaText + ", %d more wanted"
)

// quotaError returns the message for a quota error, and whether err is one.
func quotaError(err error) (Error, bool) {
	q, ok := errors.AsType[*share.QuotaError](err)
	if !ok || q.Used < 0 || q.Limit < 0 || q.Asked < 0 {
		return Error{}, false
	}
	if q.Asked == 0 {
		return Error{Code: codeDenied, Text: fmt.Sprintf(quotaText, q.Used, q.Limit)}, true
	}
	return Error{Code: codeDenied, Text: fmt.Sprintf(quotaAskedText, q.Used, q.Limit, q.Asked)}, true
}

// quota returns the quota error that the message carries, nil when it carries none.
func (e Error) quota() *share.QuotaError {
	if e.Code != codeDenied {
		return nil
	}
	var q share.QuotaError
	if _, err := fmt.Sscanf(e.Text, quotaAskedText, &q.Used, &q.Limit, &q.Asked); err != nil {
		q.Asked = 0
		if _, err := fmt.Sscanf(e.Text, quotaText, &q.Used, &q.Limit); err != nil {
			return nil
		}
	}
	if again, ok := quotaError(&q); !ok || again != e {
		return nil // some other refusal
	}
	return &q
}

package wire

import (
	"cmp"
	"fmt"
	"time"

	"cairn/share"
)

// Put stores whole shares. A body of AppendShares follows it. The answer is Stored.
type Put struct {
	Shares int   `cbor:"1,keyasint"`
	Body   int   `cbor:"2,keyasint"`
	Lease  int64 `cbor:"3,keyasint"` // milliseconds that the lease runs
}

// Kind returns KindPut.
func (Put) Kind() Kind { return KindPut }

func (m Put) validate() error {
	return cmp.Or(validateCount("shares", m.Shares, share.MaxBatchShares), validateBody(m.Body))
}

// PutOf returns the message and the body for shares, whose lease runs from now. It returns ErrTooLarge for what is beyond the limits.
func PutOf(shares []share.WholeShare, lease share.Lease, now time.Time) (Put, []byte, error) {
	m := Put{Shares: len(shares), Body: SharesSize(shares), Lease: RunOf(lease, now)}
	if err := cmp.Or(m.validate(), checkShares(shares)); err != nil {
		return Put{}, nil, err
	}
	return m, AppendShares(make([]byte, 0, m.Body), shares), nil
}

// LeaseOf returns the lease for the owner that the connection authenticated, as of now at the server.
func (m Put) LeaseOf(owner string, now time.Time) share.Lease { return leaseFor(owner, m.Lease, now) }

// Stored answers Put: all shares are stored but so many, of which Failures follow.
type Stored struct {
	Failed int `cbor:"1,keyasint"`
}

// Kind returns KindStored.
func (Stored) Kind() Kind { return KindStored }

func (m Stored) validate() error { return validateCount("failures", m.Failed, share.MaxBatchShares) }

// Failures says of some shares of a Put why they are not stored.
type Failures struct {
	Entries []Failure `cbor:"1,keyasint"`
}

// A Failure is one share that is not stored: its place in the Put, from 0, and the error.
type Failure struct {
	_    struct{} `cbor:",toarray"`
	At   int
	Code Code
	Text string
}

// Kind returns KindFailures.
func (Failures) Kind() Kind { return KindFailures }

func (m Failures) validate() error {
	if len(m.Entries) < 1 || len(m.Entries) > maxFailures {
		return fmt.Errorf("%w: %d failures, want 1 to %d", share.ErrTooLarge, len(m.Entries), maxFailures)
	}
	for i, f := range m.Entries {
		if f.At < 0 || f.At >= share.MaxBatchShares || i > 0 && f.At <= m.Entries[i-1].At {
			return fmt.Errorf("%w: failures do not ascend", share.ErrCorrupt)
		}
		if err := f.Err().validate(); err != nil {
			return err
		}
	}
	return nil
}

// maxFailures is how many failures one message may have: with the longest texts they fit into a frame.
const maxFailures = 200

// Err returns the error of a share.
func (f Failure) Err() Error { return Error{Code: f.Code, Text: f.Text} }

// FailuresOf returns the messages for the errors of a Put, nil for shares that are stored.
func FailuresOf(errs []error) (Stored, []Failures) {
	var all []Failure
	for i, err := range errs {
		if err != nil {
			e := ErrorOf(err)
			all = append(all, Failure{At: i, Code: e.Code, Text: e.Text})
		}
	}
	stored := Stored{Failed: len(all)}
	var out []Failures
	for len(all) > 0 {
		n := min(len(all), maxFailures)
		out = append(out, Failures{Entries: all[:n]})
		all = all[n:]
	}
	return stored, out
}

// Fetch asks for the small shares of files. A body of AppendIndexes follows it, as long as Count says. The answer is Fetched.
type Fetch struct {
	Count int `cbor:"1,keyasint"`
}

// Kind returns KindFetch.
func (Fetch) Kind() Kind { return KindFetch }

func (m Fetch) validate() error { return validateCount("indexes", m.Count, share.MaxBatchShares) }

// Body returns the length of the body.
func (m Fetch) Body() int { return m.Count * len(share.StorageIndex{}) }

// Fetched answers Fetch: the shares of the files, in the order in which they were asked for. A body of AppendShares follows it.
type Fetched struct {
	Shares int `cbor:"1,keyasint"`
	Body   int `cbor:"2,keyasint"`
}

// Kind returns KindFetched.
func (Fetched) Kind() Kind { return KindFetched }

func (m Fetched) validate() error {
	return cmp.Or(validateCount("shares", m.Shares, share.MaxBatchShares), validateBody(m.Body))
}

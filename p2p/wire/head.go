package wire

import (
	"cmp"
	"fmt"
	"math"
	"time"

	"cairn/share"
)

// Heads asks for the newest head of each name. The answer is HeldHeads.
type Heads struct {
	Names  []share.Name `cbor:"1,keyasint"`
	Shares bool         `cbor:"2,keyasint"` // the small shares of the heads' files too
}

// Kind returns KindHeads.
func (Heads) Kind() Kind { return KindHeads }

func (m Heads) validate() error {
	if len(m.Names) < 1 {
		return fmt.Errorf("%w: no names", share.ErrCorrupt)
	}
	return validateCount("names", len(m.Names), share.MaxHeadNames)
}

// HeldHeads answers Heads. A body of AppendHeldHeads follows it.
type HeldHeads struct {
	Body int `cbor:"1,keyasint"`
}

// Kind returns KindHeldHeads.
func (HeldHeads) Kind() Kind { return KindHeldHeads }

func (m HeldHeads) validate() error { return validateBody(m.Body) }

// SetHead makes a head the newest of its name. A body follows it: the storage indexes that are added, those that are dropped,
// and the shares. The answer is Done or Conflict.
type SetHead struct {
	Name     share.Name   `cbor:"1,keyasint"`
	Record   []byte       `cbor:"2,keyasint"`
	Replaces share.Digest `cbor:"3,keyasint"`
	Lease    int64        `cbor:"4,keyasint"` // milliseconds that the lease runs
	Versions int          `cbor:"5,keyasint"` // of the retention
	Age      int64        `cbor:"6,keyasint"` // of the retention, in milliseconds
	Adds     int          `cbor:"7,keyasint"`
	Drops    int          `cbor:"8,keyasint"`
	Shares   int          `cbor:"9,keyasint"`
	Body     int          `cbor:"10,keyasint"`
}

// Kind returns KindSetHead.
func (SetHead) Kind() Kind { return KindSetHead }

const maxAge = math.MaxInt64 / int64(time.Millisecond)

func (m SetHead) validate() error {
	if m.Age < 0 || m.Age > maxAge || m.Versions < 0 || m.Versions > share.MaxHistory {
		return fmt.Errorf("%w: a retention of %d versions and %d ms", share.ErrCorrupt, m.Versions, m.Age)
	}
	return cmp.Or(
		validateCount("bytes of a record", len(m.Record), share.MaxHeadRecord),
		validateCount("files added", m.Adds, share.MaxHeadIndexes),
		validateCount("files dropped", m.Drops, share.MaxHeadIndexes),
		validateCount("shares", m.Shares, share.MaxBatchShares),
		validateBody(m.Body))
}

// SetHeadOf returns the message and the body for an update, whose lease runs from now. It returns ErrTooLarge for one beyond the limits.
func SetHeadOf(u share.HeadUpdate, now time.Time) (SetHead, []byte, error) {
	m := SetHead{
		Name: u.Name, Record: u.Record, Replaces: u.Replaces, Lease: RunOf(u.Lease, now),
		Versions: min(max(u.Retention.Versions, 0), share.MaxHistory),
		Age:      max(int64((u.Retention.Age+time.Millisecond-1)/time.Millisecond), 0),
		Adds:     len(u.Adds), Drops: len(u.Drops), Shares: len(u.Shares),
		Body: (len(u.Adds)+len(u.Drops))*len(share.StorageIndex{}) + SharesSize(u.Shares),
	}
	if u.Retention.Age > math.MaxInt64-time.Millisecond {
		m.Age = maxAge
	}
	if err := cmp.Or(m.validate(), checkShares(u.Shares)); err != nil {
		return SetHead{}, nil, err
	}
	body := AppendIndexes(make([]byte, 0, m.Body), u.Adds)
	body = AppendIndexes(body, u.Drops)
	return m, AppendShares(body, u.Shares), nil
}

// Update returns the update for the owner that the connection authenticated, as of now at the server. It keeps the body.
func (m SetHead) Update(body []byte, owner string, now time.Time) (share.HeadUpdate, error) {
	u := share.HeadUpdate{
		Name: m.Name, Record: m.Record, Replaces: m.Replaces, Lease: leaseFor(owner, m.Lease, now),
		Retention: share.Retention{Versions: m.Versions, Age: time.Duration(m.Age) * time.Millisecond},
	}
	var err error
	if u.Adds, body, err = ParseIndexes(body, m.Adds); err != nil {
		return share.HeadUpdate{}, err
	}
	if u.Drops, body, err = ParseIndexes(body, m.Drops); err != nil {
		return share.HeadUpdate{}, err
	}
	if u.Shares, body, err = ParseShares(body, m.Shares); err != nil {
		return share.HeadUpdate{}, err
	}
	return u, End(body)
}

// checkShares returns ErrTooLarge for shares that may not travel together.
func checkShares(shares []share.WholeShare) error {
	total := 0
	for _, s := range shares {
		if err := validateCount("bytes of a share", len(s.Data), share.MaxWholeShare); err != nil {
			return err
		}
		total += len(s.Data)
	}
	return validateCount("bytes of shares", total, share.MaxBatchBytes)
}

// Conflict answers SetHead where the name has another head than the one to be replaced.
type Conflict struct {
	Record []byte `cbor:"1,keyasint"` // that head; empty where there is none
}

// Kind returns KindConflict.
func (Conflict) Kind() Kind { return KindConflict }

func (m Conflict) validate() error {
	return validateCount("bytes of a record", len(m.Record), share.MaxHeadRecord)
}

// History asks for all records that are held of a name. The answer is Records.
type History struct {
	Name share.Name `cbor:"1,keyasint"`
}

// Kind returns KindHistory.
func (History) Kind() Kind { return KindHistory }

func (History) validate() error { return nil }

// Since asks for the records of a name whose sequence is at least that. The answer is Records. An older peer does not know the
// question.
type Since struct {
	Name     share.Name `cbor:"1,keyasint"`
	Sequence uint64     `cbor:"2,keyasint"`
}

// Kind returns KindSince.
func (Since) Kind() Kind { return KindSince }

func (Since) validate() error { return nil }

// Records answers History and Since, newest first. A body of AppendRecord follows it.
type Records struct {
	Count int `cbor:"1,keyasint"`
	Body  int `cbor:"2,keyasint"`
}

// Kind returns KindRecords.
func (Records) Kind() Kind { return KindRecords }

func (m Records) validate() error {
	return cmp.Or(validateCount("records", m.Count, share.MaxHistory), validateBody(m.Body))
}

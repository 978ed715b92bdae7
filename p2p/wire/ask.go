package wire

import (
	"fmt"
	"time"

	"cairn/share"
)

// Done answers a request that succeeded and has nothing more to say.
type Done struct{}

// Kind returns KindDone.
func (Done) Kind() Kind { return KindDone }

func (Done) validate() error { return nil }

// Numbers asks which shares of each storage index are held. The answer is one or more Held, which together have one
// entry for each index, in the same order.
type Numbers struct {
	Indexes []share.StorageIndex `cbor:"1,keyasint"`
}

// Kind returns KindNumbers.
func (Numbers) Kind() Kind { return KindNumbers }

func (m Numbers) validate() error { return validateBatch(m.Indexes) }

func validateBatch(indexes []share.StorageIndex) error {
	if len(indexes) < 1 || len(indexes) > MaxBatch {
		return fmt.Errorf("%w: %d storage indexes, want 1 to %d", share.ErrTooLarge, len(indexes), MaxBatch)
	}
	return nil
}

// Held answers Numbers, for some of the indexes.
type Held struct {
	Entries []HeldEntry `cbor:"1,keyasint"`
}

// A HeldEntry says which shares of one index are held, and the root where there are any.
type HeldEntry struct {
	_       struct{} `cbor:",toarray"`
	Numbers []byte   // share numbers, ascending
	Root    []byte
}

// Kind returns KindHeld.
func (Held) Kind() Kind { return KindHeld }

func (m Held) validate() error {
	if len(m.Entries) < 1 || len(m.Entries) > MaxBatch {
		return fmt.Errorf("%w: %d entries, want 1 to %d", share.ErrTooLarge, len(m.Entries), MaxBatch)
	}
	for _, e := range m.Entries {
		if len(e.Root) > MaxRoot {
			return fmt.Errorf("%w: root of %d bytes, at most %d", share.ErrTooLarge, len(e.Root), MaxRoot)
		}
		for i := 1; i < len(e.Numbers); i++ {
			if e.Numbers[i] <= e.Numbers[i-1] {
				return fmt.Errorf("%w: share numbers do not ascend", share.ErrCorrupt)
			}
		}
	}
	return nil
}

// size returns about how many bytes the entry takes in a message, never less than it does.
func (e HeldEntry) size() int { return len(e.Numbers) + len(e.Root) + 8 }

// SplitHeld cuts entries into messages that fit into a frame each.
func SplitHeld(entries []HeldEntry) []Held {
	var out []Held
	start, bytes := 0, 0
	for i, e := range entries {
		if i > start && (bytes+e.size() > MaxControl-64 || i-start == MaxBatch) {
			out = append(out, Held{entries[start:i]})
			start, bytes = i, 0
		}
		bytes += e.size()
	}
	if start < len(entries) {
		out = append(out, Held{entries[start:]})
	}
	return out
}

// Uploads asks for the progress of the peer's own upload. The answer is Progress.
type Uploads struct {
	ID share.UploadID `cbor:"1,keyasint"`
}

// Kind returns KindUploads.
func (Uploads) Kind() Kind { return KindUploads }

func (Uploads) validate() error { return nil }

// Progress answers Uploads: one entry for each share, ascending by number.
type Progress struct {
	Entries []ProgressEntry `cbor:"1,keyasint"`
}

// A ProgressEntry says how much of one share of an upload is there.
type ProgressEntry struct {
	_      struct{} `cbor:",toarray"`
	Number share.Number
	Blocks int64
	Index  share.StorageIndex // zero while the share is unfinished
}

// Kind returns KindProgress.
func (Progress) Kind() Kind { return KindProgress }

func (m Progress) validate() error {
	if len(m.Entries) > share.MaxTotal {
		return fmt.Errorf("%w: %d entries, at most %d", share.ErrTooLarge, len(m.Entries), share.MaxTotal)
	}
	for i, e := range m.Entries {
		if e.Blocks < 0 || i > 0 && e.Number <= m.Entries[i-1].Number {
			return fmt.Errorf("%w: share numbers do not ascend, or fewer than no blocks", share.ErrCorrupt)
		}
	}
	return nil
}

// Renew extends the peer's own lease on every share of the indexes. The answer is Done.
type Renew struct {
	Indexes []share.StorageIndex `cbor:"1,keyasint"`
	Lease   int64                `cbor:"2,keyasint"` // milliseconds that the lease runs
}

// Kind returns KindRenew.
func (Renew) Kind() Kind { return KindRenew }

func (m Renew) validate() error { return validateBatch(m.Indexes) }

// LeaseOf returns the lease for the owner that the connection authenticated, as of now at the server.
func (m Renew) LeaseOf(owner string, now time.Time) share.Lease {
	return leaseFor(owner, m.Lease, now)
}

// Space asks what the server offers. The answer is Offer.
type Space struct{}

// Kind returns KindSpace.
func (Space) Kind() Kind { return KindSpace }

func (Space) validate() error { return nil }

// Offer answers Space, in bytes.
type Offer struct {
	Offered int64 `cbor:"1,keyasint"`
	Used    int64 `cbor:"2,keyasint"`
	Free    int64 `cbor:"3,keyasint"`
}

// Kind returns KindOffer.
func (Offer) Kind() Kind { return KindOffer }

func (m Offer) validate() error {
	if m.Offered < 0 || m.Used < 0 || m.Free < 0 {
		return fmt.Errorf("%w: negative space", share.ErrCorrupt)
	}
	return nil
}

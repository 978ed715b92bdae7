package wire

import (
	"fmt"
	"time"

	"cairn/share"
)

// Create begins or resumes the upload of one share on the stream. It is not answered unless it fails.
type Create struct {
	ID        share.UploadID `cbor:"1,keyasint"`
	Number    share.Number   `cbor:"2,keyasint"`
	Needed    int            `cbor:"3,keyasint"`
	Total     int            `cbor:"4,keyasint"`
	BlockSize int            `cbor:"5,keyasint"`
	Size      int64          `cbor:"6,keyasint"` // bytes of ciphertext, -1 when unknown
	Lease     int64          `cbor:"7,keyasint"` // milliseconds that the lease runs
	Series    Series         `cbor:"8,keyasint"`
	Turn      int64          `cbor:"9,keyasint"` // ascends within the series
}

// A Series names the creates of one client, which draws it at random. The server takes those of one upload in the order of
// their turns, also where the streams that they come on are not served in that order.
type Series [8]byte

// CreateOf returns the message that begins an upload now, without series and turn. The owner of the lease is not part of it.
func CreateOf(u share.Upload, now time.Time) Create {
	return Create{
		ID: u.ID, Number: u.Number, Needed: u.Needed, Total: u.Total, BlockSize: u.BlockSize, Size: u.Size,
		Lease: RunOf(u.Lease, now),
	}
}

// Upload returns the upload for the owner that the connection authenticated, as of now at the server.
func (m Create) Upload(owner string, now time.Time) share.Upload {
	return share.Upload{
		ID: m.ID, Number: m.Number, Needed: m.Needed, Total: m.Total, BlockSize: m.BlockSize, Size: m.Size,
		Lease: leaseFor(owner, m.Lease, now),
	}
}

// Kind returns KindCreate.
func (Create) Kind() Kind { return KindCreate }

// validate leaves the shape of the upload to the store, which answers with a reason.
func (Create) validate() error { return nil }

// Have asks how many blocks an interrupted upload left; the appended blocks go on behind them. The answer is Blocks.
type Have struct{}

// Kind returns KindHave.
func (Have) Kind() Kind { return KindHave }

func (Have) validate() error { return nil }

// Blocks answers Have.
type Blocks struct {
	Count int64 `cbor:"1,keyasint"`
}

// Kind returns KindBlocks.
func (Blocks) Kind() Kind { return KindBlocks }

func (m Blocks) validate() error {
	if m.Count < 0 {
		return fmt.Errorf("%w: %d blocks", share.ErrCorrupt, m.Count)
	}
	return nil
}

// Appended says how many blocks were appended since the upload began. The server sends it now and then while an upload
// goes on, so that the client can tell a slow way from a hung server.
type Appended struct {
	Count int64 `cbor:"1,keyasint"`
}

// Kind returns KindAppended.
func (Appended) Kind() Kind { return KindAppended }

func (m Appended) validate() error {
	if m.Count < 0 {
		return fmt.Errorf("%w: %d blocks", share.ErrCorrupt, m.Count)
	}
	return nil
}

// Commit ends an upload with the root block. The answer is Done once the share is on stable storage.
type Commit struct {
	Root []byte `cbor:"1,keyasint"`
}

// Kind returns KindCommit.
func (Commit) Kind() Kind { return KindCommit }

func (m Commit) validate() error {
	if len(m.Root) > MaxRoot {
		return fmt.Errorf("%w: root of %d bytes, at most %d", share.ErrTooLarge, len(m.Root), MaxRoot)
	}
	return nil
}

// Release ends an upload without committing it; what was appended stays for a later resumption. The answer is Done.
type Release struct{}

// Kind returns KindRelease.
func (Release) Kind() Kind { return KindRelease }

func (Release) validate() error { return nil }

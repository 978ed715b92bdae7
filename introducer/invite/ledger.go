package invite

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"cairn/internal/wholefile"
	"cairn/introducer"
	"cairn/share"
)

const (
	ledgerVersion = 1
	// maxLedger is more than maxOpen invitations with MaxUses each take, beside maxClosed.
	maxLedger = 16 << 20
	// maxOpen bounds the invitations that are open at a time.
	maxOpen = 256
	// MaxUses is how often one can be used at most.
	MaxUses = 100
	// keepClosed is how long an invitation is listed after its end.
	keepClosed = 30 * 24 * time.Hour
	// maxClosed bounds those that ended and are still listed: they, and the people that they let in.
	maxClosed = 4096
)

// An entry is one invitation as the issuing node keeps it.
type entry struct {
	ID          invitationID `json:"-"`
	Key         inviteKey    `json:"-"`
	IDText      []byte       `json:"id"`
	KeyText     []byte       `json:"key"`
	Kind        Kind         `json:"kind"`
	Nickname    string       `json:"nickname,omitempty"`
	Quota       int64        `json:"quota,omitempty"`
	Introducer  bool         `json:"introducer,omitempty"`
	MemberUntil time.Time    `json:"member_until,omitzero"`
	Uses        int          `json:"uses"`
	Created     time.Time    `json:"created"`
	Expires     time.Time    `json:"expires"`
	Cancelled   time.Time    `json:"cancelled,omitzero"`
	Used        []use        `json:"used,omitempty"`
}

// A use is one person, or one device, that an invitation let in.
type use struct {
	Account  introducer.AccountKey `json:"account,omitzero"`
	Node     share.ServerID        `json:"node"`
	Nickname string                `json:"nickname,omitempty"`
	Time     time.Time             `json:"time"`
}

// find returns who used the invitation before: the same account, or the same node for a device.
func (e *entry) find(account introducer.AccountKey, node share.ServerID) *use {
	i := slices.IndexFunc(e.Used, func(u use) bool {
		return e.Kind == KindMember && u.Account == account || e.Kind == KindDevice && u.Node == node
	})
	if i < 0 {
		return nil
	}
	return &e.Used[i]
}

// closed returns when the invitation ended, the zero time while somebody may use it.
func (e *entry) closed(now time.Time) time.Time {
	switch {
	case !e.Cancelled.IsZero():
		return e.Cancelled
	case !now.Before(e.Expires):
		return e.Expires
	case len(e.Used) >= e.Uses:
		return e.Used[len(e.Used)-1].Time
	}
	return time.Time{}
}

// valid reports whether the invitation answers anybody: who used it may ask again until it expires or is cancelled.
func (e *entry) valid(now time.Time) bool { return e.Cancelled.IsZero() && now.Before(e.Expires) }

// prune returns the invitations without those that ended long ago, and without the oldest that ended where there are many.
func prune(list []*entry, now time.Time) []*entry {
	ended := slices.DeleteFunc(slices.Clone(list), func(e *entry) bool { return e.closed(now).IsZero() })
	slices.SortStableFunc(ended, func(a, b *entry) int { return b.closed(now).Compare(a.closed(now)) })
	drop := map[*entry]bool{}
	kept := 0
	for _, e := range ended {
		kept += 1 + len(e.Used)
		drop[e] = kept > maxClosed || now.Sub(e.closed(now)) > keepClosed
	}
	return slices.DeleteFunc(slices.Clone(list), func(e *entry) bool { return drop[e] })
}

type ledgerFile struct {
	Version     int      `json:"version"`
	Grid        string   `json:"grid"`
	Invitations []*entry `json:"invitations"`
}

// readLedger returns the entries of a file, none when there is no such file.
func readLedger(path, grid string) ([]*entry, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if info.Size() > maxLedger {
		return nil, fmt.Errorf("%s: %w: %d bytes", path, share.ErrTooLarge, info.Size())
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	list, err := parseLedger(data, grid)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return list, nil
}

func parseLedger(data []byte, grid string) ([]*entry, error) {
	var file ledgerFile
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&file); err != nil {
		return nil, fmt.Errorf("%w: %v", share.ErrCorrupt, err)
	}
	switch {
	case file.Version != ledgerVersion:
		return nil, fmt.Errorf("%w: version %d, want %d", share.ErrVersion, file.Version, ledgerVersion)
	case file.Grid != grid:
		return nil, fmt.Errorf("%w: it is of grid %.64q", share.ErrDenied, file.Grid)
	}
	for i, e := range file.Invitations {
		if e == nil || len(e.IDText) != idSize || len(e.KeyText) != keySize || e.Uses < 1 || e.Uses > MaxUses ||
			e.Kind != KindMember && e.Kind != KindDevice {
			return nil, fmt.Errorf("%w: invitation %d", share.ErrCorrupt, i+1)
		}
		copy(e.ID[:], e.IDText)
		copy(e.Key[:], e.KeyText)
	}
	return file.Invitations, nil
}

// writeLedger replaces the file: it is the old one or the new one whatever happens.
func writeLedger(path, grid string, list []*entry) error {
	for _, e := range list {
		e.IDText, e.KeyText = e.ID[:], e.Key[:]
	}
	data, err := json.MarshalIndent(ledgerFile{Version: ledgerVersion, Grid: grid, Invitations: list}, "", "\t")
	if err != nil {
		return err
	}
	return wholefile.Write(path, append(data, '\n'), 0o600)
}

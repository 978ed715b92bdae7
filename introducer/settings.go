package introducer

import (
	"errors"
	"fmt"
	"time"

	"cairn/share"
)

// A PolicyKind says how much a member may use whose grant names no quota.
type PolicyKind uint8

// The kinds of policies.
const (
	// Proportional lets a member use Percent of what it lends, and at least Floor.
	Proportional PolicyKind = iota
	// Fixed lets every member use Quota.
	Fixed
	// Unlimited lets every member use what there is.
	Unlimited
)

// String returns the kind in a word.
func (k PolicyKind) String() string {
	switch k {
	case Proportional:
		return "proportional"
	case Fixed:
		return "fixed"
	case Unlimited:
		return "unlimited"
	}
	return fmt.Sprintf("policy %d", uint8(k))
}

// ParsePolicyKind reads what String prints.
func ParsePolicyKind(text string) (PolicyKind, error) {
	for k := Proportional; k <= Unlimited; k++ {
		if k.String() == text {
			return k, nil
		}
	}
	return 0, fmt.Errorf("policy %.40q: want proportional, fixed or unlimited", text)
}

// MarshalText returns the kind in a word.
func (k PolicyKind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText reads the word.
func (k *PolicyKind) UnmarshalText(text []byte) (err error) {
	*k, err = ParsePolicyKind(string(text))
	return err
}

// A Policy says how much members may use of what the grid lends.
type Policy struct {
	Kind    PolicyKind `json:"kind"`
	Percent int        `json:"percent,omitempty"` // Proportional: of the bytes that the member lends
	Floor   int64      `json:"floor,omitempty"`   // Proportional: bytes that everybody may use
	Quota   int64      `json:"quota,omitempty"`   // Fixed: bytes
}

// DefaultPolicy holds in a grid that nobody set another one for: as much as one lends, and 1 GiB to start with.
func DefaultPolicy() Policy { return Policy{Kind: Proportional, Percent: 100, Floor: 1 << 30} }

// Allowance returns how many bytes of shares a member may have stored that lends so many bytes, -1 for no limit. The
// quota of its grant, where there is one, counts instead.
func (p Policy) Allowance(grantQuota, lends int64) int64 {
	if grantQuota > 0 {
		return grantQuota
	}
	switch p.Kind {
	case Unlimited:
		return -1
	case Fixed:
		return p.Quota
	case Proportional:
	}
	lends = min(max(lends, 0), MaxQuota)
	whole, rest := lends/100*int64(p.Percent), lends%100*int64(p.Percent)/100
	return min(max(p.Floor, whole+rest), MaxQuota)
}

func (p Policy) validate() error {
	if p.Kind > Unlimited {
		return fmt.Errorf("%s is unknown", p.Kind)
	}
	if p.Floor < 0 || p.Floor > MaxQuota || p.Quota < 0 || p.Quota > MaxQuota {
		return fmt.Errorf("floor %d or quota %d: want 0 to %d bytes", p.Floor, p.Quota, int64(MaxQuota))
	}
	if p.Percent < 0 || p.Percent > maxPercent {
		return fmt.Errorf("%d percent: want 0 to %d", p.Percent, maxPercent)
	}
	if p.Kind != Proportional && (p.Percent != 0 || p.Floor != 0) || p.Kind != Fixed && p.Quota != 0 {
		return fmt.Errorf("a number that a policy of the kind %s does not use", p.Kind)
	}
	return nil
}

// maxPercent keeps the product with any number of bytes within 63 bits.
const maxPercent = 400

// Settings are what the grid's founder or its introducers chose for everybody.
type Settings struct {
	// Params are the encoding of the grid's files; zero lets the size of the grid decide.
	Params share.Params
	// Lease is how long a lease runs that says nothing else, in whole seconds; zero is share.DefaultLease.
	Lease  time.Duration
	Policy Policy
	Issued time.Time
	// Seq orders the settings of one issuer: the highest counts.
	Seq uint64
}

type wireSettings struct {
	Version int    `cbor:"1,keyasint"`
	Grid    []byte `cbor:"2,keyasint"`
	Issuer  []byte `cbor:"3,keyasint,omitempty"`
	Needed  int    `cbor:"4,keyasint,omitempty"`
	Happy   int    `cbor:"5,keyasint,omitempty"`
	Total   int    `cbor:"6,keyasint,omitempty"`
	Lease   int64  `cbor:"7,keyasint,omitempty"`
	Issued  int64  `cbor:"8,keyasint"`
	Policy  uint8  `cbor:"9,keyasint,omitempty"`
	Seq     uint64 `cbor:"10,keyasint"`
	Percent int    `cbor:"11,keyasint,omitempty"`
	Floor   int64  `cbor:"12,keyasint,omitempty"`
	Quota   int64  `cbor:"13,keyasint,omitempty"`
}

func (s Settings) validate() error {
	if s.Seq == 0 {
		return errors.New("the sequence number is 0")
	}
	if !s.Params.IsZero() {
		if err := s.Params.Validate(); err != nil {
			return err
		}
	}
	if s.Lease < 0 || s.Lease > share.MaxLease || s.Lease%time.Second != 0 {
		return fmt.Errorf("lease %s: want whole seconds, at most %s", s.Lease, share.MaxLease)
	}
	if err := s.Policy.validate(); err != nil {
		return err
	}
	return validTimes(s.Issued, time.Time{})
}

func (s Settings) encoded(grid, issuer []byte) []byte {
	return encode(wireSettings{
		Version: statementVersion, Grid: grid, Issuer: issuer,
		Needed: s.Params.Needed, Happy: s.Params.Happy, Total: s.Params.Total, Lease: int64(s.Lease / time.Second),
		Issued: unixOf(s.Issued), Policy: uint8(s.Policy.Kind), Seq: s.Seq,
		Percent: s.Policy.Percent, Floor: s.Policy.Floor, Quota: s.Policy.Quota,
	})
}

func (s *Statement) decodeSettings() error {
	w, err := body(s, func(w *wireSettings) int { return w.Version })
	if err != nil {
		return err
	}
	issuer, err := issuerOf(w.Issuer)
	if err != nil {
		return err
	}
	if w.Lease < 0 || w.Lease > int64(share.MaxLease/time.Second) {
		return fmt.Errorf("a lease of %d seconds", w.Lease)
	}
	s.Issuer = issuer
	s.Settings = &Settings{
		Params: share.Params{Needed: w.Needed, Happy: w.Happy, Total: w.Total},
		Lease:  time.Duration(w.Lease) * time.Second,
		Policy: Policy{Kind: PolicyKind(w.Policy), Percent: w.Percent, Floor: w.Floor, Quota: w.Quota},
		Issued: timeOf(w.Issued), Seq: w.Seq,
	}
	return errors.Join(s.setGrid(w.Grid), s.Settings.validate())
}

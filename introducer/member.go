package introducer

import (
	"fmt"
	"time"

	"cairn/share"
)

// A State says whether an account belongs to the grid.
type State uint8

// The states of an account.
const (
	// StateMember belongs to the grid.
	StateMember State = iota
	// StateRevoked was a member and is none for good.
	StateRevoked
	// StateExpired had a membership that ended and can be renewed.
	StateExpired
	// StateUnvouched has a grant whose issuer is not, or no longer, an introducer.
	StateUnvouched
)

// String returns the state in a word.
func (s State) String() string {
	switch s {
	case StateMember:
		return "member"
	case StateRevoked:
		return "revoked"
	case StateExpired:
		return "expired"
	case StateUnvouched:
		return "unvouched"
	}
	return fmt.Sprintf("state %d", uint8(s))
}

// MarshalText returns the state in a word.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// A Member is one person of the grid, or one who was.
type Member struct {
	Account AccountKey `json:"account"`
	// Nickname is unique among the members of a roster: where two have the same one, the one farther from the grid's key, or
	// the later one, carries the start of its account key behind it. Granted.Nickname is the nickname as it was signed.
	Nickname   string       `json:"nickname"`
	Introducer bool         `json:"introducer"`
	Quota      int64        `json:"quota"` // bytes; 0: by the grid's policy
	Issued     time.Time    `json:"issued"`
	Expires    time.Time    `json:"expires,omitzero"`
	Devices    []DeviceInfo `json:"devices"` // oldest first; of members only
	State      State        `json:"state"`
	// GrantedBy vouched for it; zero is the grid's key.
	GrantedBy AccountKey `json:"granted_by"`
	// Depth is how many grants lie between the grid's key and the account, 0 for those whom nobody vouches for.
	Depth int `json:"depth"`
	// Reason says in a sentence for people why the account is no member, empty for members.
	Reason string `json:"reason,omitempty"`
	// Card is the capability that reads the account's card, empty where it has published none: see Contact.
	Card string `json:"-"`
	// Granted is the grant that counts.
	Granted Grant `json:"-"`
}

// DeviceInfo is one node of a member.
type DeviceInfo struct {
	ID      share.ServerID `json:"id"`
	Name    string         `json:"name"`
	Issued  time.Time      `json:"issued"`
	Expires time.Time      `json:"expires,omitzero"`
}

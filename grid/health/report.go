package health

import (
	"encoding/json"
	"fmt"
	"slices"

	"cairn/grid/placement"
	"cairn/share"
	"cairn/share/capability"
)

// A Report says how a file is. Its JSON form is what `check --json` prints; the names of its fields do not change.
type Report struct {
	// Capability is the verify capability of the file.
	Capability string `json:"capability"`
	// Healthy is true when every share of the file is somewhere.
	Healthy bool `json:"healthy"`
	// Recoverable is true when enough shares are there to give the file back.
	Recoverable bool `json:"recoverable"`
	// Verified is true when every byte of every share counted was downloaded and checked. Otherwise the servers'
	// word is taken for all but the root.
	Verified bool `json:"verified"`
	// SharesGood is how many distinct shares are there.
	SharesGood int `json:"shares_good"`
	// SharesNeeded, SharesTotal and Size come from the root; they are zero while no server has given it.
	SharesNeeded int   `json:"shares_needed"`
	SharesTotal  int   `json:"shares_total"`
	Size         int64 `json:"size"` // of the file in bytes
	// Happiness is on how many servers the file can count at once (grid/placement).
	Happiness int `json:"happiness"`
	// Wanted is on how many servers a file counts at least that is stored now; 0 while the report was not compared with that.
	Wanted int `json:"wanted,omitempty"`
	// Thin is true when no share is missing and the file counts on fewer servers than Wanted all the same: it was stored when there were
	// fewer, or asked for less.
	Thin bool `json:"thin,omitempty"`
	// Corrupt names each share that does not verify, and the server that gives it. Such shares count for nothing.
	Corrupt []Fault `json:"corrupt"`
	// Undelivered names each share whose server claims it and then did not answer. They count for nothing either.
	Undelivered []Fault `json:"undelivered"`
	// Holders says which good shares each server holds; servers without any are left out.
	Holders map[share.ServerID]Numbers `json:"holders"`
	// Unanswered are the servers that could not be asked: what they hold is unknown.
	Unanswered []Unanswered `json:"unanswered"`
	// Asked is how many servers were asked in all.
	Asked int `json:"asked"`

	index share.StorageIndex
}

// A Fault is one share on one server that is not what it should be.
type Fault struct {
	Number share.Number   `json:"number"`
	Peer   share.ServerID `json:"peer"`
	Reason string         `json:"reason"`
	// Dropped is true when the server has found the share damaged itself and does not hold it any more: it takes it again.
	Dropped bool `json:"dropped,omitempty"`
}

// Unanswered is one server that did not answer.
type Unanswered struct {
	Peer   share.ServerID `json:"peer"`
	Reason string         `json:"reason"`
}

// Numbers are share numbers. In JSON they are a list of numbers, where a plain slice would be a base64 string.
type Numbers []share.Number

// MarshalJSON writes a list of numbers.
func (n Numbers) MarshalJSON() ([]byte, error) {
	list := make([]int, len(n))
	for i, number := range n {
		list[i] = int(number)
	}
	return json.Marshal(list)
}

// UnmarshalJSON reads a list of numbers.
func (n *Numbers) UnmarshalJSON(text []byte) error {
	var list []int
	if err := json.Unmarshal(text, &list); err != nil {
		return err
	}
	*n = make(Numbers, len(list))
	for i, number := range list {
		if number < 0 || number >= share.MaxTotal {
			return fmt.Errorf("share number %d: want 0 to %d", number, share.MaxTotal-1)
		}
		(*n)[i] = share.Number(number)
	}
	return nil
}

// Err returns nil for a file that can be recovered, otherwise ErrNotFound when all servers answered and none
// holds anything of it, or a *share.NotEnoughSharesError.
func (r Report) Err() error {
	switch {
	case r.Recoverable:
		return nil
	case r.SharesTotal == 0 && len(r.Unanswered) == 0 && len(r.Corrupt) == 0 && r.Asked > 0:
		return fmt.Errorf("%s: %w on any of %d servers", r.Capability, share.ErrNotFound, r.Asked)
	}
	err := &share.NotEnoughSharesError{
		Index: r.index, Found: r.SharesGood, Needed: max(r.SharesNeeded, 1),
		Answered: r.Asked - len(r.Unanswered), Asked: r.Asked,
	}
	for _, f := range r.Corrupt {
		err.Causes = append(err.Causes, fmt.Errorf("share %d on server %s: %s", f.Number, f.Peer.Short(), f.Reason))
	}
	for _, u := range r.Unanswered {
		err.Causes = append(err.Causes, fmt.Errorf("server %s: %s", u.Peer.Short(), u.Reason))
	}
	return err
}

// Compare says in the report whether the file is thin beside what is stored with the given parameters.
func (r *Report) Compare(now share.Params) {
	r.Wanted = now.Happy
	r.Thin = r.Healthy && r.Happiness < r.Wanted
}

// Spreadable reports whether the shares that a thin file has are enough for as many servers as are wanted. If not, it has to be stored anew.
func (r Report) Spreadable() bool { return r.SharesTotal >= r.Wanted }

// Missing returns the numbers of the shares that are nowhere, ascending.
func (r Report) Missing() Numbers {
	good := make([]bool, share.MaxTotal)
	for _, numbers := range r.Holders {
		for _, number := range numbers {
			good[number] = true
		}
	}
	missing := Numbers{}
	for number := range r.SharesTotal {
		if !good[number] {
			missing = append(missing, share.Number(number))
		}
	}
	return missing
}

// sum fills in what follows from the holders, and orders the lists.
func (r *Report) sum() {
	r.Capability = capability.FileVerify(r.index).Text()
	holders := make(map[share.ServerID][]share.Number, len(r.Holders))
	for id, numbers := range r.Holders {
		if len(numbers) == 0 {
			delete(r.Holders, id)
			continue
		}
		holders[id] = numbers
	}
	r.SharesGood = r.SharesTotal - len(r.Missing())
	r.Happiness = placement.Happiness(holders)
	r.Recoverable = r.SharesTotal > 0 && r.SharesGood >= r.SharesNeeded
	r.Healthy = r.SharesTotal > 0 && r.SharesGood == r.SharesTotal
	for _, faults := range [][]Fault{r.Corrupt, r.Undelivered} {
		slices.SortStableFunc(faults, func(a, b Fault) int { return int(a.Number) - int(b.Number) })
	}
}

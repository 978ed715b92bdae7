package share

import "fmt"

// Params are the erasure coding parameters of a file, in LAFS's words.
type Params struct {
	Needed int `json:"needed"` // k: how many shares give the file back
	Happy  int `json:"happy"`  // on how many distinct servers the shares must be for an upload to succeed
	Total  int `json:"total"`  // N: how many shares are made
}

// String returns the parameters as people write them, "3-of-10, happy 7".
func (p Params) String() string {
	return fmt.Sprintf("%d-of-%d, happy %d", p.Needed, p.Total, p.Happy)
}

// IsZero reports whether the parameters are unset, which means that the size of the grid decides.
func (p Params) IsZero() bool { return p == Params{} }

// Validate checks 1 ≤ Needed ≤ Happy ≤ Total ≤ 256.
func (p Params) Validate() error {
	switch {
	case p.Needed < 1:
		return fmt.Errorf("shares needed (k) is %d: want at least 1", p.Needed)
	case p.Total > MaxTotal:
		return fmt.Errorf("shares in total (N) is %d: want at most %d", p.Total, MaxTotal)
	case p.Needed > p.Total:
		return fmt.Errorf("shares needed (k) is %d, more than the %d in total (N)", p.Needed, p.Total)
	case p.Happy < p.Needed || p.Happy > p.Total:
		return fmt.Errorf("happy is %d: want between needed (k) %d and total (N) %d", p.Happy, p.Needed, p.Total)
	}
	return nil
}

// defaults holds the parameters for grids of 1 to 10 servers. Every grid of three or more survives the loss of
// one server from the moment an upload succeeds (happy > needed); ten and more get LAFS's 3-of-10, happy 7.
var defaults = [...]Params{
	{1, 1, 1}, {1, 2, 2}, {2, 3, 3}, {2, 3, 4}, {2, 4, 5}, {3, 5, 6}, {3, 5, 7}, {3, 6, 8}, {3, 6, 9}, {3, 7, 10},
}

// DefaultParams returns sensible parameters for a grid of that many servers.
func DefaultParams(servers int) Params {
	return defaults[min(max(servers, 1), len(defaults))-1]
}

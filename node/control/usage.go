package control

// An Owner is an account that has shares on this node's disk.
type Owner struct {
	ID       string `json:"id"` // of the account; in an open grid, of the node
	Nickname string `json:"nickname,omitempty"`
	Own      bool   `json:"own,omitempty"` // it is the account of this node
	Used     int64  `json:"used"`          // bytes of shares, unfinished uploads included
	Limit    int64  `json:"limit"`         // how many it may have here; -1: no limit
}

// Usage is what this node's account has stored with others, in bytes of shares. What it keeps on its own nodes does not count.
type Usage struct {
	Used int64 `json:"used"` // on the servers that answered
	// Limit is how many it may use in the whole grid; -1: no limit is set.
	Limit   int64 `json:"limit"`
	Servers int   `json:"servers"` // that have something
	Asked   int   `json:"asked"`
	// Answered are those that told. One that is away, or of an older version, does not.
	Answered int `json:"answered"`
}

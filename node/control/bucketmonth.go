package control

// A BucketMonth is what was asked of a bucket in one month, by UTC, and what that costs.
type BucketMonth struct {
	Month    string `json:"month"`  // 2026-11
	Writes   int64  `json:"writes"` // requests that write or list
	Reads    int64  `json:"reads"`  // requests that read
	Deletes  int64  `json:"deletes"`
	Sent     int64  `json:"sent"`
	Received int64  `json:"received"`
	Kept     int64  `json:"kept"` // bytes, on average
	// Cost is what it has cost so far, Expected what the whole month will if it goes on so; nil where no prices are set.
	Currency string   `json:"currency,omitempty"`
	Cost     *float64 `json:"cost,omitempty"`
	Expected *float64 `json:"expected,omitempty"`
}

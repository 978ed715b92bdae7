package control

import (
	"context"
	"time"
)

// Spill says how it stands with the bucket behind a node's disk. It is zero where none is set.
type Spill struct {
	Bucket   string `json:"bucket"` // s3://BUCKET/PREFIX
	Endpoint string `json:"endpoint,omitempty"`
	Open     bool   `json:"open"`              // what is in it is served
	Problem  string `json:"problem,omitempty"` // why it is not, in plain words
	Used     int64  `json:"used"`              // bytes of shares in it
	Objects  int64  `json:"objects"`
	Stored   int64  `json:"stored"` // bytes of all objects
	// Requests, Sent and Received count since the node started.
	Requests int64 `json:"requests"`
	Sent     int64 `json:"sent"`
	Received int64 `json:"received"`
	// Drained is when the last pass ended that brings shares back, Left how many it left, Full whether for want of room on the disk,
	// Damaged how many of them because they do not verify.
	Drained time.Time `json:"drained"`
	Left    int64     `json:"left"`
	Full    bool      `json:"full"`
	Damaged int       `json:"damaged"`
}

// Bucket says how it stands with the bucket in which a node keeps its shares.
type Bucket struct {
	URL      string `json:"url"` // s3://BUCKET/PREFIX
	Endpoint string `json:"endpoint,omitempty"`
	Open     bool   `json:"open"`              // what is in it is served
	Problem  string `json:"problem,omitempty"` // why it is not, or why nothing can be stored, in plain words
	Objects  int64  `json:"objects"`
	Stored   int64  `json:"stored"` // bytes of all objects
	// Requests, Sent and Received count since the node started.
	Requests int64 `json:"requests"`
	Sent     int64 `json:"sent"`
	Received int64 `json:"received"`
}

// Spilled is a file of which shares are in the bucket.
type Spilled struct {
	File   string   `json:"file"` // its storage index
	Shares []int    `json:"shares"`
	Owners []string `json:"owners"` // the nodes that have a lease on it
}

// A DrainRequest asks for shares to be brought back.
type DrainRequest struct {
	Rate int64 `json:"rate"` // bytes a second, 0 for as fast as it goes
	All  bool  `json:"all"`  // to the limit of what the disk lends, and not only to its low mark
}

// A DrainResult says what came back.
type DrainResult struct {
	Shares  int64    `json:"shares"`
	Bytes   int64    `json:"bytes"`
	Left    int64    `json:"left"`
	Full    bool     `json:"full"`
	Damaged []string `json:"damaged,omitempty"`
}

// Spiller is what the API gives access to of the bucket behind the disk.
type Spiller interface {
	Spill(ctx context.Context) (Spill, error)
	Spilled(ctx context.Context) ([]Spilled, error)
	DrainSpill(ctx context.Context, request DrainRequest, progress func(Progress)) (DrainResult, error)
}

// Spill asks how it stands with the bucket.
func (c *Client) Spill(ctx context.Context) (Spill, error) {
	return ask[Spill](ctx, c, "/v1/spill", nil)
}

// Spilled asks for the files of which shares are in the bucket.
func (c *Client) Spilled(ctx context.Context) ([]Spilled, error) {
	return ask[[]Spilled](ctx, c, "/v1/spill/list", nil)
}

// DrainSpill has shares brought back.
func (c *Client) DrainSpill(ctx context.Context, request DrainRequest, progress func(Progress)) (DrainResult, error) {
	return carryOut[DrainResult](ctx, c, "/v1/spill/drain", request, progress)
}

package control

import (
	"context"
	"time"

	"cairn/share"
)

// Spill says how it stands with the bucket behind a node's disk. It is zero where none is set.
type Spill struct {
	Bucket   string `json:"bucket"` // s3://BUCKET/PREFIX
	Endpoint string `json:"endpoint,omitempty"`
	Problem  string `json:"problem,omitempty"` // why what is in it is not served, in plain words
	Locked   bool   `json:"locked,omitempty"`  // that another node has it
	Used     int64  `json:"used"`              // bytes of shares in it
	NoDisk   bool   `json:"no_disk,omitempty"` // the bucket is all that the node has
	BucketUse
	// Drained is when the last pass ended that brings shares back, and DrainResult what it did and left.
	Drained time.Time `json:"drained"`
	DrainResult
	// Draining is what the pass has done that goes on now.
	Draining *DrainResult `json:"draining,omitempty"`
}

// BucketOf returns the id under which a node counts the bucket behind its disk among the servers of its files. To others the bucket is a part
// of the node.
func BucketOf(node share.ServerID) share.ServerID { return node + "/bucket" }

// Bucket says how it stands with the bucket in which a node keeps its shares.
type Bucket struct {
	URL      string `json:"url"` // s3://BUCKET/PREFIX
	Endpoint string `json:"endpoint,omitempty"`
	// Unbounded says that no limit is set on what goes there; the space that is told then is only a large number.
	Unbounded bool   `json:"unbounded,omitempty"`
	Problem   string `json:"problem,omitempty"` // why what is in it is not served, or why nothing can be stored, in plain words
	BucketUse
}

// BucketUse is what is in a bucket and what it was asked. It is zero where the bucket is not open.
type BucketUse struct {
	Open    bool  `json:"open"` // what is in it is served
	Objects int64 `json:"objects"`
	Stored  int64 `json:"stored"` // bytes of all objects
	// Requests, Sent and Received count since the node started.
	Requests int64 `json:"requests"`
	Sent     int64 `json:"sent"`
	Received int64 `json:"received"`
	// Met is what the last request met that read or wrote, in plain words, where it failed, and MetAt when.
	Met   string    `json:"met,omitempty"`
	MetAt time.Time `json:"met_at,omitzero"`
	// Months are this month and the last one.
	Months []BucketMonth `json:"months,omitempty"`
}

// Spilled is a file of which shares are in the bucket, or a name of which heads are.
type Spilled struct {
	File   string   `json:"file,omitempty"` // its storage index
	Name   string   `json:"name,omitempty"`
	Copy   bool     `json:"copy,omitempty"` // the shares are a complete copy of a file that other servers have too
	Shares []int    `json:"shares"`
	Owners []string `json:"owners"` // the nodes that have a lease on it
}

// A DrainRequest asks for shares to be brought back.
type DrainRequest struct {
	Rate int64 `json:"rate"` // bytes a second, 0 for as fast as it goes
	All  bool  `json:"all"`  // to the limit of what the disk lends, and also shares that are better on another server
}

// A DrainResult says what left the bucket, and what is there still.
type DrainResult struct {
	Shares      int64 `json:"shares"` // that came back to the disk
	Bytes       int64 `json:"bytes"`
	Spread      int64 `json:"spread"` // shares that went to servers which had none of the same file
	SpreadBytes int64 `json:"spread_bytes"`
	Names       int64 `json:"names"`   // whose heads came back to the disk
	Left        int64 `json:"left"`    // shares that are left, but for copies that are to stay
	Waiting     int64 `json:"waiting"` // of these, shares for which every other server has one of the same file, or no room
	Kept        int64 `json:"kept"`    // shares of copies that are to stay
	NamesLeft   int64 `json:"names_left"`
	Full        bool  `json:"full"` // the disk has no room for more
	// Damaged are the first of the shares that do not verify.
	Damaged []string `json:"damaged,omitempty"`
}

// Spiller is what the API gives access to of the bucket behind the disk.
type Spiller interface {
	Spill(ctx context.Context) (Spill, error)
	EndSpill(ctx context.Context, request EndSpillRequest) ([]Spilled, error)
	DrainSpill(ctx context.Context, request DrainRequest, progress func(Progress)) (DrainResult, error)
}

// Spill asks how it stands with the bucket.
func (c *Client) Spill(ctx context.Context) (Spill, error) {
	return ask[Spill](ctx, c, "/v1/spill", nil)
}

// An EndSpillRequest asks for the end of the bucket.
type EndSpillRequest struct {
	// Abandon gives up what is in it.
	Abandon bool `json:"abandon"`
	// Undo has it take again, after an end that led to nothing.
	Undo bool `json:"undo,omitempty"`
}

// EndSpill has the bucket take nothing more until the node starts again, and returns the files of which shares are in it. Where
// there are some and they are not abandoned, the bucket goes on.
func (c *Client) EndSpill(ctx context.Context, request EndSpillRequest) ([]Spilled, error) {
	return order[[]Spilled](ctx, c, "/v1/spill/end", request)
}

// DrainSpill has shares brought back.
func (c *Client) DrainSpill(ctx context.Context, request DrainRequest, progress func(Progress)) (DrainResult, error) {
	return carryOut[DrainResult](ctx, c, "/v1/spill/drain", request, progress)
}

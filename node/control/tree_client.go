package control

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
)

// Lookup asks what a target leads to.
func (c *Client) Lookup(ctx context.Context, request LookupRequest) (Entry, error) {
	return order[Entry](ctx, c, "/v1/tree/lookup", request)
}

// List calls each for every entry of a directory until it returns an error, which List then returns.
func (c *Client) List(ctx context.Context, request ListRequest, each func(Entry) error) error {
	body, err := json.Marshal(request)
	if err != nil {
		return fmt.Errorf("local API: %w", err)
	}
	response, err := c.do(ctx, http.MethodPost, "/v1/tree/list", nil, bytes.NewReader(body), int64(len(body)))
	if err != nil {
		return err
	}
	defer response.Body.Close()
	return receiveAll(ctx, c, response.Body, each)
}

// Mkdir makes a directory.
func (c *Client) Mkdir(ctx context.Context, request MkdirRequest) (Entry, error) {
	return carryOut[Entry](ctx, c, "/v1/tree/mkdir", request, nil)
}

// Link puts what one target leads to into a directory as well.
func (c *Client) Link(ctx context.Context, request LinkRequest) (Entry, error) {
	return order[Entry](ctx, c, "/v1/tree/link", request)
}

// Copy copies within the grid.
func (c *Client) Copy(ctx context.Context, request CopyRequest, progress func(Progress)) (CopyResult, error) {
	return carryOut[CopyResult](ctx, c, "/v1/tree/copy", request, progress)
}

// Move gives something another name or another directory.
func (c *Client) Move(ctx context.Context, request MoveRequest) (Entry, error) {
	return order[Entry](ctx, c, "/v1/tree/move", request)
}

// Remove takes a name out of its directory.
func (c *Client) Remove(ctx context.Context, request RemoveRequest) (Entry, error) {
	return order[Entry](ctx, c, "/v1/tree/remove", request)
}

// History asks for the versions of a mutable file or a directory, newest first.
func (c *Client) History(ctx context.Context, target string) ([]Version, error) {
	return order[[]Version](ctx, c, "/v1/tree/history", target)
}

// Retain changes which past versions are kept.
func (c *Client) Retain(ctx context.Context, request RetainRequest) (Version, error) {
	return order[Version](ctx, c, "/v1/tree/retain", request)
}

// Restore makes a former version the newest.
func (c *Client) Restore(ctx context.Context, request RestoreRequest) (Version, error) {
	return order[Version](ctx, c, "/v1/tree/restore", request)
}

// CheckTree asks for the health of everything below a target, and repairs it where that is asked for.
func (c *Client) CheckTree(ctx context.Context, request TreeCheckRequest, progress func(Progress)) (TreeReport, error) {
	return carryOut[TreeReport](ctx, c, "/v1/tree/check", request, progress)
}

// Aliases asks for the short names of capabilities.
func (c *Client) Aliases(ctx context.Context) ([]Alias, error) {
	return ask[[]Alias](ctx, c, "/v1/aliases", nil)
}

// SetAlias gives a capability a short name.
func (c *Client) SetAlias(ctx context.Context, request AliasRequest) (Alias, error) {
	return order[Alias](ctx, c, "/v1/aliases", request)
}

// RemoveAlias forgets a short name.
func (c *Client) RemoveAlias(ctx context.Context, alias string) (Alias, error) {
	return order[Alias](ctx, c, "/v1/aliases/remove", alias)
}

// Maintain renews the leases of what is reachable from the root directory.
func (c *Client) Maintain(ctx context.Context, progress func(Progress)) (MaintainReport, error) {
	return carryOut[MaintainReport](ctx, c, "/v1/maintain", struct{}{}, progress)
}

// carryOut sends a request in JSON whose answer is a stream of progress with the result at its end.
func carryOut[Answer, Request any](ctx context.Context, c *Client, path string, request Request, progress func(Progress)) (Answer, error) {
	body, err := json.Marshal(request)
	if err != nil {
		var none Answer
		return none, fmt.Errorf("local API: %w", err)
	}
	return follow[Answer](ctx, c, path, nil, bytes.NewReader(body), int64(len(body)), progress)
}

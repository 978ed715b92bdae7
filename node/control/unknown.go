package control

import (
	"context"
	"fmt"
	"net/http"
	"strings"
)

// An UnknownCallError says that the running node does not know what it was asked, because another version of the program runs it.
type UnknownCallError struct {
	Version string // the node's
}

func (e *UnknownCallError) Error() string {
	return fmt.Sprintf("the running node is version %s, which does not know what is asked of it", e.Version)
}

// pathStatus is what a client asks of a node of whatever version.
const pathStatus = "/v1/status"

// unknownField is how the message begins about a request with something in it that the node does not know.
const unknownField = `local API: the request: json: unknown field`

// unknownCall returns an UnknownCallError where an answer means that, and nil where it means something else: no error that the node
// wrote, or one about the form of the request, and a node that tells its version.
func (c *Client) unknownCall(ctx context.Context, path string, status int, e Error) error {
	missing := e.Code == "" && (status == http.StatusNotFound || status == http.StatusMethodNotAllowed)
	if path == pathStatus || !missing && !(e.Code == CodeMalformed && strings.HasPrefix(e.Message, unknownField)) {
		return nil
	}
	is, err := c.Status(ctx)
	if err != nil || is.Version == "" {
		return nil //nolint:nilerr // what the answer says is told instead
	}
	return &UnknownCallError{Version: is.Version}
}

package control

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"cairn/share/capability"
)

// A Download is a file, or a part of one, on its way from the node.
type Download struct {
	// Size is the size of the whole file, Length that of the part that was asked for.
	Size, Length int64
	// Entry is what is known of a file that was named by a target.
	Entry Entry
	// Ended says that the file has other keys by now, and that this is its last version under these.
	Ended bool

	client   *Client
	ctx      context.Context
	response *http.Response
}

// Get asks for length bytes of a file from offset; a negative length means all that follows. The caller closes the
// Download.
func (c *Client) Get(ctx context.Context, open capability.Capability, offset, length int64) (*Download, error) {
	return c.get(ctx, header(headerCapability, open.Text()), offset, length)
}

// GetAt is Get of a file that is named by a target.
func (c *Client) GetAt(ctx context.Context, target string, offset, length int64) (*Download, error) {
	return c.get(ctx, header(headerTarget, escaped(target)), offset, length)
}

func (c *Client) get(ctx context.Context, h http.Header, offset, length int64) (*Download, error) {
	h.Set(headerOffset, strconv.FormatInt(offset, 10))
	if length >= 0 {
		h.Set(headerLength, strconv.FormatInt(length, 10))
	}
	response, err := c.do(ctx, http.MethodGet, "/v1/content", h, nil, 0)
	if err != nil {
		return nil, err
	}
	d := &Download{client: c, ctx: ctx, response: response}
	if d.Size, err = strconv.ParseInt(response.Header.Get(headerSize), 10, 64); err == nil {
		d.Length, err = strconv.ParseInt(response.Header.Get(headerLength), 10, 64)
	}
	if err != nil {
		response.Body.Close()
		return nil, fmt.Errorf("local API: the answer does not say how long it is")
	}
	d.Ended = response.Header.Get(headerEnded) != ""
	if text, err := unescaped(response.Header, headerEntry); err == nil && text != "" {
		_ = json.Unmarshal([]byte(text), &d.Entry) // what cannot be read stays unknown
	}
	return d, nil
}

// WriteTo writes all bytes to w in large pieces. It returns an error unless every byte was written.
func (d *Download) WriteTo(w io.Writer) (int64, error) {
	buffer := make([]byte, bufferSize)
	var done int64
	for {
		n, err := d.response.Body.Read(buffer)
		if n > 0 {
			m, failed := w.Write(buffer[:n])
			done += int64(m)
			if failed != nil {
				return done, failed
			}
		}
		if err == io.EOF {
			return done, d.end(done)
		}
		if err != nil {
			return done, d.client.explain(d.ctx, err)
		}
	}
}

// end finds out whether the stream ended because all was said.
func (d *Download) end(done int64) error {
	if text := d.response.Trailer.Get(trailerError); text != "" {
		var e Error
		if json.Unmarshal([]byte(text), &e) == nil && e.Code != "" {
			return &e
		}
		return fmt.Errorf("local API: %.200q", text)
	}
	if done != d.Length {
		return d.client.explain(d.ctx, io.ErrUnexpectedEOF)
	}
	return nil
}

// Close ends the download.
func (d *Download) Close() error { return d.response.Body.Close() }

package control

import (
	"context"
	"net/http"
)

// copyHeader asks with a request for a complete copy, in the bucket, of what is stored; "none" asks for none whatever the settings say.
const copyHeader = "Cairn-Keep-Copy"

// A CopyWish says whether a complete copy of what is stored is to go to the bucket.
type CopyWish string

// The wishes. Without one the settings decide.
const (
	CopyAsSet CopyWish = ""
	CopyToS3  CopyWish = "s3"
	CopyNone  CopyWish = "none"
)

type copyWishKey struct{}

// CopyWishOf returns what a request asks for.
func CopyWishOf(ctx context.Context) CopyWish {
	wish, _ := ctx.Value(copyWishKey{}).(CopyWish)
	return wish
}

// withCopyWish hands the wish of a request on.
func withCopyWish(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if wish := CopyWish(r.Header.Get(copyHeader)); wish != CopyAsSet {
			r = r.WithContext(context.WithValue(r.Context(), copyWishKey{}, wish))
		}
		next.ServeHTTP(w, r)
	})
}

// KeepCopies says for all that is stored through the client from now on whether a copy goes to the bucket.
func (c *Client) KeepCopies(wish CopyWish) { c.copies = wish }

package s3

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"unicode"

	"github.com/minio/minio-go/v7"

	"cairn/share"
)

// An Error is a request that failed. It wraps one of package share's errors and the cause.
type Error struct {
	Doing string // what was being done
	Kind  error  // one of package share's errors
	Code  string // the server's code, empty when it did not answer as S3 does
	Words string // what is wrong, for people
	Cause error

	again bool // the same request may succeed later
}

func (e *Error) Error() string {
	return fmt.Sprintf("bucket: %s: %v: %s", e.Doing, e.Kind, e.Words)
}

// Unwrap returns the kind and the cause.
func (e *Error) Unwrap() []error { return []error{e.Kind, e.Cause} }

// Explain says in plain words what is wrong with a bucket and what can be done, for an error of this package. For others it is
// the error's text.
func Explain(err error) string {
	if err == nil {
		return "everything is in order"
	}
	if e, ok := errors.AsType[*UnreadError](err); ok {
		return e.words()
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Words
	}
	if e, ok := errors.AsType[*LockedError](err); ok {
		return e.words()
	}
	if e, ok := errors.AsType[*NestedError](err); ok {
		return e.words()
	}
	if e, ok := errors.AsType[*OtherError](err); ok {
		return e.words()
	}
	return err.Error()
}

// Temporary reports whether what is wrong with a bucket may pass by itself, as that its server is away does, and wrong keys do not.
func Temporary(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.again && !errors.Is(e.Kind, share.ErrCorrupt)
}

// errNoKey says that there is no object of a key, errTaken that a condition did not hold.
var (
	errNoKey = errors.New("no such object")
	errTaken = errors.New("the object is another one meanwhile")
)

// A meaning is what a server's code says.
type meaning struct {
	kind  error
	words string
}

// meanings are those of the codes that servers use.
var meanings = map[string]meaning{
	"InvalidAccessKeyId":             {share.ErrDenied, "the access key is not known to the server: check the access key, and whether it belongs to this endpoint"},
	"XAdminUserNotFound":             {share.ErrDenied, "the access key is not known to the server: check the access key, and whether it belongs to this endpoint"},
	"SignatureDoesNotMatch":          {share.ErrDenied, "the secret key does not belong to the access key: check the secret key"},
	"InvalidToken":                   {share.ErrDenied, "the session token is not valid: get new credentials"},
	"ExpiredToken":                   {share.ErrDenied, "the credentials have expired: get new ones"},
	"AccessDenied":                   {share.ErrDenied, "the credentials may not do this: check the policy of the bucket and of the user"},
	"AllAccessDisabled":              {share.ErrDenied, "the bucket is locked by its provider"},
	"AccountProblem":                 {share.ErrDenied, "the provider reports a problem with the account"},
	"RequestTimeTooSkewed":           {share.ErrDenied, "this machine's clock differs from the server's by more than 15 minutes: set the clock"},
	"RequestExpired":                 {share.ErrDenied, "this machine's clock differs from the server's: set the clock"},
	"NoSuchBucket":                   {share.ErrUnavailable, "there is no such bucket: make it, or check its name and the endpoint"},
	"InvalidBucketName":              {share.ErrUnavailable, "the server does not take this name of a bucket"},
	"PermanentRedirect":              {share.ErrUnavailable, "the bucket is in another region: set the region"},
	"AuthorizationHeaderMalformed":   {share.ErrUnavailable, "the region does not fit the bucket or the endpoint: set the region"},
	"MovedPermanently":               {share.ErrUnavailable, "the bucket is at another endpoint or in another region"},
	"MethodNotAllowed":               {share.ErrReadOnly, "the server does not allow this kind of request: the bucket is read-only, or the server does not know it"},
	"ReadOnly":                       {share.ErrReadOnly, "the bucket is read-only"},
	"XMinioReadOnly":                 {share.ErrReadOnly, "the bucket is read-only"},
	"ObjectLocked":                   {share.ErrReadOnly, "a lock of the bucket keeps the object as it is"},
	"QuotaExceeded":                  {share.ErrNoSpace, "the bucket's quota is reached: raise it, or offer less"},
	"XMinioAdminBucketQuotaExceeded": {share.ErrNoSpace, "the bucket's quota is reached: raise it, or offer less"},
	"XMinioStorageFull":              {share.ErrNoSpace, "the server's disks are full"},
	"InsufficientStorage":            {share.ErrNoSpace, "the server's disks are full"},
	"EntityTooLarge":                 {share.ErrTooLarge, "the server takes no objects of this size"},
	"SlowDown":                       {share.ErrBusy, "the server asks for fewer requests"},
	"SlowDownRead":                   {share.ErrBusy, "the server asks for fewer requests"},
	"SlowDownWrite":                  {share.ErrBusy, "the server asks for fewer requests"},
	"TooManyRequests":                {share.ErrBusy, "the server asks for fewer requests"},
	"ServiceUnavailable":             {share.ErrUnavailable, "the server is not available"},
	"InternalError":                  {share.ErrUnavailable, "the server reports an internal error"},
	"RequestTimeout":                 {share.ErrUnavailable, "the server waited too long for data: the connection is too slow"},
	"InvalidRange":                   {share.ErrCorrupt, "the object is shorter than what was stored"},
	"BadDigest":                      {share.ErrCorrupt, "what arrived at the server is not what was sent"},
	"IncompleteBody":                 {share.ErrUnavailable, "the connection broke off in the middle of a request"},
	"XAmzContentSHA256Mismatch":      {share.ErrCorrupt, "what arrived at the server is not what was sent"},
	"XAmzContentChecksumMismatch":    {share.ErrCorrupt, "what arrived at the server is not what was sent"},
}

// explain gives an error of the client its meaning. What the caller's context says it passes on.
func explain(ctx context.Context, doing string, h *hint, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return fmt.Errorf("bucket: %s: %w", doing, ctx.Err())
	}
	e := &Error{Doing: doing, Cause: err}
	if answer, ok := errors.AsType[minio.ErrorResponse](err); ok {
		e.Code = answer.Code
		switch {
		case answer.Code == "NoSuchKey" || answer.Code == "NoSuchUpload":
			return fmt.Errorf("bucket: %s: %w", doing, errNoKey)
		case answer.Code == "PreconditionFailed" || answer.Code == "ConditionalRequestConflict" || h.status == http.StatusPreconditionFailed:
			return fmt.Errorf("bucket: %s: %w", doing, errTaken)
		}
		m, known := meanings[answer.Code]
		if !known && answer.Code != "" && (h.status == http.StatusBadRequest || h.status == http.StatusNotImplemented) {
			m, known = meaning{share.ErrDenied, "the server does not take this request: " + cmp.Or(line(answer.Message), answer.Code)}, true
		}
		if answer.Code == "InternalError" && !h.writes && h.status < http.StatusMultipleChoices { // the client says so of headers that it does not understand
			known = false
			e.Cause = errGarbled
		}
		if known && h.s3() {
			e.Kind, e.Words = m.kind, m.words
			e.again = passes(e, h)
			return e
		}
	}
	m := unknown(h, e.Cause)
	e.Kind, e.Words = m.kind, m.words
	e.again = passes(e, h)
	return e
}

// line returns what a server says as one line that a terminal can show.
func line(text string) string {
	text = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, text)
	return fmt.Sprintf("%.300s", strings.Join(strings.Fields(text), " "))
}

// passes reports whether a request that failed so may succeed when it is sent once more.
func passes(e *Error, h *hint) bool {
	switch e.Code {
	case "InvalidRange", "NoSuchBucket", "InvalidBucketName", "PermanentRedirect", "AuthorizationHeaderMalformed", "MovedPermanently":
		return false
	}
	var authority x509.UnknownAuthorityError
	var host x509.HostnameError
	var record tls.RecordHeaderError
	if errors.Is(e.Cause, errShort) || errors.As(e.Cause, &authority) || errors.As(e.Cause, &host) || errors.As(e.Cause, &record) || malformed(e.Cause) ||
		h.status != 0 && h.status < http.StatusInternalServerError && !h.s3() {
		return false
	}
	return errors.Is(e.Kind, share.ErrUnavailable) || errors.Is(e.Kind, share.ErrBusy) || errors.Is(e.Kind, share.ErrCorrupt)
}

// malformed reports whether what answered does not speak HTTP, or no TLS where it should. Package net/http has no types for these.
// The last one is of what speaks before it is asked.
func malformed(err error) bool {
	return strings.Contains(err.Error(), "malformed HTTP") || strings.Contains(err.Error(), "HTTP response to HTTPS client") ||
		strings.Contains(err.Error(), "readLoopPeekFailLocked: %!w(<nil>)")
}

// s3 reports whether the answer looks like one of an S3 server. An answer without a body cannot be told.
func (h *hint) s3() bool {
	return h.kind == "" || strings.Contains(h.kind, "xml") || strings.Contains(h.kind, "octet-stream")
}

// unknown says what is wrong where the server's code tells nothing.
func unknown(h *hint, err error) meaning {
	var (
		authority x509.UnknownAuthorityError
		host      x509.HostnameError
		record    tls.RecordHeaderError
		dns       *net.DNSError
		system    *net.OpError
	)
	switch {
	case errors.Is(err, errShort):
		return meaning{share.ErrCorrupt, "the object is shorter than what was stored"}
	case errors.Is(err, errNoCredentials):
		return meaning{share.ErrDenied, "there are no credentials: set an access key and a secret key, or the environment's (" +
			strings.TrimPrefix(err.Error(), errNoCredentials.Error()+": ") + ")"}
	case errors.As(err, &authority):
		return meaning{share.ErrUnavailable, "the server's certificate is signed by an authority that this machine does not trust: name its file as the CA"}
	case errors.As(err, &host):
		return meaning{share.ErrUnavailable, "the server's certificate is for another name: check the endpoint"}
	case errors.As(err, &record), strings.Contains(err.Error(), "HTTP response to HTTPS client"):
		return meaning{share.ErrUnavailable, "the endpoint does not speak TLS: say http:// if that is meant"}
	case malformed(err):
		return meaning{share.ErrUnavailable, "what answers at the endpoint is no web server, and so no S3 server: check its address and port"}
	case errors.As(err, &dns):
		return meaning{share.ErrUnavailable, "the endpoint's name is not known: check it, and the connection to the internet"}
	case h.status == http.StatusInsufficientStorage:
		return meaning{share.ErrNoSpace, "the server's disks are full"}
	case h.status == http.StatusTooManyRequests:
		return meaning{share.ErrBusy, "the server asks for fewer requests"}
	case h.status != 0 && !h.s3(), errors.Is(err, errNotS3):
		return meaning{share.ErrUnavailable, fmt.Sprintf("the endpoint answers, but not as an S3 server does (status %d, %.40q): check the endpoint", h.status, h.kind)}
	case h.status == http.StatusForbidden || h.status == http.StatusUnauthorized:
		return meaning{share.ErrDenied, "the credentials may not do this: check them, and the policy of the bucket"}
	case h.status >= http.StatusInternalServerError:
		return meaning{share.ErrUnavailable, fmt.Sprintf("the server is not available (status %d)", h.status)}
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return meaning{share.ErrUnavailable, "the connection broke off in the middle of an answer"}
	case errors.As(err, &system) && system.Op != "dial", strings.Contains(err.Error(), "closed by foreign host"):
		return meaning{share.ErrUnavailable, "the connection broke off before the answer"}
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, errStalled):
		return meaning{share.ErrUnavailable, "the server did not answer in time, or stopped in the middle of an answer"}
	case errors.As(err, &system):
		return meaning{share.ErrUnavailable, "the endpoint cannot be reached: " + system.Err.Error()}
	}
	if garbled(err) {
		return meaning{share.ErrUnavailable, garbledWords}
	}
	return meaning{share.ErrUnavailable, err.Error()}
}

const garbledWords = "what the server answers cannot be understood: something between this machine and it changes it, or the endpoint is no S3 server"

// Garbled reports whether what came back cannot be understood.
func (e *Error) Garbled() bool { return e.Words == garbledWords }

// garbled reports whether an answer that should be XML is none.
func garbled(err error) bool {
	var syntax *xml.SyntaxError
	var value xml.UnmarshalError
	return errors.Is(err, errGarbled) || errors.As(err, &syntax) || errors.As(err, &value)
}

var (
	errShort         = errors.New("the object ends before what was asked for")
	errNotS3         = errors.New("not an answer of S3")
	errGarbled       = errors.New("not an answer that can be understood")
	errNoCredentials = errors.New("no credentials")
)

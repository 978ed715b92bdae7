package control

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/dustin/go-humanize"

	"cairn/grid/dir"
	"cairn/grid/health"
	"cairn/share"
	"cairn/share/capability"
)

// A Code says what kind of failure an Error is.
type Code string

// The codes, one for each exit status of the command line.
const (
	CodeFailed    Code = "failed"
	CodeMalformed Code = "malformed"
	CodeNotFound  Code = "not_found"
	CodeNotEnough Code = "not_enough_servers"
	CodeRefused   Code = "refused"
	CodeCancelled Code = "cancelled"
)

// An Error is a failure as it travels from the node to its client.
type Error struct {
	Code    Code   `json:"code"`
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
	// Needed and Answered are set with CodeNotEnough: how many servers (to store) or shares (to recover) were needed,
	// how many there were, and how many servers were asked.
	Needed   int `json:"needed,omitempty"`
	Answered int `json:"answered,omitempty"`
	Asked    int `json:"asked,omitempty"`
	// Content, if set, is the happiness with which an upload would be content with what there is.
	Content int `json:"content,omitempty"`
	// Causes are some of the failures of single servers behind it.
	Causes []string `json:"causes,omitempty"`
}

func (e *Error) Error() string { return e.Message }

// Is makes what was not found on the other side a share.ErrNotFound here.
func (e *Error) Is(target error) bool { return target == share.ErrNotFound && e.Code == CodeNotFound }

// AnyCapability stands in the hint of an Error for the capability that the request named, which is a secret.
const AnyCapability = "CAPABILITY"

// HintDirectory is the hint of an Error about a directory where a file is wanted. A verb without -r says something else in its place.
const HintDirectory = "name a file in it, or use -r where a whole directory is meant"

// ErrNotRunning says that no node runs on the directory.
var ErrNotRunning = errors.New("the node is not running")

// ErrStopped says that the node ended, or was killed, before it had answered.
var ErrStopped = errors.New("the node stopped while it was working")

// ErrChanged says that a file was changed while it was being stored.
var ErrChanged = errors.New("the file changed while it was read")

// ErrorOf turns an error into what travels to the client.
func ErrorOf(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	e := &Error{Code: codeOf(err), Message: err.Error()}
	if unhappy, ok := errors.AsType[*share.UnhappyError](err); ok {
		e.Needed, e.Answered, e.Asked = unhappy.Happy, unhappy.Happiness, unhappy.Servers
		e.Hint = "start or invite more nodes that store, or free space on them; running the same command again continues where it stopped"
		if unhappy.Happiness >= max(1, unhappy.Needed) {
			e.Content = unhappy.Happiness
		}
		short := *unhappy
		short.Causes = nil
		e.separate(unhappy, &short, unhappy.Causes)
		if unhappy.OverQuota() {
			e.overQuota(unhappy)
		}
	} else if quota, ok := errors.AsType[*share.QuotaError](err); ok {
		e.Message = strings.Replace(e.Message, quota.Error(), quotaText(quota.Used, quota.Limit), 1)
		e.Hint = quotaHint
	}
	if homeless, ok := errors.AsType[*health.NoPlaceError](err); ok {
		e.Hint = "the file can be read as it is; for the rest start or invite more nodes that store, or free space on them (\"cairn peers\" shows how much each takes), and repair it again"
		e.Message = strings.Replace(e.Message, homeless.Error(), fmt.Sprintf("%d of %d shares have no place", homeless.Missing, homeless.Total), 1)
		for _, cause := range homeless.Causes[:min(len(homeless.Causes), maxCauses)] {
			e.Causes = append(e.Causes, cause.Error())
		}
	}
	if few, ok := errors.AsType[*share.NotEnoughSharesError](err); ok {
		e.Needed, e.Answered, e.Asked = few.Needed, few.Found, few.Asked
		e.Hint = "\"cairn peers\" shows who answers; try again when more of the file's holders are up"
		short := *few
		short.Causes = nil
		e.separate(few, &short, few.Causes)
	}
	e.Message = shortNames(e.Message)
	for i, cause := range e.Causes {
		e.Causes[i] = shortNames(cause)
	}
	return e
}

// quotaHint is what to do about a quota.
const quotaHint = "lend more space (\"cairn config set storage.offer SIZE\"), or ask who founded the grid for a larger quota; " +
	"what is stored stays, and the same command continues where it stopped"

func quotaText(used, limit int64) string {
	return fmt.Sprintf("quota reached: you use %s of the %s that you may", humanize.Bytes(uint64(max(used, 0))), humanize.Bytes(uint64(max(limit, 0))))
}

// overQuota says in the first place that quotas are the reason: one number for all servers that refused.
func (e *Error) overQuota(unhappy *share.UnhappyError) {
	var used, limit int64
	quotas := unhappy.Quotas()
	for _, q := range quotas {
		used, limit = used+q.Used, limit+q.Limit
	}
	e.Message = fmt.Sprintf("%s on %d of %d servers, and the others are too few: shares could be placed on %d, %d are needed",
		quotaText(used, limit), len(quotas), unhappy.Servers, unhappy.Happiness, unhappy.Happy)
	e.Hint, e.Content = quotaHint, 0
}

// longName matches the whole name of a mutable file, and a whole storage index, as words of a message. In a path they are behind a colon
// or a slash, and stay.
var longName = regexp.MustCompile(`(^| )(k51[a-z0-9]{59}|bafy[a-z2-7]{55})\b`)

// shortNames shortens the names of things as nodes know them, which people do not: they are told the path as well.
func shortNames(message string) string {
	return longName.ReplaceAllStringFunc(message, func(name string) string {
		begin := strings.Index(name, " ") + 1
		return name[:begin+4] + "…" + name[len(name)-4:]
	})
}

// maxCauses bounds how many failures of single servers are told.
const maxCauses = 5

// separate takes the failures of single servers out of the message and lists them.
func (e *Error) separate(whole, short error, causes []error) {
	e.Message = strings.Replace(e.Message, whole.Error(), short.Error(), 1)
	for _, cause := range causes[:min(len(causes), maxCauses)] {
		e.Causes = append(e.Causes, cause.Error())
	}
}

func codeOf(err error) Code {
	unhappy, isUnhappy := errors.AsType[*share.UnhappyError](err)
	few, isFew := errors.AsType[*share.NotEnoughSharesError](err)
	_, isHomeless := errors.AsType[*health.NoPlaceError](err)
	_, isName := errors.AsType[*dir.NameError](err)
	switch {
	case isUnhappy && unhappy != nil && unhappy.OverQuota():
		return CodeRefused
	case isUnhappy && unhappy != nil:
		return CodeNotEnough
	case isFew && few.Found == 0 && few.Answered == few.Asked && len(few.Causes) == 0:
		return CodeNotFound // everybody answered and nobody knows the file
	case isFew:
		return CodeNotEnough
	case errors.Is(err, capability.ErrAuthority), errors.Is(err, share.ErrDenied), errors.Is(err, share.ErrReadOnly):
		return CodeRefused
	case isHomeless:
		return CodeNotEnough
	case errors.Is(err, capability.ErrMalformed), isName:
		return CodeMalformed
	case errors.Is(err, share.ErrRollback):
		return CodeNotEnough
	case errors.Is(err, share.ErrNotFound):
		return CodeNotFound
	case errors.Is(err, context.Canceled):
		return CodeCancelled
	default:
		return CodeFailed
	}
}

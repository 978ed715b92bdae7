package control

import (
	"context"
	"io"
	"strconv"
	"strings"
	"time"

	"cairn/grid/dir"
	"cairn/grid/health"
	"cairn/share"
)

// The types of an Entry.
const (
	TypeFile      = "file"
	TypeDirectory = "dir"
	TypeLink      = "link"    // a symbolic link, which nothing on the grid follows
	TypeUnknown   = "unknown" // a kind of a later version
)

// LinkContent is the content type of a file that stands for a symbolic link: its bytes are where the link points.
const LinkContent = "inode/symlink"

// MaxLink is the most bytes that such a file has. What is longer is a file, whatever its content type says.
const MaxLink = 64 << 10

// CheckName returns the name under which a directory keeps a name, or why it cannot.
func CheckName(name string) (string, error) { return dir.CheckName(name) }

// An Entry is what a target leads to.
type Entry struct {
	Path string `json:"path"` // the target, without keys
	Name string `json:"name"` // in its directory; empty for what the target names itself
	Type string `json:"type"` // file, dir, link or unknown
	Kind string `json:"kind"` // of the capability
	// Mutable says that it can change, Writable that this capability changes it.
	Mutable  bool  `json:"mutable"`
	Writable bool  `json:"writable"`
	Size     int64 `json:"size"` // bytes of a file; 0 for a directory; -1 where it is unknown
	// Link is where a link points; empty where a listing was not asked for it, or it cannot be read.
	Link string `json:"link,omitempty"`
	// Modified is when the contents changed, Created and Changed when the entry was made and last changed.
	Modified    time.Time         `json:"modified,omitzero"`
	Created     time.Time         `json:"created,omitzero"`
	Changed     time.Time         `json:"changed,omitzero"`
	ContentType string            `json:"content_type,omitempty"`
	Executable  bool              `json:"executable,omitempty"`
	User        map[string]string `json:"user,omitempty"`
	// ID is the same for every capability of the same thing, and no secret; empty for a literal.
	ID string `json:"id,omitempty"`
	// Capability is set where it was asked for.
	Capability string `json:"capability,omitempty"`
	// Problem says why a directory could not be listed.
	Problem string `json:"problem,omitempty"`
	// Ended says that the thing has other keys by now, and that this is its last version under these. It is told of what is opened.
	Ended bool `json:"ended,omitempty"`
	// Again says that the directory was listed before in the same listing, and is not listed again.
	Again bool `json:"again,omitempty"`
}

// Directory reports whether the entry is a directory.
func (e Entry) Directory() bool { return e.Type == TypeDirectory }

// Metadata is what is kept of a file beside its bytes. Zero values are not kept.
type Metadata struct {
	Modified    time.Time         `json:"modified,omitzero"`
	ContentType string            `json:"content_type,omitempty"`
	Executable  bool              `json:"executable,omitempty"`
	User        map[string]string `json:"user,omitempty"`
}

// A LookupRequest asks what a target leads to.
type LookupRequest struct {
	Target       string `json:"target"`
	Capabilities bool   `json:"capabilities,omitempty"`
	// Links tells where a link points, also where that has to be fetched.
	Links bool `json:"links,omitempty"`
}

// A ListRequest asks for what is in a directory, in the order of names. A file lists as itself.
type ListRequest struct {
	Target       string `json:"target"`
	Capabilities bool   `json:"capabilities,omitempty"`
	// Links tells where links point, also where that has to be fetched.
	Links bool `json:"links,omitempty"`
	// Self begins with the directory itself.
	Self bool `json:"self,omitempty"`
	// Recursive goes on with what is in each directory, right behind it. Each directory is listed once.
	Recursive bool `json:"recursive,omitempty"`
	// Depth bounds how far Recursive goes; 0 is without bound.
	Depth int `json:"depth,omitempty"`
	// After and Limit select a page of a directory: names behind After, at most Limit of them where it is not 0.
	After string `json:"after,omitempty"`
	Limit int    `json:"limit,omitempty"`
}

// A MkdirRequest makes a directory.
type MkdirRequest struct {
	Target string `json:"target"`
	// Parents makes the directories above it too, and is content with one that is there.
	Parents bool `json:"parents,omitempty"`
}

// A LinkRequest puts what one target leads to into a directory as well.
type LinkRequest struct {
	Source string `json:"source"`
	Target string `json:"target"`
	// ReadOnly links a capability that only reads.
	ReadOnly bool `json:"read_only,omitempty"`
	// Replace takes the place of what has the name already, unless it is a directory.
	Replace bool `json:"replace,omitempty"`
}

// A CopyRequest copies within the grid. Immutable files are linked; mutable files and directories are made anew.
type CopyRequest struct {
	Source    string `json:"source"`
	Target    string `json:"target"`
	Recursive bool   `json:"recursive,omitempty"`
	// Keep leaves what has the name already.
	Keep bool `json:"keep,omitempty"`
	// Exact makes the copy the target itself, also where that is a directory.
	Exact bool `json:"exact,omitempty"`
}

// A CopyResult says what was copied.
type CopyResult struct {
	Entry       Entry `json:"entry"`
	Files       int   `json:"files"`       // linked or stored
	Directories int   `json:"directories"` // made
	Problems    int   `json:"problems"`    // entries passed over
	// Skipped names those, the first of them if there are very many.
	Skipped []Skipped `json:"skipped"`
}

// A Skipped is something that was passed over, by its path from what was copied on.
type Skipped struct {
	Path  string `json:"path"`
	Error string `json:"error"`
	// Cycle says that it is a directory inside itself, of which nothing is missing elsewhere.
	Cycle bool `json:"cycle,omitempty"`
}

// A MoveRequest gives something another name or another directory.
type MoveRequest struct {
	Source string `json:"source"`
	Target string `json:"target"`
	// Keep refuses to replace what has the name already.
	Keep bool `json:"keep,omitempty"`
	// Exact gives it the target's own name, also where that is a directory.
	Exact bool `json:"exact,omitempty"`
}

// A RemoveRequest takes names out of directories.
type RemoveRequest struct {
	Target string `json:"target"`
	// Recursive removes directories too, Empty those that are empty.
	Recursive bool `json:"recursive,omitempty"`
	Empty     bool `json:"empty,omitempty"`
	// Force removes also what nodes keep for themselves.
	Force bool `json:"force,omitempty"`
}

// A Version is one version of a mutable file or a directory.
type Version struct {
	Version uint64    `json:"version"`
	Written time.Time `json:"written"`
	Size    int64     `json:"size"` // bytes; of a directory, of its list; -1 where it is unknown
	Current bool      `json:"current,omitempty"`
	Refused bool      `json:"refused,omitempty"` // it lost a collision and is kept on this node only
	// Record tells two versions apart that were written with the same number.
	Record string `json:"record"`
	// Ended says that no version follows: the thing has other keys by now.
	Ended bool `json:"ended,omitempty"`
	// Retention is, of the current version, which past ones are kept.
	Retention *Retention `json:"retention,omitempty"`
	// KeptUntil is when a past version was replaced so long ago that it may go, and KeptNewer after how many newer versions; it stays
	// until both are over.
	KeptUntil time.Time `json:"kept_until,omitzero"`
	KeptNewer int       `json:"kept_newer,omitempty"`
}

// A Retention says which past versions are kept: as many as Versions with the newest, and those that were replaced less than so many
// Seconds ago. In a request 0 leaves a part as it is.
type Retention struct {
	Versions int   `json:"versions"`
	Seconds  int64 `json:"seconds"`
}

// A RetainRequest changes which past versions of a mutable file or a directory are kept.
type RetainRequest struct {
	Target string    `json:"target"`
	Keep   Retention `json:"keep"`
}

// VersionText returns the number of a version as a person types it, with its record where the number alone does not say which.
func VersionText(version uint64, record string) string {
	text := strconv.FormatUint(version, 10)
	if record != "" {
		text += "@" + record
	}
	return text
}

// ParseVersion reads what VersionText returns. It reports whether the text is a version.
func ParseVersion(text string) (version uint64, record string, ok bool) {
	number, record, at := strings.Cut(text, "@")
	version, err := strconv.ParseUint(number, 10, 63)
	return version, record, err == nil && version > 0 && at == (record != "")
}

// A RestoreRequest makes a former version of a mutable file or a directory the newest.
type RestoreRequest struct {
	Target  string `json:"target"`
	Version uint64 `json:"version"`
	// Record is that of the version where several have the number; empty where one has. An empty one is refused with CodeMalformed otherwise.
	Record string `json:"record,omitempty"`
	// Empty begins a directory anew that is lost, with nothing in it, in the place of bringing a version back. It is refused where any node that
	// may have the directory does not answer, unless Force is set.
	Empty bool `json:"empty,omitempty"`
	Force bool `json:"force,omitempty"`
}

// An Alias is a short name of a capability.
type Alias struct {
	Alias      string `json:"alias"`
	Kind       string `json:"kind"`
	Writable   bool   `json:"writable"`
	Capability string `json:"capability,omitempty"`
}

// An AliasRequest gives a capability a short name.
type AliasRequest struct {
	Alias string `json:"alias"`
	// Target is what it stands for; empty makes a new directory.
	Target string `json:"target,omitempty"`
}

// A TreeCheckRequest asks for the health of everything below a target.
type TreeCheckRequest struct {
	Target string `json:"target"`
	Verify bool   `json:"verify,omitempty"`
	// Repair makes missing and bad shares anew, and stores anew what is thin.
	Repair bool `json:"repair,omitempty"`
}

// A TreeItem is one thing in a tree that is not as it should be.
type TreeItem struct {
	Path        string `json:"path"`
	ID          string `json:"id"`
	Healthy     bool   `json:"healthy"`
	Recoverable bool   `json:"recoverable"`
	SharesGood  int    `json:"shares_good"`
	SharesTotal int    `json:"shares_total"`
	Needed      int    `json:"shares_needed"`
	Made        int    `json:"shares_made,omitempty"`
	// Thin says that no share is missing, but that it counts on Servers servers only, and what is stored now on Wanted.
	Thin    bool `json:"thin,omitempty"`
	Servers int  `json:"servers,omitempty"`
	Wanted  int  `json:"wanted,omitempty"`
	// Corrupt names each share that does not verify, and the server that gives it.
	Corrupt []health.Fault `json:"corrupt,omitempty"`
	// Problem says why it could not be looked at, repaired or stored anew, and Code what kind of failure that is.
	Problem string `json:"problem,omitempty"`
	Code    Code   `json:"code,omitempty"`
}

// A Silent is a server that did not say what it holds.
type Silent struct {
	Peer   share.ServerID `json:"peer"`
	Reason string         `json:"reason"`
}

// A TreeReport says how healthy everything below a target is. Each thing counts once, however often it is linked.
type TreeReport struct {
	Path        string `json:"path"`
	Directories int    `json:"directories"`
	Files       int    `json:"files"`
	Bytes       int64  `json:"bytes"` // of the files
	Objects     int    `json:"objects"`
	Healthy     int    `json:"healthy"`
	// Thin are those of which no share is missing, but which are on fewer servers than what is stored now.
	Thin          int `json:"thin"`
	Degraded      int `json:"degraded"`
	Unrecoverable int `json:"unrecoverable"`
	Literals      int `json:"literals"`
	// Former are the former copies of what was unshared that are still to be ended; none of the other numbers counts them.
	Former     int64 `json:"former"`
	Repaired   int   `json:"repaired"`
	SharesMade int   `json:"shares_made"`
	// StoredFiles and StoredDirectories were thin and have been stored anew, with StoredBytes of files.
	StoredFiles       int   `json:"stored_files"`
	StoredDirectories int   `json:"stored_directories"`
	StoredBytes       int64 `json:"stored_bytes"`
	// Unhealthy are those that are not healthy, thin ones included, by their paths; the first MaxUnhealthy that were found.
	Unhealthy []TreeItem `json:"unhealthy"`
	// Unanswered are the servers that did not say of everything what they hold.
	Unanswered []Silent `json:"unanswered"`
	// Away is how many servers were asked at most about one thing and did not answer.
	Away int `json:"away"`
	// Stopped says why no more was stored anew.
	Stopped *Error `json:"stopped,omitempty"`
}

// MaxUnhealthy bounds how many unhealthy things a report lists.
const MaxUnhealthy = 10000

// A MaintainReport says what a round of maintenance did.
type MaintainReport struct {
	Directories int `json:"directories"` // that were walked
	Files       int `json:"files"`
	Objects     int `json:"objects"` // encoded files behind them, each once
	Renewed     int `json:"renewed"` // of which leases were renewed
	Missing     int `json:"missing"` // of which no server that answered holds anything
	// Versions are past versions that were renewed with all they consist of, VersionsMissing those that are to be kept and of which
	// something is not there any more.
	Versions        int `json:"versions"`
	VersionsMissing int `json:"versions_missing"`
	// Thin are on fewer servers than what is stored now, and of Degraded shares are missing: "repair -r" mends both.
	Thin     int `json:"thin"`
	Degraded int `json:"degraded"`
	// Problems are directories that could not be listed, the first few.
	Problems []string `json:"problems,omitempty"`
}

// Tree is the part of a Node that deals with names. Targets are what ParseTarget reads.
type Tree interface {
	Lookup(ctx context.Context, request LookupRequest) (Entry, error)
	// OpenAt opens a file by its target.
	OpenAt(ctx context.Context, target string) (File, Entry, error)
	// PutAt stores a file under request.Target.
	PutAt(ctx context.Context, r io.Reader, request PutRequest, progress func(Progress)) (PutResult, error)
	List(ctx context.Context, request ListRequest, each func(Entry) error) error
	Mkdir(ctx context.Context, request MkdirRequest, progress func(Progress)) (Entry, error)
	Link(ctx context.Context, request LinkRequest) (Entry, error)
	Copy(ctx context.Context, request CopyRequest, progress func(Progress)) (CopyResult, error)
	Move(ctx context.Context, request MoveRequest) (Entry, error)
	// Remove returns what was removed.
	Remove(ctx context.Context, request RemoveRequest) (Entry, error)
	// History returns the versions within reach, newest first.
	History(ctx context.Context, target string) ([]Version, error)
	// Retain changes which past versions are kept, and returns the version that says so.
	Retain(ctx context.Context, request RetainRequest) (Version, error)
	// Restore returns the version that it made.
	Restore(ctx context.Context, request RestoreRequest) (Version, error)
	CheckTree(ctx context.Context, request TreeCheckRequest, progress func(Progress)) (TreeReport, error)
	Aliases(ctx context.Context) ([]Alias, error)
	SetAlias(ctx context.Context, request AliasRequest) (Alias, error)
	RemoveAlias(ctx context.Context, alias string) (Alias, error)
	// Maintain renews the leases of what is reachable from the root directory.
	Maintain(ctx context.Context, progress func(Progress)) (MaintainReport, error)
}

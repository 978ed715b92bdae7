package capability

// A Kind says what a capability opens and how far.
type Kind uint8

// The kinds of capability. The comment gives the text.
const (
	KindUnknown       Kind = iota // any other kind
	KindFile                      // file
	KindFileVerify                // file-verify
	KindLiteral                   // literal
	KindMutable                   // mutable
	KindMutableRead               // mutable-read
	KindMutableVerify             // mutable-verify
	KindDir                       // dir
	KindDirRead                   // dir-read
	KindDirVerify                 // dir-verify
	KindIDir                      // idir
	KindIDirVerify                // idir-verify
	kindCount
)

// An Authority is what the holder of a capability can do. Each includes the ones below it.
type Authority uint8

// The authorities, from weakest to strongest.
const (
	AuthorityNone   Authority = iota // unknown kinds
	AuthorityVerify                  // find, check and repair, but not read
	AuthorityRead                    // also read
	AuthorityWrite                   // also change
)

// String returns the word that people use.
func (a Authority) String() string {
	return [...]string{"none", "verify", "read", "write"}[min(a, AuthorityWrite)]
}

// What identifies the thing that a capability opens.
type subject uint8

const (
	subjectNone  subject = iota // the data itself
	subjectIndex                // the CID of a root
	subjectName                 // the name of a mutable thing
)

// Which key a capability carries.
type keyKind uint8

const (
	keyNone keyKind = iota
	keyRead
	keyWrite
)

// A shape is everything that distinguishes one kind from another.
type shape struct {
	text         string
	noun         string // for messages
	authority    Authority
	subject      subject
	key          keyKind
	read, verify Kind // what the capability diminishes to, KindUnknown where that does not exist
}

var shapes = [kindCount]shape{
	KindUnknown:       {text: "unknown", noun: "a capability of an unknown kind"},
	KindFile:          {"file", "a file's read capability", AuthorityRead, subjectIndex, keyRead, KindFile, KindFileVerify},
	KindFileVerify:    {"file-verify", "a file's verify capability", AuthorityVerify, subjectIndex, keyNone, KindUnknown, KindFileVerify},
	KindLiteral:       {"literal", "a literal capability", AuthorityRead, subjectNone, keyNone, KindLiteral, KindUnknown},
	KindMutable:       {"mutable", "a mutable file's write capability", AuthorityWrite, subjectName, keyWrite, KindMutableRead, KindMutableVerify},
	KindMutableRead:   {"mutable-read", "a mutable file's read capability", AuthorityRead, subjectName, keyRead, KindMutableRead, KindMutableVerify},
	KindMutableVerify: {"mutable-verify", "a mutable file's verify capability", AuthorityVerify, subjectName, keyNone, KindUnknown, KindMutableVerify},
	KindDir:           {"dir", "a directory's write capability", AuthorityWrite, subjectName, keyWrite, KindDirRead, KindDirVerify},
	KindDirRead:       {"dir-read", "a directory's read capability", AuthorityRead, subjectName, keyRead, KindDirRead, KindDirVerify},
	KindDirVerify:     {"dir-verify", "a directory's verify capability", AuthorityVerify, subjectName, keyNone, KindUnknown, KindDirVerify},
	KindIDir:          {"idir", "an immutable directory's read capability", AuthorityRead, subjectIndex, keyRead, KindIDir, KindIDirVerify},
	KindIDirVerify:    {"idir-verify", "an immutable directory's verify capability", AuthorityVerify, subjectIndex, keyNone, KindUnknown, KindIDirVerify},
}

func (k Kind) shape() *shape {
	if k >= kindCount {
		return &shapes[KindUnknown]
	}
	return &shapes[k]
}

// String returns the kind as it stands in the text of a capability, or "unknown".
func (k Kind) String() string { return k.shape().text }

// Authority says what the holder of a capability of this kind can do.
func (k Kind) Authority() Authority { return k.shape().authority }

// Noun returns the kind in words with their article, "a directory's read capability".
func (k Kind) Noun() string { return k.shape().noun }

// Kinds returns every kind but KindUnknown.
func Kinds() []Kind {
	out := make([]Kind, 0, kindCount-1)
	for k := KindUnknown + 1; k < kindCount; k++ {
		out = append(out, k)
	}
	return out
}

// kindOf returns the kind with this text.
func kindOf(text string) (Kind, bool) {
	for _, k := range Kinds() {
		if k.String() == text {
			return k, true
		}
	}
	return KindUnknown, false
}

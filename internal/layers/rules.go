package layers

// An Arrow says which packages of this module the code in one folder may import.
type Arrow struct {
	From   string   // folder, with everything below it; the longest match decides
	To     []string // folders; "x/..." is x with everything below it
	Reason string
}

// Arrows are the arrows of docs/architecture.md. Test files may also import everything under internal, and tests
// of cmd and internal everything.
var Arrows = []Arrow{
	{"share", nil, "package share is the vocabulary: it imports nothing of this module"},
	{"share/capability", []string{"share", "share/keys", "internal/spelling"}, "capabilities are pure: parsing needs no store and no network"},
	{"share/keys", []string{"share"}, "key derivation is pure"},
	{"share/erasure", []string{"share"}, "the code is pure: blocks in, blocks out"},
	{"share/sums", []string{"share"}, "hashing is pure: blocks in, digests out"},
	{"share/encoding", []string{"share", "share/erasure", "share/keys", "share/sums"}, "the encoded file knows no store, no peer and no grid"},
	{"share/column", []string{"share", "share/encoding", "share/sums"}, "a share in the making is checked the same way in every Store"},
	{"share/head", []string{"share"}, "heads are pure: signing and reading them needs no store and no network"},
	{"share/disk", []string{"share", "share/encoding", "share/column", "share/head"}, "a Store holds shares without understanding grids or peers"},
	{"share/memory", []string{"share", "share/encoding", "share/column", "share/head"}, "a Store holds shares without understanding grids or peers"},
	{"share/spill", []string{"share", "share/encoding", "share/column", "share/head"}, "two Stores as one: it knows neither which ones, nor grids or peers"},
	{"share/s3", []string{"share", "share/encoding", "share/column", "share/head", "internal/awake", "internal/boltfile", "internal/wholefile"}, "a Store holds shares without understanding grids or peers"},
	{"share/storetest", []string{"share", "share/encoding", "share/erasure", "share/head", "share/keys"}, "the conformance suite sees a Store and the encoded file, nothing else"},

	{"p2p", []string{"p2p/...", "share", "internal/awake", "internal/wholefile"}, "p2p moves shares between peers; who belongs to a grid (introducer) and where shares go (grid) are told to it through interfaces"},
	{"p2p/wire", []string{"share"}, "the messages are pure data: no host, no stream, no store"},
	{"p2p/discovery", []string{"p2p", "share", "internal/awake"}, "discovery finds peers and shares and knows nothing of what is stored"},
	{"p2p/storage", []string{"p2p", "p2p/wire", "share", "share/head", "internal/awake"}, "the storage protocol serves any Store and knows nothing of placement; of a head it reads what is signed about its retention"},

	{"introducer", []string{"introducer/...", "p2p", "share", "internal/awake", "internal/wholefile"}, "membership sits on p2p; it knows no grid operation and no node"},
	{"introducer/inbox", []string{"introducer", "share", "share/capability", "share/keys"}, "boxes are data between two accounts; the grid that keeps them is not known here"},

	{"grid", []string{"grid/...", "share/...", "internal/awake"}, "grid and p2p never import each other: they meet only in share.Store"},
	{"grid/turn", nil, "taking turns needs nothing of this module"},
	{"grid/placement", []string{"share"}, "placement is pure: servers in, plan out"},

	{"grid/dir", []string{"grid/dir/...", "grid/file", "grid/mutable", "grid/turn", "share/..."}, "directories know mutable files and small immutable ones, nothing else of the grid"},
	{"grid/dir/page", []string{"share", "share/capability", "share/keys"}, "the format of directories is pure: no store and no network"},

	{"node", []string{"node/...", "grid/...", "introducer/...", "p2p/...", "share/...", "internal/awake", "internal/wholefile"}, "node composes everything below it and is composed only by cmd"},
	{"node/account", []string{"introducer", "share", "share/keys", "internal/awake", "internal/spelling"}, "what a person has to keep is data: phrases, keys and vaults need no running node"},
	{"node/config", []string{"share", "internal/wholefile"}, "the configuration is data; it starts nothing"},
	{"node/localtree", nil, "reading a folder of this machine needs no grid"},
	{"node/transfer", []string{"node/localtree", "share", "share/capability"}, "moving trees needs to know disks and capabilities; the grid is told to it through interfaces"},
	{"node/state", []string{"internal/boltfile", "share", "share/head"}, "what a node remembers is data; it asks nobody"},
	{"node/backup", []string{"internal/boltfile", "node/localtree", "node/transfer", "share", "share/capability"}, "a backup is a transfer with a memory; the grid is told to it through interfaces"},
	{"node/vfs", []string{"grid/...", "share/...", "internal/wholefile"}, "the file system is built on the grid's facade, not on peers"},
	{"node/vfs/vfstest", []string{"node/vfs", "share/..."}, "the conformance suite sees a file system, nothing else"},
	{"node/gateway", []string{"node/vfs", "share"}, "a gateway translates one protocol over vfs, nothing else"},

	{"cmd", []string{"cmd/...", "node/...", "introducer/...", "share/...", "internal/awake", "internal/localgrid", "internal/baseline", "internal/predicate", "internal/spelling"}, "the command line talks to a node; grid and p2p are behind it"},

	{"internal", []string{"internal/...", "node/...", "grid/...", "introducer/...", "p2p/...", "share/..."}, "support of tests may use everything but the command line"},
	{"internal/layers", nil, "the rules read the tree, they do not run it"},
	{"internal/baseline", []string{"p2p", "share", "share/encoding", "share/erasure", "share/keys"}, "a baseline measures what is below the grid"},
	{"internal/awake", nil, "waiting needs no package of ours"},
	{"internal/boltfile", nil, "opening a file needs no package of ours"},
	{"internal/wholefile", nil, "writing a file needs no package of ours"},
	{"internal/predicate", nil, "the language of find(1) is about what any file system has"},
	{"internal/spelling", nil, "comparing words needs no package of ours"},
	{"internal/localgrid", nil, "starting processes needs no package of ours"},
}

// A Home says where one dependency may be imported outside of tests.
type Home struct {
	Import string   // import path, with everything below it
	In     []string // folders
	Reason string
}

// Homes are the "home of" column of docs/architecture.md. The longest match decides. Support for tests under internal is exempt.
var Homes = []Home{
	{"github.com/klauspost/reedsolomon", []string{"share/erasure"}, "the erasure code has one home"},
	{"github.com/dgraph-io/badger", []string{"share/disk"}, "Badger holds the metadata of share/disk and nothing else"},
	{"github.com/ipfs/go-cid", []string{"share", "p2p/discovery"}, "CIDs are the text form of storage indexes, and the keys of the DHT"},
	{"github.com/multiformats/go-multihash", []string{"share", "p2p/discovery"}, "CIDs are the text form of storage indexes, and the keys of the DHT"},
	{"github.com/libp2p/go-libp2p", []string{"p2p"}, "p2p owns the libp2p host; others see Stores, ids and addresses"},
	{"github.com/libp2p/go-libp2p/core/crypto", []string{"p2p", "introducer", "node", "share/head"}, "a node's key is a libp2p key; only its bearer and its checker need the type, and boxo signs with one"},
	{"github.com/libp2p/go-libp2p/core/peer", []string{"p2p", "introducer", "node"}, "peer ids are parsed where addresses are read"},
	{"github.com/multiformats/go-multiaddr", []string{"p2p", "introducer", "node/config"}, "addresses are parsed where peers are dialled, and where grid addresses and settings are read"},
	{"github.com/ipfs/boxo", []string{"share/head"}, "heads are IPNS records, made and read in one place"},
	{"github.com/libp2p/go-libp2p-kad-dht", []string{"p2p/discovery"}, "the DHT has one home, so that it can be replaced"},
	{"github.com/ipfs/go-datastore", []string{"p2p/discovery"}, "only the DHT wants a datastore"},
	{"github.com/fxamacker/cbor", []string{"share/encoding", "share/disk", "share/s3", "p2p/wire", "introducer", "grid/dir/page"}, "CBOR is for formats with a specification"},
	{"golang.org/x/text", []string{"grid/dir/page", "node/account"}, "names are normalised in one place, and what people type from memory or paper in another"},
	{"github.com/spf13/cobra", []string{"cmd"}, "the command line is parsed in cmd only"},
	{"github.com/bmatcuk/doublestar", []string{"node/localtree"}, "patterns of file names have one meaning"},
	{"github.com/zalando/go-keyring", []string{"node/account"}, "the system's keyring is a cache of one passphrase"},
	{"github.com/kardianos/service", []string{"cmd/service"}, "service managers are spoken to in one place"},
	{"golang.org/x/term", []string{"cmd"}, "only the command line has a terminal"},
	{"github.com/pelletier/go-toml", []string{"node/config"}, "the configuration file has one reader"},
	{"github.com/gofrs/flock", []string{"node", "share/disk"}, "locks guard folders that belong to one process"},
	{"github.com/hashicorp/golang-lru", []string{"node/vfs", "grid/mutable"}, "blocks that were read, and past heads that were verified"},
	{"go.etcd.io/bbolt", []string{"node/state", "node/backup", "share/s3"}, "what one node or one command remembers is a small file of its own, and so is what it knows of a bucket; the disk has Badger"},
	{"github.com/minio/minio-go", []string{"share/s3"}, "S3 is spoken in one place, so that its client can be replaced"},
	{"pgregory.net/rapid", nil, "rapid is for tests"},
	{"go.uber.org/goleak", nil, "goleak is for tests"},
	{"github.com/google/go-cmp", nil, "go-cmp is for tests"},
	{"github.com/rogpeppe/go-internal", nil, "testscript is for tests"},
	{"log", nil, "loggers are log/slog and passed in"},
	{"math/rand", nil, "randomness that matters comes from crypto/rand"},
	{"math/rand/v2", []string{"p2p", "node", "grid", "share/storetest"}, "jitter and test data may be guessable, nothing else may"},
}

// TopLevel are the names that the root of the repository holds, beside files whose name starts with a dot.
var TopLevel = []string{
	"cmd", "docs", "grid", "internal", "introducer", "node", "p2p", "share",
	"go.mod", "go.sum", "Makefile", "README.md", "LICENSE-APACHE", "LICENSE-MIT", "NOTICE", "bin", "cairn",
}

// Limits on what a reader has to take in at once.
const (
	MaxFileLines     = 700
	MaxFunctionLines = 70
)

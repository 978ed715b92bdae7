// Package config is the node's configuration: one struct, its TOML file, the environment and flags.
//
// A flag wins over the environment, the environment over the file, the file over the default; Origins tells which
// one it was. The comments of the generated file, the environment names and the help come from the struct itself.
package config

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"cairn/share"
)

// FileName is the name of the configuration file in a node's directory.
const FileName = "config.toml"

// A Config is everything that can be configured. Default returns the values that hold where nothing is said.
type Config struct {
	Nickname string  `toml:"nickname" doc:"What other members see beside this node's id."`
	Storage  Storage `toml:"storage" doc:"The space that this node lends to the grid: of a disk, or in a bucket."`
	Spill    Spill   `toml:"spill" doc:"A bucket for the shares that the disk cannot take. The keys are not here: cairn spill set keeps them."`
	Bucket   Bucket  `toml:"bucket" doc:"What a bucket costs and how it is verified, be it the one of storage.path or of spill.bucket."`
	Network  Network `toml:"network" doc:"How other nodes reach this one."`
	Control  Control `toml:"control" doc:"The local interface that the command line uses."`
	Grid     Grid    `toml:"grid" doc:"How files are encoded that this node stores. 0 everywhere: as the grid says, or by its size."`
	History  History `toml:"history" doc:"Which past versions are kept of what this node makes: mutable files and directories. Each keeps what it began with; cairn history changes it."`
	Log      Log     `toml:"log" doc:"What the running node writes about itself, and where."`
}

// Storage configures the storage server.
type Storage struct {
	Enabled bool     `toml:"enabled" doc:"Whether this node takes shares. A node that does not is a gateway only."`
	Path    string   `toml:"path" doc:"Where shares are kept: a folder, relative to the node's directory, or a bucket, as s3://BUCKET/PREFIX."`
	Offer   Size     `toml:"offer" doc:"How much space to lend (10GB, 1.5TiB). 0: all that is free on the disk, but the reserve; of a bucket without a bound."`
	Reserve Size     `toml:"reserve" doc:"How much of the disk stays free whatever is offered."`
	Limits  []string `toml:"limits" doc:"How much to store for single members whatever the grid allows them: NICKNAME=SIZE or ID=SIZE; * is everybody else."`
	Deny    []string `toml:"deny" doc:"Members for whom nothing is stored, by nickname or id. What is stored for them already stays."`
	Grace   Duration `toml:"grace" doc:"How long a share stays after the last lease on it has ended, for its owner to come back. At least 1d."`
	Scrub   Size     `toml:"scrub" doc:"How much is read each second to verify stored shares in the background. 0: never."`

	Endpoint    string `toml:"endpoint" doc:"For a bucket: the address of its server, as https://HOST or http://HOST:PORT. Empty: Amazon."`
	Region      string `toml:"region" doc:"For a bucket: its region. Empty: us-east-1."`
	PathStyle   bool   `toml:"path_style" doc:"For a bucket: whether its name always goes into the path."`
	VirtualHost bool   `toml:"virtual_host" doc:"For a bucket: whether its name always goes before the host name."`
	CA          string `toml:"ca" doc:"For a bucket: a file of PEM certificates to trust besides those of the system; relative to the node's directory."`
}

// Spill configures the bucket behind the disk.
type Spill struct {
	Bucket      string `toml:"bucket" doc:"The bucket, as s3://BUCKET/PREFIX. Empty: none."`
	Endpoint    string `toml:"endpoint" doc:"The address of the S3 server, such as https://s3.example.net or http://127.0.0.1:9000. Empty: Amazon."`
	Region      string `toml:"region" doc:"The region of the bucket. Empty: us-east-1."`
	PathStyle   bool   `toml:"path_style" doc:"Whether the name of the bucket always goes into the path."`
	VirtualHost bool   `toml:"virtual_host" doc:"Whether the name of the bucket always goes before the host name."`
	CA          string `toml:"ca" doc:"A file of PEM certificates to trust besides those of the system; relative to the node's directory."`
	Offer       Size   `toml:"offer" doc:"How much the bucket is given at most. 0: as much as it takes."`
	High        int    `toml:"high" doc:"How full the disk becomes, in percent of what it lends, before shares go to the bucket."`
	Low         int    `toml:"low" doc:"Up to how full, in percent of what it lends, the disk takes shares back from the bucket."`
	Rate        Size   `toml:"rate" doc:"How much is brought back each second. 0: as fast as it goes."`
	KeepCopy    bool   `toml:"keep_copy" doc:"Whether a complete copy of every file that this node stores goes to the bucket as well; put --keep-copy decides for one."`
}

// Bucket configures what is common to both uses of a bucket.
type Bucket struct {
	Scrub         Size   `toml:"scrub" doc:"How much is read from the bucket each second to verify what is in it. 0: as fast as it goes."`
	ScrubDay      Size   `toml:"scrub_day" doc:"How much is read from the bucket in a day to verify what is in it; the next day goes on. 0: nothing is read, only a listing is compared."`
	ScrubRequests int    `toml:"scrub_requests" doc:"How many requests a day may be spent on verifying. 0: as many as it takes."`
	Currency      string `toml:"currency" doc:"The currency of the prices, such as EUR."`
	PriceWrites   Price  `toml:"price_writes" doc:"What a thousand requests cost that write or list. 0: nothing, or not known."`
	PriceReads    Price  `toml:"price_reads" doc:"What a thousand requests cost that read."`
	PriceKept     Price  `toml:"price_kept" doc:"What it costs to keep a GB (10^9 bytes) for a month."`
	PriceOut      Price  `toml:"price_out" doc:"What it costs to read a GB out of the bucket."`
}

// Network configures the peer-to-peer side.
type Network struct {
	Listen    []string `toml:"listen" doc:"Multiaddrs to listen on. The port must stay the same for friends to find this node again."`
	Bootstrap []string `toml:"bootstrap" doc:"More peers to start from, as multiaddrs that end in /p2p/ID, beside those in the grid's address."`
	MDNS      bool     `toml:"mdns" doc:"Whether to look for members on the local network."`
	Keep      int      `toml:"keep" doc:"How many members to stay connected to. In a larger grid these are members of chance, half as many to half as many again, and the rest is looked up."`
	AskAll    int      `toml:"ask_all" doc:"Up to how many members that store everybody is asked for shares; in larger grids those that announced them."`
}

// Control configures the local API.
type Control struct {
	Address string `toml:"address" doc:"Address of the local API, on loopback. Port 0 takes any free one; commands find it."`
}

// Grid overrides the grid's encoding parameters.
type Grid struct {
	Needed int `toml:"needed" doc:"k: how many shares give a file back."`
	Happy  int `toml:"happy" doc:"On how many servers shares must be for an upload to succeed."`
	Total  int `toml:"total" doc:"N: how many shares are made."`
}

// History says which past versions are kept.
type History struct {
	Versions int      `toml:"versions" doc:"How many versions are kept in any case, the newest included: 1 to 1000."`
	Keep     Duration `toml:"keep" doc:"For how long a version is kept after it was replaced, however many there are: 1h to 36500d."`
}

// Log configures logging.
type Log struct {
	Level   string `toml:"level" doc:"debug, info, warn or error."`
	Format  string `toml:"format" doc:"text or json."`
	File    string `toml:"file" doc:"Where to log; relative to the node's directory. Empty: to standard error, in the background (up --detach) to node.log."`
	MaxSize Size   `toml:"max_size" doc:"How large the log file becomes before a new one is started. 0: as large as it gets."`
	Keep    int    `toml:"keep" doc:"How many earlier log files are kept, as FILE.1, FILE.2 and so on."`
}

// Default returns the configuration of a node about which nothing is said.
func Default() Config {
	return Config{
		Storage: Storage{Enabled: true, Path: "storage", Reserve: 1 << 30, Grace: Duration(14 * 24 * time.Hour), Scrub: 4e6},
		Spill:   Spill{High: 90, Low: 80, Rate: 10e6},
		Bucket:  Bucket{Scrub: 4e6, ScrubDay: 1e9, ScrubRequests: 1000},
		Network: Network{
			Listen: []string{"/ip4/0.0.0.0/tcp/0", "/ip4/0.0.0.0/udp/0/quic-v1", "/ip6/::/tcp/0", "/ip6/::/udp/0/quic-v1"},
			MDNS:   true,
			Keep:   80,
			AskAll: 64,
		},
		Control: Control{Address: "127.0.0.1:0"},
		History: History{Versions: share.DefaultRetention.Versions, Keep: Duration(share.DefaultRetention.Age)},
		Log:     Log{Level: "info", Format: "text", MaxSize: 10e6, Keep: 3},
	}
}

// Retention returns which past versions are kept of what is new.
func (c Config) Retention() share.Retention {
	return share.Retention{Versions: c.History.Versions, Age: time.Duration(c.History.Keep)}
}

// Params returns the encoding parameters that override the grid's; zero when there is no override.
func (c Config) Params() share.Params {
	return share.Params{Needed: c.Grid.Needed, Happy: c.Grid.Happy, Total: c.Grid.Total}
}

// Validate returns every problem of the configuration, each with the key it concerns, joined into one error.
func (c Config) Validate() error {
	var problems []error
	problem := func(key, format string, args ...any) {
		problems = append(problems, fmt.Errorf("%s: %w", key, fmt.Errorf(format, args...)))
	}
	if len(c.Nickname) > 64 || strings.ContainsFunc(c.Nickname, unprintable) {
		problem("nickname", "%.64q, %d bytes: want at most 64 bytes of printable text", c.Nickname, len(c.Nickname))
	}
	if c.Storage.Enabled && c.Storage.Path == "" {
		problem("storage.path", "is empty")
	}
	if c.Storage.Offer < 0 {
		problem("storage.offer", "%d is negative", int64(c.Storage.Offer))
	}
	if c.Storage.Reserve < 0 {
		problem("storage.reserve", "%d is negative", int64(c.Storage.Reserve))
	}
	if c.Storage.Grace < Duration(24*time.Hour) {
		problem("storage.grace", "%s: want at least 1d", c.Storage.Grace)
	}
	if c.Storage.Scrub < 0 {
		problem("storage.scrub", "%d is negative", int64(c.Storage.Scrub))
	}
	problems = append(problems, c.Storage.problems()...)
	problems = append(problems, c.Storage.bucketProblems(c.Spill)...)
	problems = append(problems, c.Spill.problems()...)
	problems = append(problems, c.Bucket.problems()...)
	problems = append(problems, c.Network.problems()...)
	if err := loopback(c.Control.Address); err != nil {
		problem("control.address", "%w", err)
	}
	if p := c.Params(); !p.IsZero() {
		if err := p.Validate(); err != nil {
			problem("grid", "%w; set needed, happy and total together", err)
		}
	}
	if err := c.Retention().Check(); err != nil {
		problem("history", "%w", err)
	}
	return errors.Join(append(problems, c.Log.problems()...)...)
}

// maxKeep bounds the number of log files.
const maxKeep = 1000

func (l Log) problems() []error {
	var problems []error
	if !oneOf(l.Level, "debug", "info", "warn", "error") {
		problems = append(problems, fmt.Errorf("log.level: %q: want debug, info, warn or error", l.Level))
	}
	if !oneOf(l.Format, "text", "json") {
		problems = append(problems, fmt.Errorf("log.format: %q: want text or json", l.Format))
	}
	if l.MaxSize < 0 {
		problems = append(problems, fmt.Errorf("log.max_size: %d is negative", int64(l.MaxSize)))
	}
	if l.Keep < 0 || l.Keep > maxKeep {
		problems = append(problems, fmt.Errorf("log.keep: %d: want 0 to %d", l.Keep, maxKeep))
	}
	return problems
}

func (n Network) problems() []error {
	var problems []error
	if len(n.Listen) == 0 {
		problems = append(problems, errors.New("network.listen: is empty: want at least one multiaddr"))
	}
	if n.Keep < 8 {
		problems = append(problems, fmt.Errorf("network.keep: %d: want at least 8", n.Keep))
	}
	if n.AskAll < 1 {
		problems = append(problems, fmt.Errorf("network.ask_all: %d: want at least 1", n.AskAll))
	}
	for i, text := range n.Listen {
		if !strings.HasPrefix(text, "/") {
			problems = append(problems, fmt.Errorf("network.listen[%d]: %q: want a multiaddr, such as /ip4/0.0.0.0/tcp/4001", i, text))
		}
	}
	for i, text := range n.Bootstrap {
		if !strings.HasPrefix(text, "/") || !strings.Contains(text, "/p2p/") {
			problems = append(problems, fmt.Errorf("network.bootstrap[%d]: %q: want a multiaddr that ends in /p2p/ID", i, text))
		}
	}
	return problems
}

// loopback checks that an address cannot be reached from other machines.
func loopback(address string) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("%q: want host:port", address)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return fmt.Errorf("%q: want an address on loopback, such as 127.0.0.1:0", address)
	}
	return nil
}

func oneOf(text string, allowed ...string) bool {
	for _, a := range allowed {
		if text == a {
			return true
		}
	}
	return false
}

func unprintable(r rune) bool { return r < ' ' || r == 0x7f || r == '\uFFFD' }

package p2p

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"

	"cairn/internal/wholefile"
	"cairn/p2p/wire"
	"cairn/share"
)

// Limits of the peer book.
const (
	maxBookFile    = 8 << 20
	maxBookEntries = 2048
	bookVersion    = 1
)

// A book is the file that remembers members across restarts. It is a cache: losing it costs a bootstrap.
type book struct {
	path, grid string
	log        *slog.Logger
}

type bookFile struct {
	Version int         `json:"version"`
	Grid    string      `json:"grid"`
	Members []bookEntry `json:"members"`
}

type bookEntry struct {
	ID        string    `json:"id"`
	Nickname  string    `json:"nickname,omitempty"`
	Storage   bool      `json:"storage,omitempty"`
	Serves    bool      `json:"serves,omitempty"`
	Offers    int64     `json:"offers,omitempty"` // bytes, as it last said
	Addresses []string  `json:"addresses"`
	LastSeen  time.Time `json:"last_seen"`
}

// load returns the remembered members. A book that cannot be used is moved aside with a warning.
func (b book) load() []*member {
	if b.path == "" {
		return nil
	}
	data, err := readBounded(b.path, maxBookFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var list []*member
	if err == nil {
		list, err = parseBook(data, b.grid)
	}
	if err == nil {
		return list
	}
	aside := b.path + ".damaged"
	b.log.Warn("the list of known members cannot be used and is moved aside", "path", b.path, "to", aside, "error", err)
	if err := os.Rename(b.path, aside); err != nil {
		b.log.Warn("move the list of known members aside", "error", err)
	}
	return nil
}

func parseBook(data []byte, grid string) ([]*member, error) {
	var file bookFile
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&file); err != nil {
		return nil, fmt.Errorf("%w: %v", share.ErrCorrupt, err)
	}
	switch {
	case file.Version != bookVersion:
		return nil, fmt.Errorf("%w: version %d, want %d", share.ErrVersion, file.Version, bookVersion)
	case file.Grid != grid:
		return nil, fmt.Errorf("%w: it is of grid %.64q", share.ErrCorrupt, file.Grid)
	case len(file.Members) > maxBookEntries:
		return nil, fmt.Errorf("%w: %d members, at most %d", share.ErrTooLarge, len(file.Members), maxBookEntries)
	}
	list := make([]*member, 0, len(file.Members))
	for _, e := range file.Members {
		m, err := e.member()
		if err != nil {
			return nil, fmt.Errorf("%w: %v", share.ErrCorrupt, err)
		}
		list = append(list, m)
	}
	return list, nil
}

func (e bookEntry) member() (*member, error) {
	id, err := peer.Decode(e.ID)
	if err != nil {
		return nil, err
	}
	m := newMember(id)
	m.met, m.lastSeen = true, e.LastSeen
	m.hello.Nickname, m.hello.Storage, m.hello.Serves = wire.CleanNickname(e.Nickname), e.Storage, e.Serves
	m.hello.Space.Offered = max(0, e.Offers)
	for _, text := range e.Addresses {
		a, err := multiaddr.NewMultiaddr(text)
		if err != nil {
			return nil, err
		}
		m.hear([]multiaddr.Multiaddr{a})
	}
	return m, nil
}

func entryOf(m *member) bookEntry {
	return bookEntry{
		ID: string(m.server), Nickname: m.hello.Nickname, Storage: m.hello.Storage, Serves: m.hello.Serves, Offers: m.hello.Space.Offered,
		Addresses: append([]string{}, m.texts...), LastSeen: m.lastSeen.UTC().Truncate(time.Second),
	}
}

// save writes the members, the most recently seen first, and leaves out what is too much.
func (b book) save(members []bookEntry) error {
	if b.path == "" {
		return nil
	}
	slices.SortFunc(members, func(x, y bookEntry) int { return y.LastSeen.Compare(x.LastSeen) })
	file := bookFile{Version: bookVersion, Grid: b.grid, Members: members[:min(len(members), maxBookEntries)]}
	data, err := json.MarshalIndent(file, "", "\t")
	if err != nil {
		return fmt.Errorf("remember members: %w", err)
	}
	if err := wholefile.Write(b.path, append(data, '\n'), 0o600); err != nil {
		return fmt.Errorf("remember members: %w", err)
	}
	return nil
}

package mutable

import (
	"context"
	"fmt"
	"slices"

	"cairn/grid/file"
	"cairn/share"
	"cairn/share/keys"
)

// A Page is a small immutable file that is stored in the same exchange as a version. Seal makes one whose storage index is
// known before it is stored; a Page of Key and Data alone is sealed when it is written.
type Page struct {
	Key  keys.ReadKey
	Data []byte

	params share.Params
	small  *file.Small // nil until it is sealed
}

// Seal encrypts and encodes a page. The storage index that Index returns then follows from the arguments alone: together
// with the key it is the page's capability. The key belongs to this page only, or follows from its data: two pages under one
// key would betray their difference.
func Seal(params share.Params, key keys.ReadKey, data []byte) (Page, error) {
	p := Page{Key: key, Data: data}
	return p, p.seal(params)
}

// Index returns the storage index of a sealed page, and zero for one that is not.
func (p Page) Index() share.StorageIndex {
	if p.small == nil {
		return share.StorageIndex{}
	}
	return p.small.Index
}

func (p *Page) seal(params share.Params) error {
	small, err := file.EncodeSmall(params, 0, p.Key, nil, p.Data)
	if err != nil {
		return fmt.Errorf("page: %w", err)
	}
	p.small, p.params = &small, params
	return nil
}

// A Ref is what opens one page.
type Ref = file.Ref

// Pages reads pages of a mutable file or directory, in the order of the references, from the name's head servers and in as
// few round trips as their size allows. What they do not have is looked for like any immutable file. The errors are
// those of file.Open, for the first page that cannot be read.
func (m *Files) Pages(ctx context.Context, name share.Name, refs []Ref) ([][]byte, error) {
	return m.fetch(ctx, m.headServers(ctx, name), refs)
}

// Fetch reads small immutable files, as Pages does, from all servers: those of an immutable directory have no name.
func (m *Files) Fetch(ctx context.Context, refs []Ref) ([][]byte, error) {
	return m.fetch(ctx, nil, refs)
}

func (m *Files) fetch(ctx context.Context, first []headServer, refs []Ref) ([][]byte, error) {
	out := make([][]byte, len(refs))
	if len(refs) == 0 {
		return out, nil
	}
	servers := m.env.Servers(ctx)
	if len(first) > 0 && len(first) < len(servers) {
		known := map[share.ServerID]bool{}
		var order []share.Server
		for _, s := range first {
			known[s.ID] = true
			order = append(order, s.Server)
		}
		servers = append(order, slices.DeleteFunc(slices.Clone(servers), func(s share.Server) bool { return known[s.ID] })...)
	}
	fetched, err := file.FetchBatch(ctx, servers, refs, file.FetchOptions{
		Params: m.env.Params(ctx), First: len(first), Find: m.finders, Log: m.env.Logger,
	})
	if err != nil {
		return nil, err
	}
	for i, f := range fetched {
		if f.Err != nil {
			return nil, fmt.Errorf("page %s: %w", refs[i].Index, f.Err)
		}
		out[i] = f.Data
	}
	return out, nil
}

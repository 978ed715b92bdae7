package mutable

import (
	"context"
	"errors"
	"fmt"
	"io"

	"cairn/share"
	"cairn/share/encoding"
	"cairn/share/erasure"
	"cairn/share/keys"
)

// A Page is a small immutable file that is stored in the same exchange as a version. Seal makes one whose storage index is
// known before it is stored; a Page of Key and Data alone is sealed when it is written.
type Page struct {
	Key  keys.ReadKey
	Data []byte

	index  share.StorageIndex
	params share.Params
	shares [][]byte
}

// Seal encrypts and encodes a page. The storage index that Index returns then follows from the arguments alone: together
// with the key it is the page's capability. The key belongs to this page only, or follows from its data: two pages under one
// key would betray their difference.
func Seal(params share.Params, key keys.ReadKey, data []byte) (Page, error) {
	p := Page{Key: key, Data: data}
	return p, p.seal(params)
}

// Index returns the storage index of a sealed page.
func (p Page) Index() share.StorageIndex { return p.index }

func (p *Page) seal(params share.Params) error {
	root, shares, err := encode(params, p.Key, nil, p.Data)
	if err != nil {
		return fmt.Errorf("page: %w", err)
	}
	p.index, p.params, p.shares = root.StorageIndex(), params, shares
	return nil
}

// encode encodes a small file in memory.
func encode(params share.Params, key keys.ReadKey, salt, data []byte) (encoding.Root, [][]byte, error) {
	code, err := erasure.New(params.Needed, params.Total)
	if err != nil {
		return encoding.Root{}, nil, err
	}
	root, shares, err := encoding.Shares(data, key.File(salt), encoding.Options{
		Code: code, BlockSize: encoding.BlockSizeFor(params.Total), Salt: salt,
	})
	if err != nil {
		return encoding.Root{}, nil, err
	}
	if len(shares[0]) > share.MaxWholeShare {
		return encoding.Root{}, nil, fmt.Errorf("%w: shares of %d bytes, at most %d", share.ErrTooLarge, len(shares[0]), share.MaxWholeShare)
	}
	return root, shares, nil
}

// A Ref is what opens one page.
type Ref struct {
	Index share.StorageIndex
	Key   keys.ReadKey
}

// pageLimit bounds a page that is read whole.
const pageLimit = share.MaxWholeShare * share.MaxTotal

// Pages reads pages of a mutable file or directory, in the order of the references, from the name's head servers and in as
// few round trips as their size allows. What they do not have is looked for like any immutable file. The errors are
// those of file.Open, for the first page that cannot be read.
func (m *Files) Pages(ctx context.Context, name share.Name, refs []Ref) ([][]byte, error) {
	out := make([][]byte, len(refs))
	for i, ref := range refs {
		data, err := m.page(ctx, ref)
		if err != nil {
			return nil, fmt.Errorf("page %s: %w", ref.Index, err)
		}
		out[i] = data
	}
	return out, nil
}

func (m *Files) page(ctx context.Context, ref Ref) ([]byte, error) {
	r, err := m.open(ctx, ref.Index, ref.Key)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	if r.Size() > pageLimit {
		return nil, fmt.Errorf("%w: %d bytes", share.ErrTooLarge, r.Size())
	}
	data := make([]byte, r.Size())
	if _, err := r.ReadAt(ctx, data, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return data, nil
}

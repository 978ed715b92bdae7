package dir

import (
	"container/list"
	"sync"

	"cairn/grid/dir/page"
	"cairn/share"
	"cairn/share/capability"
)

// cacheBytes bounds the pages that are kept in memory, by their encoded size.
const cacheBytes = 16 << 20

// A cache keeps the pages that were used last. Pages in it are shared and never changed.
type cache struct {
	max int

	mu    sync.Mutex // guards what follows
	size  int
	order *list.List // of *cached, the last used in front
	pages map[share.StorageIndex]*list.Element
}

type cached struct {
	ref  page.Ref
	page page.Page
	size int
}

func newCache(max int) *cache {
	return &cache{max: max, order: list.New(), pages: map[share.StorageIndex]*list.Element{}}
}

// get returns a page to who has its key as well as its index.
func (c *cache) get(ref page.Ref) (page.Page, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	at, ok := c.pages[ref.Index]
	if !ok || at.Value.(*cached).ref.Key != ref.Key {
		return page.Page{}, false
	}
	c.order.MoveToFront(at)
	return at.Value.(*cached).page, true
}

func (c *cache) put(ref page.Ref, p page.Page, size int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.pages[ref.Index]; ok {
		return
	}
	c.pages[ref.Index] = c.order.PushFront(&cached{ref, p, size})
	c.size += size
	for c.size > c.max && c.order.Len() > 1 {
		last := c.order.Remove(c.order.Back()).(*cached)
		delete(c.pages, last.ref.Index)
		c.size -= last.size
	}
}

// maxWritten is how many directories' last versions are remembered.
const maxWritten = 64

// written remembers the versions that were written last.
type written struct {
	mu   sync.Mutex // guards what follows
	last map[share.Name]*Directory
}

func (w *written) put(x *Directory) {
	w.mu.Lock()
	defer w.mu.Unlock()
	name, _ := x.c.Name()
	if len(w.last) >= maxWritten {
		for other := range w.last {
			delete(w.last, other)
			break
		}
	}
	w.last[name] = x
}

// get returns what was written with this capability, nil when that is not known.
func (w *written) get(c capability.Capability) *Directory {
	w.mu.Lock()
	defer w.mu.Unlock()
	name, _ := c.Name()
	return w.last[name]
}

func (w *written) forget(name share.Name) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.last, name)
}

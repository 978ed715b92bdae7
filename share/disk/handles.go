package disk

import (
	"container/list"
	"sync"
)

// maxIdleHandles is how many files stay open for the next reader.
const maxIdleHandles = 128

// handles keeps files open that are read again and again. It is safe for concurrent use.
type handles struct {
	files files

	mu     sync.Mutex
	byName map[string]*handle
	idle   list.List // of *handle, the longest idle first
}

// A handle is one open file and how many readers use it.
type handle struct {
	owner   *handles
	name    string
	file    file
	users   int
	evicted bool          // to be closed by the last user
	element *list.Element // in idle while nobody uses it
}

func newHandles(f files) *handles { return &handles{files: f, byName: map[string]*handle{}} }

// open returns the file, which the caller releases.
func (h *handles) open(name string) (*handle, error) {
	if found := h.take(name); found != nil {
		return found, nil
	}
	f, err := h.files.Open(name, openRead)
	if err != nil {
		return nil, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	made := &handle{owner: h, name: name, file: f, users: 1}
	if h.byName[name] != nil {
		made.evicted = true // somebody was faster; this one is closed after use
	} else {
		h.byName[name] = made
	}
	return made, nil
}

func (h *handles) take(name string) *handle {
	h.mu.Lock()
	defer h.mu.Unlock()
	found := h.byName[name]
	if found == nil {
		return nil
	}
	if found.element != nil {
		h.idle.Remove(found.element)
		found.element = nil
	}
	found.users++
	return found
}

// stale reports whether the file was replaced or moved since it was opened.
func (hd *handle) stale() bool {
	hd.owner.mu.Lock()
	defer hd.owner.mu.Unlock()
	return hd.evicted
}

func (hd *handle) release() {
	h := hd.owner
	h.mu.Lock()
	defer h.mu.Unlock()
	hd.users--
	if hd.users > 0 {
		return
	}
	if hd.evicted {
		hd.file.Close()
		return
	}
	hd.element = h.idle.PushBack(hd)
	if h.idle.Len() > maxIdleHandles {
		h.drop(h.idle.Front().Value.(*handle))
	}
}

// evict forgets a file that was replaced or moved; who reads it keeps reading the old one.
func (h *handles) evict(name string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if found := h.byName[name]; found != nil {
		h.drop(found)
	}
}

// drop takes a handle out of the cache. Its caller holds the mutex.
func (h *handles) drop(hd *handle) {
	delete(h.byName, hd.name)
	if hd.element == nil {
		hd.evicted = true
		return
	}
	h.idle.Remove(hd.element)
	hd.element = nil
	hd.file.Close()
}

// close closes every idle file; those in use are closed by their last user.
func (h *handles) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, hd := range h.byName {
		h.drop(hd)
	}
}

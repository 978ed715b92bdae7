package s3

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"sync"
	"time"

	bolt "go.etcd.io/bbolt"

	"cairn/internal/boltfile"
	"cairn/share"
)

var (
	filesBucket   = []byte("files")   // storage index: fileRecord
	namesBucket   = []byte("names")   // name: nameRecord
	uploadsBucket = []byte("uploads") // uploadName: doneRecord
	objectsBucket = []byte("objects") // key: objectRecord
	goneBucket    = []byte("gone")    // keys of objects that are to be deleted
	// condemnedBucket: key of the object, storage index and number: condemnedRecord
	condemnedBucket = []byte("condemned")
	wantsBucket     = []byte("wants") // storage index and name: the name wants the file
	metaBucket      = []byte("meta")
	completeKey     = []byte("complete") // set once the index has all that the bucket holds
	prefixKey       = []byte("prefix")   // the id in the marker of the prefix
	lastKey         = []byte("last")     // the process that used the index last, as the lock names it
	nextKey         = []byte("next")     // the one that was about to take the lock, and may have it
	urlKey          = []byte("url")      // of the bucket, as the settings have it
	endpointKey     = []byte("endpoint")
	useKey          = []byte("use") // what the bucket is for

	condemnedBytesKey = []byte("condemned bytes") // how many all condemned shares have
)

const indexName = "index.db"

// An index says what the bucket holds. It is a file of this machine, and lost without harm.
type index struct {
	file *boltfile.File

	mu     sync.Mutex
	totals totals
}

// totals are what is held altogether. Open counts them.
type totals struct {
	bytes   int64 // of shares and of records of heads
	owners  map[string]int64
	objects int64
	stored  int64 // of objects
}

// errOther says that an index is that of another prefix or bucket.
var errOther = errors.New("the index of another bucket")

// openIndex opens the index of a prefix in a folder; one that is damaged, or of another prefix where nothing is held, is moved aside. It reports whether the index is one of all that the bucket
// holds, which a new one is not.
func openIndex(folder, id string) (x *index, complete bool, err error) {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, false, fmt.Errorf("index: %w", err)
	}
	path := filepath.Join(folder, indexName)
	for try := 0; ; try++ {
		x, complete, err = loadIndex(path, id)
		switch {
		case errors.Is(err, boltfile.ErrInUse):
			return nil, false, fmt.Errorf("index %s: %w: %w", path, share.ErrBusy, err)
		case err == nil || try > 0 || !errors.Is(err, boltfile.ErrDamaged) && !errors.Is(err, share.ErrCorrupt) && !errors.Is(err, errOther):
			return x, complete, err
		}
		if err := setAside(path); err != nil {
			return nil, false, err
		}
	}
}

func setAside(path string) error {
	if err := os.Rename(path, path+time.Now().UTC().Format(".aside-20060102T150405")); err != nil {
		return fmt.Errorf("index: %w", err)
	}
	return nil
}

func loadIndex(path, id string) (*index, bool, error) {
	file, err := boltfile.Open(path, time.Second, filesBucket, namesBucket, uploadsBucket, objectsBucket, goneBucket, condemnedBucket, wantsBucket, metaBucket)
	if err != nil {
		return nil, false, err
	}
	x := &index{file: file}
	var complete bool
	err = file.Update(func(tx *bolt.Tx) error {
		if of := tx.Bucket(metaBucket).Get(prefixKey); of == nil {
			if err := tx.Bucket(metaBucket).Put(prefixKey, []byte(id)); err != nil {
				return err
			}
		} else if string(of) != id {
			return errOther
		}
		complete = tx.Bucket(metaBucket).Get(completeKey) != nil
		return x.countAll(tx)
	})
	if err != nil {
		return nil, false, errors.Join(err, file.Close())
	}
	return x, complete, nil
}

// countAll computes the totals.
func (x *index) countAll(tx *bolt.Tx) error {
	x.totals = totals{owners: map[string]int64{}}
	err := tx.Bucket(filesBucket).ForEach(func(_, data []byte) error {
		var f fileRecord
		if err := unseal(data, &f); err != nil {
			return err
		}
		x.totals.addFile(&f, 1)
		return nil
	})
	if err != nil {
		return err
	}
	err = tx.Bucket(namesBucket).ForEach(func(_, data []byte) error {
		var n nameRecord
		if err := unseal(data, &n); err != nil {
			return err
		}
		x.totals.addName(&n, 1)
		return nil
	})
	if err != nil {
		return err
	}
	return tx.Bucket(objectsBucket).ForEach(func(_, data []byte) error {
		var o objectRecord
		if err := unseal(data, &o); err != nil {
			return err
		}
		x.totals.objects, x.totals.stored = x.totals.objects+1, x.totals.stored+o.Size
		return nil
	})
}

func (t *totals) add(owner string, n int64) {
	if t.owners[owner] += n; t.owners[owner] == 0 {
		delete(t.owners, owner)
	}
}

func (t *totals) addFile(f *fileRecord, times int64) {
	bytes := f.bytes()
	t.bytes += times * bytes
	for _, l := range f.Leases {
		t.add(l.Owner, times*bytes)
	}
}

func (t *totals) addName(n *nameRecord, times int64) {
	t.bytes += times * n.size()
	if len(n.Versions) > 0 {
		t.add(n.Lease.Owner, times*n.size())
	}
}

func (x *index) close() error { return x.file.Close() }

// usedBy reports whether a process used the index last, as far as the index tells.
func (x *index) usedBy(process string) (used bool, err error) {
	err = x.file.View(func(tx *bolt.Tx) error {
		meta := tx.Bucket(metaBucket)
		used = process != "" && (process == string(meta.Get(lastKey)) || process == string(meta.Get(nextKey)))
		return nil
	})
	return used, err
}

// note writes down which process used the index last, which is about to, and by which settings.
func (x *index) note(last, next string, c Config) error {
	return x.file.Update(func(tx *bolt.Tx) error {
		meta := tx.Bucket(metaBucket)
		return errors.Join(meta.Put(lastKey, []byte(last)), meta.Put(nextKey, []byte(next)),
			meta.Put(urlKey, []byte(c.URL())), meta.Put(endpointKey, []byte(c.Endpoint)), meta.Put(useKey, []byte(c.Use)))
	})
}

// get reads the record of a key and reports whether there is one.
func get(tx *bolt.Tx, bucket, key []byte, record any) (bool, error) {
	data := tx.Bucket(bucket).Get(key)
	if data == nil {
		return false, nil
	}
	if err := unseal(data, record); err != nil {
		return false, fmt.Errorf("index: %w", err)
	}
	return true, nil
}

// files returns what is held of each storage index.
func (x *index) files(indexes ...share.StorageIndex) ([]fileRecord, error) {
	files := make([]fileRecord, len(indexes))
	err := x.file.View(func(tx *bolt.Tx) error {
		for i := range indexes {
			if _, err := get(tx, filesBucket, indexes[i][:], &files[i]); err != nil {
				return err
			}
		}
		return nil
	})
	return files, err
}

func (x *index) name(of share.Name) (n nameRecord, err error) {
	err = x.file.View(func(tx *bolt.Tx) error {
		_, err := get(tx, namesBucket, of[:], &n)
		return err
	})
	return n, err
}

// A change is a transaction of the index. Records that were read through it are written at its end.
type change struct {
	tx      *bolt.Tx
	now     time.Time
	files   map[share.StorageIndex]*fileRecord
	names   map[share.Name]*nameRecord
	objects map[string]*objectRecord
	delta   totals
}

// update changes the index in one step. What the totals become is true when it returns nil; settle is called in the same moment, with
// the lock of the totals held.
func (x *index) update(edit func(*change) error, settle func()) error {
	var c *change
	err := x.file.Update(func(tx *bolt.Tx) error {
		c = &change{
			tx: tx, now: time.Now(), files: map[share.StorageIndex]*fileRecord{}, names: map[share.Name]*nameRecord{},
			objects: map[string]*objectRecord{}, delta: totals{owners: map[string]int64{}},
		}
		if err := edit(c); err != nil {
			return err
		}
		return c.write()
	})
	if err != nil {
		return err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.totals.bytes += c.delta.bytes
	x.totals.objects += c.delta.objects
	x.totals.stored += c.delta.stored
	for owner, n := range c.delta.owners {
		x.totals.add(owner, n)
	}
	if settle != nil {
		settle()
	}
	return nil
}

// file returns the record of a storage index, which may be changed.
func (c *change) file(index share.StorageIndex) (*fileRecord, error) {
	if f := c.files[index]; f != nil {
		return f, nil
	}
	f := &fileRecord{}
	if _, err := get(c.tx, filesBucket, index[:], f); err != nil {
		return nil, err
	}
	c.delta.addFile(f, -1)
	c.files[index] = f
	return f, nil
}

func (c *change) name(of share.Name) (*nameRecord, error) {
	if n := c.names[of]; n != nil {
		return n, nil
	}
	n := &nameRecord{}
	if _, err := get(c.tx, namesBucket, of[:], n); err != nil {
		return nil, err
	}
	c.delta.addName(n, -1)
	c.names[of] = n
	return n, nil
}

func (c *change) object(key string) (*objectRecord, error) {
	if o := c.objects[key]; o != nil {
		return o, nil
	}
	o := &objectRecord{}
	found, err := get(c.tx, objectsBucket, []byte(key), o)
	if err != nil {
		return nil, err
	}
	if found {
		c.delta.objects, c.delta.stored = c.delta.objects-1, c.delta.stored-o.Size
	}
	c.objects[key] = o
	return o, nil
}

// hold puts a member of an object into the index, under its lease. One that a newer object holds already gets the lease; one of an older
// object is replaced, because a share is stored again only where the older one was found bad, moved or let go.
func (c *change) hold(m member, key string, root []byte) error {
	f, err := c.file(m.Index)
	if err != nil {
		return err
	}
	if err := f.lease(m.Lease); err != nil {
		return err
	}
	if err := c.done(m); err != nil {
		return err
	}
	if old, held := f.share(m.Number); held {
		if timeOf(key) <= timeOf(old.Key) {
			return nil
		}
		if err := c.drop(f, old); err != nil {
			return err
		}
	}
	o, err := c.object(key)
	if err != nil {
		return err
	}
	o.Live, o.Shares = o.Live+m.Size, o.Shares+1
	f.Root = root
	f.put(m.record(key))
	return nil
}

// done remembers that an upload has been committed.
func (c *change) done(m member) error {
	if m.Upload == (uploadName{}) {
		return nil
	}
	var d doneRecord
	if _, err := get(c.tx, uploadsBucket, m.Upload[:], &d); err != nil {
		return err
	}
	for i := range d.Committed {
		if d.Committed[i].Number == m.Number {
			d.Committed[i].Index = m.Index
			return c.tx.Bucket(uploadsBucket).Put(m.Upload[:], seal(d))
		}
	}
	d.Committed = append(d.Committed, committed{Number: m.Number, Index: m.Index})
	return c.tx.Bucket(uploadsBucket).Put(m.Upload[:], seal(d))
}

// drop takes a share out of the index.
func (c *change) drop(f *fileRecord, s shareRecord) error {
	o, err := c.object(s.Key)
	if err != nil {
		return err
	}
	o.Live, o.Shares = o.Live-s.Size, o.Shares-1
	kept := f.Shares[:0]
	for _, other := range f.Shares {
		if other.Number != s.Number {
			kept = append(kept, other)
		}
	}
	f.Shares = kept
	return nil
}

// write writes what was changed. An object in which nothing is held any more, and nothing is condemned, is to be deleted.
func (c *change) write() error {
	for index, f := range c.files {
		if err := c.writeOne(filesBucket, index[:], f, len(f.Shares) == 0); err != nil {
			return err
		}
		if len(f.Shares) > 0 {
			c.delta.addFile(f, 1)
		}
	}
	for name, n := range c.names {
		if err := c.writeOne(namesBucket, name[:], n, len(n.Versions) == 0); err != nil {
			return err
		}
		c.delta.addName(n, 1)
	}
	for key, o := range c.objects {
		over := o.Shares == 0 && !c.condemnedIn(key)
		if err := c.writeOne(objectsBucket, []byte(key), o, over); err != nil {
			return err
		}
		if !over {
			c.delta.objects, c.delta.stored = c.delta.objects+1, c.delta.stored+o.Size
			continue
		}
		if err := c.tx.Bucket(goneBucket).Put([]byte(key), []byte{1}); err != nil {
			return err
		}
	}
	return nil
}

func (c *change) writeOne(bucket, key []byte, record any, empty bool) error {
	if empty {
		return c.tx.Bucket(bucket).Delete(key)
	}
	return c.tx.Bucket(bucket).Put(key, seal(record))
}

// held returns the totals.
func (x *index) held() totals {
	x.mu.Lock()
	defer x.mu.Unlock()
	t := x.totals
	t.owners = maps.Clone(t.owners)
	return t
}

package s3

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"cairn/internal/wholefile"
	"cairn/share"
	"cairn/share/column"
	"cairn/share/encoding"
)

const (
	partMin   = 8 << 20 // bytes of a part, if it need not be more
	partsMost = 9000    // parts of one share of known size; S3 knows 10 000
	partSteps = 1000    // after so many parts they become twice as large
)

// A session is an unfinished upload of one share. The writer that came last owns it. Blocks are kept in memory until they fill a part, which
// goes to the bucket; what has not filled one is written to a folder when the writer is closed.
type session struct {
	store *Store
	key   sessionKey
	dir   string

	gate    gate // guards what follows
	gone    bool // committed or forgotten
	writer  *writer
	column  *column.Column
	upload  share.Upload
	used    time.Time
	charged int64

	object  string // key of the object that the parts become; empty while there are none
	id      string // of the upload in parts
	parts   []part
	checked bool    // the server was asked for the parts since the store was opened
	flying  *flight // a part on its way
	sent    int64   // bytes of blocks in parts
	tail    []byte  // blocks behind the parts
	rows    rows
	resting *stateRecord // what is in the folder, while tail and rows are not in memory
}

type sessionKey struct {
	owner  string
	id     share.UploadID
	number share.Number
}

// nameUpload returns the name under which an upload is remembered.
func nameUpload(owner string, id share.UploadID) uploadName {
	return sha256.Sum256(append([]byte(owner), id[:]...))
}

func (k sessionKey) folder() string {
	name := nameUpload(k.owner, k.id)
	return hex.EncodeToString(name[:16]) + "." + k.number.String()
}

// A stateRecord is what the folder of an upload says of it.
type stateRecord struct {
	_         struct{} `cbor:",toarray"`
	Lease     leaseRecord
	ID        share.UploadID
	Number    share.Number
	Needed    int
	Total     int
	BlockSize int
	Size      int64
	Object    string
	Upload    string
	Parts     []part
	Sent      int64
	Rows      int64
	RowSum    uint32
	Tail      int64
	TailSum   uint32
	Used      int64 // Unix seconds
}

func (r *stateRecord) upload() share.Upload {
	return share.Upload{
		ID: r.ID, Number: r.Number, Needed: r.Needed, Total: r.Total, BlockSize: r.BlockSize, Size: r.Size,
		Lease: share.Lease{Owner: r.Lease.Owner, Expires: time.Unix(r.Lease.Expires, 0)},
	}
}

// rows are the digests of an upload one after the other, in memory until the first part is sent and in a file from then on.
type rows struct {
	mem  []byte
	file *os.File
	size int64
	sum  uint32
}

func (r *rows) append(digests []share.Digest) error {
	data := encoding.AppendDigests(nil, digests)
	if r.file == nil {
		r.mem = append(r.mem, data...)
	} else if _, err := r.file.WriteAt(data, r.size); err != nil {
		return err
	}
	r.size, r.sum = r.size+int64(len(data)), crc32.Update(r.sum, castagnoli, data)
	return nil
}

func (r *rows) close() {
	if r.file != nil {
		_ = r.file.Close() // what must be stable was synced
	}
	*r = rows{}
}

// partSize returns how many bytes of blocks the next part has: whole blocks.
func (s *session) partSize() int {
	size := s.store.config.part << (len(s.parts) / partSteps)
	if s.upload.Size >= 0 {
		size = max(s.store.config.part, column.ShareSize(s.upload)/partsMost)
	}
	block := int64(s.upload.BlockSize)
	return int((size + block - 1) / block * block)
}

func (s *session) bytes() int64 {
	switch {
	case s.resting != nil:
		return s.resting.Sent + s.resting.Tail
	case s.flying != nil:
		return s.sent + int64(len(s.flying.data)) + int64(len(s.tail))
	}
	return s.sent + int64(len(s.tail))
}

func (s *session) rowBytes() int64 {
	if s.resting != nil {
		return s.resting.Rows
	}
	return s.rows.size
}

// charge tells the space what the upload takes.
func (s *session) charge() error {
	takes := s.bytes() + s.rowBytes()
	if s.writer != nil && s.upload.Size >= 0 {
		takes = max(takes, column.ShareSize(s.upload))
	}
	if takes == s.charged {
		return nil
	}
	if err := s.store.space.charge(s.key.owner, s.charged, takes); err != nil {
		return err
	}
	s.charged = takes
	return nil
}

// progress says how far the upload is, unless it is gone.
func (s *session) progress(ctx context.Context) (p share.Progress, ok bool, err error) {
	if err := s.gate.lock(ctx); err != nil {
		return p, false, err
	}
	defer s.gate.unlock()
	return share.Progress{Number: s.key.number, Blocks: column.Resume(s.upload, s.bytes()).Blocks()}, !s.gone, nil
}

// wake takes into memory what the folder has. What cannot be right is forgotten.
func (s *session) wake(ctx context.Context) error {
	if s.resting == nil {
		return nil
	}
	err := s.load(ctx)
	if errors.Is(err, share.ErrCorrupt) || errors.Is(err, os.ErrNotExist) || errors.Is(err, errNoKey) {
		s.store.log.Warn("an unfinished upload begins anew", "upload", s.dir, "reason", err)
		return s.reset(ctx)
	}
	return err
}

func (s *session) load(ctx context.Context) error {
	r := s.resting
	if err := s.checkParts(ctx, r); err != nil {
		return err
	}
	tail, err := os.ReadFile(filepath.Join(s.dir, "tail"))
	if errors.Is(err, os.ErrNotExist) && r.Tail == 0 {
		tail, err = nil, nil
	}
	if err != nil {
		return err
	}
	if r.Tail == 0 {
		tail = nil // of an earlier rest
	}
	if int64(len(tail)) != r.Tail || checksum(tail) != r.TailSum {
		return fmt.Errorf("its last blocks: %w", share.ErrCorrupt)
	}
	loaded, err := s.loadRows(r)
	if err != nil {
		return err
	}
	s.object, s.id, s.parts, s.sent, s.tail, s.rows, s.resting = r.Object, r.Upload, r.Parts, r.Sent, tail, loaded, nil
	s.column = column.Resume(s.upload, s.bytes())
	return nil
}

// loadRows opens the file of digests and checks it.
func (s *session) loadRows(r *stateRecord) (rows, error) {
	if r.Rows == 0 {
		return rows{}, nil
	}
	file, err := os.OpenFile(filepath.Join(s.dir, "rows"), os.O_RDWR, 0)
	if err != nil {
		return rows{}, err
	}
	hash := crc32.New(castagnoli)
	var mem []byte
	if len(r.Parts) == 0 {
		if mem, err = io.ReadAll(io.LimitReader(file, r.Rows)); err == nil {
			_, _ = hash.Write(mem)
		}
	} else {
		_, err = io.Copy(hash, io.NewSectionReader(file, 0, r.Rows))
	}
	if err == nil && hash.Sum32() != r.RowSum {
		err = fmt.Errorf("its digests: %w", share.ErrCorrupt)
	}
	if err != nil || len(r.Parts) == 0 {
		return rows{mem: mem, size: r.Rows, sum: r.RowSum}, errors.Join(err, file.Close())
	}
	return rows{file: file, size: r.Rows, sum: r.RowSum}, nil
}

// checkParts asks the server once whether it still has the parts.
func (s *session) checkParts(ctx context.Context, r *stateRecord) error {
	if s.checked || r.Upload == "" {
		return nil
	}
	there, err := s.store.bucket.parts(ctx, r.Object, r.Upload)
	if err != nil {
		return err
	}
	for _, p := range r.Parts {
		if there[p.Number].Tag != p.Tag || there[p.Number].Size != p.Size {
			return fmt.Errorf("part %d in the bucket: %w", p.Number, share.ErrCorrupt)
		}
	}
	s.checked = true
	return nil
}

// reset makes the upload an empty one.
func (s *session) reset(ctx context.Context) error {
	if err := s.discard(ctx); err != nil {
		return err
	}
	s.column = column.New(s.upload)
	return s.charge()
}

// discard forgets what the upload has, in the bucket and in its folder.
func (s *session) discard(ctx context.Context) error {
	if s.flying != nil {
		s.flying.cancel()
		<-s.flying.done
	}
	object, id := s.object, s.id
	if s.resting != nil {
		object, id = s.resting.Object, s.resting.Upload
	}
	s.rows.close()
	s.object, s.id, s.parts, s.flying, s.sent, s.tail, s.resting = "", "", nil, nil, 0, nil, nil
	if err := os.RemoveAll(s.dir); err != nil {
		return err
	}
	if id == "" {
		return nil
	}
	if err := s.store.bucket.abort(ctx, object, id); err != nil {
		s.store.log.Warn("parts of an upload stay in the bucket until the store is opened again", "key", object, "error", err)
	}
	return ctx.Err()
}

// A flight is a part on its way to the bucket.
type flight struct {
	data   []byte
	cancel context.CancelFunc
	rows   int64 // how many bytes of digests belong to what is in parts with it
	sum    uint32
	done   chan struct{}
	part   part
	err    error
}

// send puts the tail on its way as a part, after the one before has arrived.
func (s *session) send(ctx context.Context) error {
	if err := s.land(ctx); err != nil {
		return err
	}
	if err := s.begin(ctx); err != nil {
		return err
	}
	life, cancel := context.WithCancel(s.store.life)
	f := &flight{data: s.tail, cancel: cancel, rows: s.rows.size, sum: s.rows.sum, done: make(chan struct{})}
	s.flying, s.tail = f, make([]byte, 0, cap(s.tail))
	object, id, number := s.object, s.id, len(s.parts)+1
	s.store.running.Go(func() {
		defer close(f.done)
		defer cancel()
		f.part, f.err = s.store.bucket.putPart(life, object, id, number, f.data)
	})
	return nil
}

// begin begins the upload in parts, and the folder that tells of it.
func (s *session) begin(ctx context.Context) error {
	if s.id != "" {
		return nil
	}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return err
	}
	file, err := os.OpenFile(filepath.Join(s.dir, "rows"), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	key := s.store.keys.next(largePrefix)
	id, err := s.store.bucket.begin(ctx, key)
	if err == nil {
		_, err = file.WriteAt(s.rows.mem, 0)
	}
	if err != nil {
		return errors.Join(err, file.Close())
	}
	s.rows.mem, s.rows.file = nil, file
	s.object, s.id, s.checked = key, id, true
	return nil
}

// land waits for the part on its way, and notes that it is there.
func (s *session) land(ctx context.Context) error {
	f := s.flying
	if f == nil {
		return nil
	}
	select {
	case <-f.done:
	case <-ctx.Done():
		return ctx.Err()
	}
	s.flying = nil
	if f.err != nil {
		s.tail = append(f.data, s.tail...)
		return f.err
	}
	s.parts, s.sent = append(s.parts, f.part), s.sent+int64(len(f.data))
	if err := s.rows.file.Sync(); err != nil {
		return err
	}
	return s.writeState(f.rows, f.sum, nil)
}

// writeState writes what the folder says of the upload.
func (s *session) writeState(rows int64, rowSum uint32, tail []byte) error {
	u := s.upload
	s.used = time.Now()
	return wholefile.Write(filepath.Join(s.dir, "state"), seal(stateRecord{
		Lease: recordLease(u.Lease), ID: u.ID, Number: u.Number, Needed: u.Needed, Total: u.Total, BlockSize: u.BlockSize, Size: u.Size,
		Object: s.object, Upload: s.id, Parts: s.parts, Sent: s.sent, Rows: rows, RowSum: rowSum,
		Tail: int64(len(tail)), TailSum: checksum(tail), Used: s.used.Unix(),
	}), 0o600)
}

// rest writes to the folder what is in memory, and keeps it there only. A part that is on its way for longer than the context lasts
// is kept with the rest.
func (s *session) rest(ctx context.Context) error {
	s.writer = nil
	if s.resting != nil || s.gone {
		return s.charge()
	}
	landed := s.land(ctx)
	if f := s.flying; f != nil {
		f.cancel()
		<-f.done
		if landed = s.land(context.WithoutCancel(ctx)); f.err != nil {
			landed = nil // it was given up here
		}
	}
	if s.bytes() == 0 {
		return errors.Join(landed, s.charge())
	}
	if err := s.writeAll(); err != nil {
		return errors.Join(landed, err)
	}
	record, err := readState(s.dir)
	if err != nil {
		return errors.Join(landed, err)
	}
	s.rows.close()
	s.tail, s.resting = nil, &record
	return errors.Join(landed, s.charge())
}

func (s *session) writeAll() error {
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return err
	}
	if err := wholefile.Write(filepath.Join(s.dir, "tail"), s.tail, 0o600); err != nil {
		return err
	}
	var err error
	if s.rows.file == nil {
		err = wholefile.Write(filepath.Join(s.dir, "rows"), s.rows.mem, 0o600)
	} else {
		err = s.rows.file.Sync()
	}
	if err != nil {
		return err
	}
	return s.writeState(s.rows.size, s.rows.sum, s.tail)
}

func readState(dir string) (r stateRecord, err error) {
	data, err := os.ReadFile(filepath.Join(dir, "state"))
	if err != nil {
		return r, err
	}
	return r, unseal(data, &r)
}

// sessions are the unfinished uploads.
type sessions struct {
	store  *Store
	folder string

	mu     sync.Mutex
	all    map[sessionKey]*session
	buffer int64 // bytes that writers may have in memory altogether
}

// Bounds of unfinished uploads.
const (
	maxSessions      = 8192
	maxOwnerSessions = 1024
	maxBuffers       = 1 << 30 // bytes that all writers together have in memory
	staleSession     = 7 * 24 * time.Hour
)

// get finds or makes the session of an upload.
func (x *sessions) get(u share.Upload) (*session, error) {
	key := sessionKey{u.Lease.Owner, u.ID, u.Number}
	x.mu.Lock()
	defer x.mu.Unlock()
	if found := x.all[key]; found != nil {
		return found, nil
	}
	owners := 0
	for k := range x.all {
		if k.owner == key.owner {
			owners++
		}
	}
	if len(x.all) >= maxSessions || owners >= maxOwnerSessions {
		return nil, fmt.Errorf("%w: %d uploads are unfinished", share.ErrBusy, len(x.all))
	}
	made := &session{store: x.store, key: key, gate: newGate(), dir: filepath.Join(x.folder, key.folder()), upload: u, column: column.New(u), used: time.Now()}
	x.all[key] = made
	return made, nil
}

// reserve takes room in memory for a writer, as far as there is.
func (x *sessions) reserve(n int64) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.buffer+n > maxBuffers {
		return fmt.Errorf("%w: too many uploads at the same time", share.ErrBusy)
	}
	x.buffer += n
	return nil
}

func (x *sessions) free(n int64) {
	x.mu.Lock()
	x.buffer -= n
	x.mu.Unlock()
}

func (x *sessions) of(owner string, id share.UploadID) []*session {
	x.mu.Lock()
	defer x.mu.Unlock()
	var found []*session
	for k, s := range x.all {
		if k.owner == owner && k.id == id {
			found = append(found, s)
		}
	}
	return found
}

func (x *sessions) every() []*session {
	x.mu.Lock()
	defer x.mu.Unlock()
	var found []*session
	for _, s := range x.all {
		found = append(found, s)
	}
	return found
}

// forget drops a session that is locked, and what it has.
func (x *sessions) forget(ctx context.Context, s *session) error {
	x.mu.Lock()
	if x.all[s.key] == s {
		delete(x.all, s.key)
	}
	x.mu.Unlock()
	s.gone, s.writer = true, nil
	err := s.discard(ctx)
	return errors.Join(err, s.charge())
}

// rest lets all sessions rest. What is on its way is waited for as long as the context lasts.
func (x *sessions) rest(ctx context.Context) error {
	var errs []error
	for _, s := range x.every() {
		// Who holds the gate asks the bucket, or notices soon that the store is closed.
		if err := s.gate.lock(ctx); err != nil {
			errs = append(errs, fmt.Errorf("upload %s is still going on: %w", s.dir, err))
			continue
		}
		if !s.gone {
			errs = append(errs, s.rest(ctx))
		}
		s.gate.unlock()
	}
	return errors.Join(errs...)
}

// dropStale forgets uploads that nobody has continued for long.
func (x *sessions) dropStale(ctx context.Context, now time.Time) error {
	var errs []error
	for _, s := range x.every() {
		if !s.gate.try() {
			continue // it is in use
		}
		if !s.gone && s.writer == nil && now.Sub(s.used) > staleSession {
			errs = append(errs, x.forget(ctx, s))
		}
		s.gate.unlock()
	}
	return errors.Join(errs...)
}

// load finds the unfinished uploads of earlier times, and ends those in the bucket that no folder tells of.
func (x *sessions) load(ctx context.Context) error {
	inBucket, err := x.store.bucket.unfinished(ctx)
	if err != nil {
		return err
	}
	entries, err := os.ReadDir(x.folder)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	known := map[[2]string]bool{}
	for _, e := range entries {
		dir := filepath.Join(x.folder, e.Name())
		r, err := readState(dir)
		if err != nil || r.Upload != "" && !slices.Contains(inBucket, [2]string{r.Object, r.Upload}) {
			// It was interrupted before it was worth anything, or committed.
			if err := os.RemoveAll(dir); err != nil {
				return err
			}
			continue
		}
		known[[2]string{r.Object, r.Upload}] = true
		key := sessionKey{r.Lease.Owner, r.ID, r.Number}
		s := &session{store: x.store, key: key, gate: newGate(), dir: dir, upload: r.upload(), used: time.Unix(r.Used, 0), resting: &r}
		s.column = column.Resume(s.upload, s.bytes())
		x.all[key] = s
		if err := s.charge(); err != nil {
			return err
		}
	}
	for _, u := range inBucket {
		if !known[u] {
			if err := x.store.bucket.abort(ctx, u[0], u[1]); err != nil {
				return err
			}
		}
	}
	return nil
}

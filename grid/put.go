package grid

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"maps"
	"slices"
	"sync/atomic"

	"github.com/cespare/xxhash/v2"

	"cairn/grid/file"
	"cairn/grid/health"
	"cairn/share"
	"cairn/share/capability"
	"cairn/share/encoding"
	"cairn/share/keys"
)

// PutOptions say how a file is stored. The zero value stores a stream of unknown length only if Size is set to -1.
type PutOptions struct {
	// Params, zero for the grid's default.
	Params share.Params
	// BlockSize in bytes, 0 for the default.
	BlockSize int
	// Private uses a random key instead of one that depends on the contents.
	Private bool
	// Size is the length of the file in bytes, -1 where it is unknown.
	Size int64
	// Digest is the SHA-256 digest of the file, if it is known beforehand. Only then can the key depend on the contents,
	// so that an interrupted upload is resumed and a repeated one sends nothing; Size must be known too.
	Digest *share.Digest
	// Checksum is the XXH64 checksum of the file, if it is known beside Digest. The bytes are then compared with it and not
	// with Digest, at a tenth of the cost: enough to notice a file that changed since Digest was taken.
	Checksum *uint64
	// Progress, if set, is called now and then, from one goroutine at a time.
	Progress func(file.Progress)
}

// PutResult says what a Put has done.
type PutResult struct {
	Capability capability.Capability
	Size       int64
	Params     share.Params
	Placed     int // shares acknowledged
	Missing    int // shares that no server has acknowledged (yet)
	Happiness  int
	Servers    int   // known when it was stored
	Resumed    int64 // bytes of shares that servers had already
}

// Put stores what r yields and returns its read capability. It succeeds when enough distinct servers (Happy) have
// acknowledged their shares; shares that failed on the way are made anew on other servers while there are any. Files of
// at most 55 bytes become literals, which live in the capability and need no server.
//
// The errors are *share.UnhappyError (nothing is lost: repeating the Put goes on where it stopped, if Digest is given),
// ErrChanged for a stream that is not Size long or does not have Digest, and those of r.
func (g *Grid) Put(ctx context.Context, r io.Reader, o PutOptions) (PutResult, error) {
	in := bufio.NewReaderSize(r, capability.MaxLiteral+1)
	head, err := in.Peek(capability.MaxLiteral + 1)
	if err == io.EOF {
		return g.putLiteral(head, o)
	}
	if err != nil {
		return PutResult{}, fmt.Errorf("read: %w", err)
	}
	p := put{g: g, o: o, servers: g.Servers(ctx)}
	p.o.Params = g.params(o.Params, p.servers)
	if p.o.BlockSize == 0 {
		p.o.BlockSize = encoding.BlockSizeFor(p.o.Params.Total)
	}
	return p.run(ctx, in)
}

func (g *Grid) putLiteral(data []byte, o PutOptions) (PutResult, error) {
	if o.Size >= 0 && int64(len(data)) != o.Size || o.Digest != nil && sha256.Sum256(data) != *o.Digest {
		return PutResult{}, ErrChanged
	}
	literal, err := capability.Literal(data)
	return PutResult{Capability: literal, Size: int64(len(data))}, err
}

// A put is one run of Put for a file that needs servers.
type put struct {
	g       *Grid
	o       PutOptions
	servers []share.Server
	key     keys.ReadKey
	made    []share.Server // those on which a rescue has made shares
	gone    atomic.Bool    // what is placed is let go of
	end     func()         // is called when nothing of it is under way any more
}

func (p *put) run(ctx context.Context, r io.Reader) (PutResult, error) {
	convergent := p.o.Digest != nil && p.o.Size >= 0 && !p.o.Private
	keep, err := p.g.copies(ctx)
	if err != nil {
		return PutResult{}, fmt.Errorf("keep a copy: %w", err)
	}
	p.key, p.end = keys.NewReadKey(), func() {}
	if convergent {
		p.key = p.g.Secret.Convergent(*p.o.Digest, p.o.Params.Needed, p.o.Params.Total, p.o.BlockSize)
		endTurn, err := p.take(ctx, p.key.UploadID())
		if err != nil {
			return PutResult{}, fmt.Errorf("wait for another upload of the same file: %w", err)
		}
		defer endTurn()
	}
	checked := p.checked(r)
	result, err := file.Upload(ctx, p.servers, checked, file.UploadOptions{
		Params: p.o.Params, BlockSize: p.o.BlockSize, Key: p.key, Size: p.o.Size, Resume: convergent,
		Owner: p.g.Owner, Lease: p.g.leaseTime(), Progress: p.o.Progress, Log: p.g.Logger,
		Background: p.g.inBackground, Settled: p.settled, Copy: keep,
	})
	if err != nil {
		defer p.end() // otherwise it ends when it has settled
	}
	if errors.Is(err, encoding.ErrLength) {
		err = fmt.Errorf("%w: %w", ErrChanged, err)
	}
	if _, unhappy := errors.AsType[*share.UnhappyError](err); unhappy && result.Root.Needed > 0 {
		result, err = p.rescue(ctx, result, err)
	}
	stored := err == nil
	if stored {
		err = result.CopyErr
	}
	if err != nil {
		switch p.gone.Store(!stored || !convergent); {
		case !convergent:
			result.LetGo(p.made...)
		case !stored && p.g.uses.alone(p.key.UploadID()): // what is stored is found again
			result.LetGo()
		}
		return PutResult{}, err
	}
	return PutResult{
		Capability: capability.File(result.Root.StorageIndex(), p.key), Size: result.Root.Size, Params: p.o.Params,
		Placed: len(result.Placed), Missing: len(result.Missing), Happiness: result.Happiness, Servers: len(p.servers),
		Resumed: result.Skipped,
	}, nil
}

// take waits for the turn of a file whose key follows from its contents, and notes that its upload begins.
func (p *put) take(ctx context.Context, id share.UploadID) (endTurn func(), err error) {
	endTurn, err = p.g.turns.Take(ctx, id)
	if err != nil {
		return nil, err
	}
	if err := p.g.uses.begin(ctx, id); err != nil {
		endTurn()
		return nil, err
	}
	p.end = func() { p.g.uses.end(id) }
	return endTurn, nil
}

// rescue makes the shares that were lost with their servers anew on others, from those that were acknowledged. Servers
// that failed get another chance when the others do not suffice, except those that were silent or keep to a quota.
func (p *put) rescue(ctx context.Context, result file.Result, unhappy error) (file.Result, error) {
	if len(result.Placed) < p.o.Params.Needed {
		return result, unhappy
	}
	repaired, err := p.repair(ctx, result, anyFailure)
	p.note(repaired)
	if err != nil && ctx.Err() == nil {
		repaired, err = p.repair(ctx, result, lastingFailure)
		p.note(repaired)
	}
	if ctx.Err() != nil {
		return result, fmt.Errorf("upload: %w", ctx.Err())
	}
	if err != nil {
		return result, unhappy
	}
	result.Happiness = repaired.After.Happiness
	for _, made := range repaired.Made {
		result.Placed[made.Number] = share.Server{ID: made.Peer}
	}
	result.Missing = slices.DeleteFunc(result.Missing, func(n share.Number) bool {
		_, placed := result.Placed[n]
		return placed
	})
	return result, nil
}

// note notes where a repair has made shares.
func (p *put) note(repaired health.Result) {
	for _, s := range p.servers {
		if slices.ContainsFunc(repaired.Made, func(m health.Made) bool { return m.Peer == s.ID }) {
			p.made = append(p.made, s)
		}
	}
}

// settled replaces, in the background, what a successful upload is short of while there are servers without a share.
func (p *put) settled(result file.Result) {
	if !p.short(result) {
		p.end()
		return
	}
	p.g.inBackground(func(ctx context.Context) {
		defer p.end()
		_, _ = p.repair(ctx, result, anyFailure)
	})
}

// short reports whether a successful upload is short of shares for which there are servers.
func (p *put) short(result file.Result) bool {
	if len(result.Missing) == 0 || len(result.Placed) < p.o.Params.Needed || p.g.ctx.Err() != nil || p.gone.Load() {
		return false
	}
	anyFailed := failed(result, anyFailure)
	used := maps.Clone(anyFailed)
	for _, s := range result.Placed {
		used[s.ID] = true
	}
	idle := func(s share.Server) bool { return !s.Down && (!used[s.ID] || s.Last && !anyFailed[s.ID]) }
	return slices.ContainsFunc(p.g.Servers(p.g.ctx), idle)
}

// repair makes missing shares anew, on servers that did not fail in a way that counts.
func (p *put) repair(ctx context.Context, result file.Result, counts func(*file.ServerError) bool) (health.Result, error) {
	avoided := failed(result, counts)
	servers := slices.Clone(p.g.Servers(ctx))
	for i := range servers {
		servers[i].Down = servers[i].Down || avoided[servers[i].ID] // which is asked, but given nothing
	}
	repaired, err := health.Repair(ctx, servers, result.Root.StorageIndex(), p.repairOptions())
	if err != nil && ctx.Err() == nil {
		p.g.Logger.Warn("could not replace the shares that were lost during an upload", "file", result.Root.StorageIndex().String(), "error", err)
	}
	return repaired, err
}

func anyFailure(*file.ServerError) bool { return true }

func lastingFailure(e *file.ServerError) bool { return e.Silent() || errors.Is(e, share.ErrQuota) }

// failed returns the servers that failed during an upload in a way that counts.
func failed(result file.Result, counts func(*file.ServerError) bool) map[share.ServerID]bool {
	all := map[share.ServerID]bool{}
	for _, failure := range result.Failures {
		if e, ok := errors.AsType[*file.ServerError](failure); ok && counts(e) {
			all[e.Server] = true
		}
	}
	return all
}

func (p *put) repairOptions() health.Options {
	return health.Options{Happy: p.o.Params.Happy, Lease: p.g.lease(), Logger: p.g.Logger}
}

// checked returns the stream with an error at its end unless it is what was announced.
func (p *put) checked(r io.Reader) io.Reader {
	switch {
	case p.o.Checksum != nil:
		return &hashReader{r: r, hash: xxhash.New(), want: binary.BigEndian.AppendUint64(nil, *p.o.Checksum)}
	case p.o.Digest != nil:
		return &hashReader{r: r, hash: sha256.New(), want: p.o.Digest[:]}
	}
	return r
}

// A hashReader makes the end of a stream an error unless the whole has the hash that was announced.
type hashReader struct {
	r    io.Reader
	hash hash.Hash
	want []byte
}

func (h *hashReader) Read(p []byte) (int, error) {
	n, err := h.r.Read(p)
	h.hash.Write(p[:n])
	if err == io.EOF && !bytes.Equal(h.hash.Sum(nil), h.want) {
		return n, ErrChanged
	}
	return n, err
}

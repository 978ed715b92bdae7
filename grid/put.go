package grid

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"

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
}

func (p *put) run(ctx context.Context, r io.Reader) (PutResult, error) {
	convergent := p.o.Digest != nil && p.o.Size >= 0 && !p.o.Private
	p.key = keys.NewReadKey()
	if convergent {
		p.key = p.g.Secret.Convergent(*p.o.Digest, p.o.Params.Needed, p.o.Params.Total, p.o.BlockSize)
	}
	checked := newDigestReader(r, p.o.Digest)
	result, err := file.Upload(ctx, p.servers, checked, file.UploadOptions{
		Params: p.o.Params, BlockSize: p.o.BlockSize, Key: p.key, Size: p.o.Size, Resume: convergent,
		Owner: p.g.Owner, Lease: p.g.Lease, Progress: p.o.Progress, Log: p.g.Logger,
		Background: p.g.inBackground, Settled: p.settled,
	})
	if errors.Is(err, encoding.ErrLength) {
		err = fmt.Errorf("%w: %w", ErrChanged, err)
	}
	if _, unhappy := errors.AsType[*share.UnhappyError](err); unhappy && result.Root.Needed > 0 {
		result, err = p.rescue(ctx, result, err)
	}
	if err != nil {
		return PutResult{}, err
	}
	return PutResult{
		Capability: capability.File(result.Root.StorageIndex(), p.key), Size: result.Root.Size, Params: p.o.Params,
		Placed: len(result.Placed), Missing: len(result.Missing), Happiness: result.Happiness, Servers: len(p.servers),
		Resumed: result.Skipped,
	}, nil
}

// rescue makes the shares that were lost with their servers anew on others, from those that were acknowledged.
func (p *put) rescue(ctx context.Context, result file.Result, unhappy error) (file.Result, error) {
	if len(result.Placed) < p.o.Params.Needed {
		return result, unhappy
	}
	repaired, err := health.Repair(ctx, p.g.Servers(ctx), result.Root.StorageIndex(), p.repairOptions())
	if ctx.Err() != nil {
		return result, fmt.Errorf("upload: %w", ctx.Err())
	}
	if err != nil {
		p.g.Logger.Warn("could not replace the shares that were lost during an upload", "file", result.Root.StorageIndex().String(), "error", err)
		return result, unhappy
	}
	result.Happiness = repaired.After.Happiness
	for _, made := range repaired.Made {
		result.Placed[made.Number] = share.Server{ID: made.Peer}
	}
	result.Missing = result.Missing[:max(0, p.o.Params.Total-len(result.Placed))]
	return result, nil
}

// settled replaces, in the background, what a successful upload is short of while there are servers without a share.
func (p *put) settled(result file.Result) {
	if len(result.Missing) == 0 || len(result.Placed) < p.o.Params.Needed || p.g.ctx.Err() != nil {
		return
	}
	used := map[share.ServerID]bool{}
	for _, s := range result.Placed {
		used[s.ID] = true
	}
	for _, failure := range result.Failures {
		if e, ok := errors.AsType[*file.ServerError](failure); ok {
			used[e.Server] = true
		}
	}
	idle := 0
	for _, s := range p.g.Servers(p.g.ctx) {
		if !s.Down && !used[s.ID] {
			idle++
		}
	}
	if idle == 0 {
		return
	}
	p.g.inBackground(func(ctx context.Context) {
		_, err := health.Repair(ctx, p.g.Servers(ctx), result.Root.StorageIndex(), p.repairOptions())
		if err != nil && ctx.Err() == nil {
			p.g.Logger.Warn("could not replace the shares that were lost during an upload", "file", result.Root.StorageIndex().String(), "error", err)
		}
	})
}

func (p *put) repairOptions() health.Options {
	return health.Options{Happy: p.o.Params.Happy, Lease: p.g.lease(), Logger: p.g.Logger}
}

// A digestReader makes the end of a stream an error unless the whole has the digest that was announced.
type digestReader struct {
	r    io.Reader
	hash hash.Hash
	want share.Digest
}

func newDigestReader(r io.Reader, want *share.Digest) io.Reader {
	if want == nil {
		return r
	}
	return &digestReader{r: r, hash: sha256.New(), want: *want}
}

func (d *digestReader) Read(p []byte) (int, error) {
	n, err := d.r.Read(p)
	d.hash.Write(p[:n])
	if err == io.EOF && share.Digest(d.hash.Sum(nil)) != d.want {
		return n, ErrChanged
	}
	return n, err
}

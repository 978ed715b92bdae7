package main

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"cairn/internal/baseline"
)

// A benchRate is how fast bytes of a file went through something.
type benchRate struct {
	Seconds float64 `json:"seconds"`
	Rate    float64 `json:"megabytes_per_second"`
	// CPU is in seconds per GB, summed over all processes; zero where the system does not tell.
	CPU float64 `json:"cpu_seconds_per_gb"`
}

func rateOf(bytes int64, took, cpu time.Duration) benchRate {
	return benchRate{
		Seconds: took.Seconds(), Rate: float64(bytes) / 1e6 / took.Seconds(), CPU: cpu.Seconds() / (float64(bytes) / 1e9),
	}
}

// A benchLarge is what storing and reading files of one size takes, beside what bounds it.
type benchLarge struct {
	Size int64 `json:"size"`
	Runs int   `json:"runs"`
	// Upload and Download are the medians of the runs, by the clock.
	Upload   benchRate `json:"upload"`
	Download benchRate `json:"download"`
	// Codec encrypts, codes and hashes the file into shares that go nowhere. UploadWire and DownloadWire move the bytes
	// that an upload sends and a download fetches over bare libp2p connections.
	Codec        benchRate `json:"codec"`
	UploadWire   benchRate `json:"upload_wire"`
	DownloadWire benchRate `json:"download_wire"`
	// Peaks are the largest resident sets, in bytes.
	PutGateway int64 `json:"put_gateway_peak_bytes"`
	PutServer  int64 `json:"put_server_peak_bytes"`
	GetGateway int64 `json:"get_gateway_peak_bytes"`

	capability string
}

// repeatBelow is the size up to which large files are measured three times.
const repeatBelow = 300 << 20

func (b *bench) largeFiles(ctx context.Context) error {
	for _, size := range b.bytes {
		large, err := b.large(ctx, size)
		if err != nil {
			return fmt.Errorf("%s: %w", sizeText(size), err)
		}
		b.out.Large = append(b.out.Large, large)
	}
	return nil
}

func (b *bench) large(ctx context.Context, size int64) (benchLarge, error) {
	out := benchLarge{Size: size, Runs: 1}
	if size <= repeatBelow {
		out.Runs = 3
	}
	if err := b.bounds(ctx, &out); err != nil {
		return out, err
	}
	file := b.path("large")
	if err := writePattern(file, size); err != nil {
		return out, err
	}
	defer os.Remove(file)
	var uploads, downloads []benchRate
	for run := range out.Runs {
		if err := renew(file, uint64(run)); err != nil {
			return out, err
		}
		up, err := b.upload(ctx, file, &out)
		if err != nil {
			return out, err
		}
		down, err := b.download(ctx, file, &out)
		if err != nil {
			return out, err
		}
		uploads, downloads = append(uploads, up), append(downloads, down)
	}
	out.Upload, out.Download = medianRate(uploads), medianRate(downloads)
	return out, nil
}

// bounds measures what an upload and a download of the size cannot be faster than.
func (b *bench) bounds(ctx context.Context, out *benchLarge) error {
	codec, err := baseline.Codec(ctx, b.params(), out.Size)
	if err != nil {
		return err
	}
	out.Codec = rateOf(out.Size, codec.Took, codec.CPU)
	// One of the shares stays on the gateway's own disk, both ways.
	k, n := int64(b.params().Needed), int64(b.params().Total)
	sent, err := baseline.Transport(ctx, int(n-1), out.Size/k*(n-1))
	if err != nil {
		return err
	}
	out.UploadWire = rateOf(out.Size, sent.Took, sent.CPU)
	if k == 1 {
		return nil
	}
	fetched, err := baseline.Transport(ctx, int(k-1), out.Size/k*(k-1))
	if err != nil {
		return err
	}
	out.DownloadWire = rateOf(out.Size, fetched.Took, fetched.CPU)
	return nil
}

func (b *bench) upload(ctx context.Context, file string, out *benchLarge) (benchRate, error) {
	gateway := b.gateway(0)
	b.resetPeaks()
	cpu, begin := b.nodes.grid.Usage().CPU, time.Now()
	printed, err := b.nodes.verb(ctx, gateway, "put", file)
	if err != nil {
		return benchRate{}, err
	}
	rate := rateOf(out.Size, time.Since(begin), b.nodes.grid.Usage().CPU-cpu)
	out.capability = strings.TrimSpace(printed)
	for _, node := range b.nodes.running() {
		used, err := node.process.Usage()
		switch {
		case errors.Is(err, errors.ErrUnsupported):
		case err != nil:
			return rate, err
		case node == gateway:
			out.PutGateway = max(out.PutGateway, used.PeakBytes)
		default:
			out.PutServer = max(out.PutServer, used.PeakBytes)
		}
	}
	return rate, nil
}

func (b *bench) download(ctx context.Context, file string, out *benchLarge) (benchRate, error) {
	gateway, copied := b.gateway(1), b.path("copy")
	defer os.Remove(copied)
	b.resetPeaks()
	cpu, begin := b.nodes.grid.Usage().CPU, time.Now()
	if _, err := b.nodes.verb(ctx, gateway, "get", out.capability, "-o", copied); err != nil {
		return benchRate{}, err
	}
	rate := rateOf(out.Size, time.Since(begin), b.nodes.grid.Usage().CPU-cpu)
	if used, err := gateway.process.Usage(); err == nil {
		out.GetGateway = max(out.GetGateway, used.PeakBytes)
	}
	return rate, sameFile(file, copied)
}

func (b *bench) resetPeaks() {
	for _, node := range b.nodes.running() {
		node.process.ResetPeak() // without it the peak is that of the node's whole life, which is no lie either
	}
}

// writePattern makes a file of that many bytes that do not compress.
func writePattern(path string, size int64) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = io.Copy(file, baseline.Pattern(size))
	return errors.Join(err, file.Close())
}

// renew makes another file of a file: what is stored already would be found and not sent again.
func renew(path string, run uint64) error {
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = file.WriteAt(binary.BigEndian.AppendUint64(nil, run), 0)
	return errors.Join(err, file.Close())
}

// sameFile compares two files.
func sameFile(a, b string) error {
	var digests [2][]byte
	for i, path := range []string{a, b} {
		file, err := os.Open(path)
		if err != nil {
			return err
		}
		hash := sha256.New()
		_, err = io.Copy(hash, file)
		if err = errors.Join(err, file.Close()); err != nil {
			return err
		}
		digests[i] = hash.Sum(nil)
	}
	if !slices.Equal(digests[0], digests[1]) {
		return errors.New("what was read is not what was stored")
	}
	return nil
}

func medianRate(rates []benchRate) benchRate {
	slices.SortFunc(rates, func(a, b benchRate) int { return int(1e6 * (a.Seconds - b.Seconds)) })
	return rates[len(rates)/2]
}

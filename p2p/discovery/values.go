package discovery

import (
	"context"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"regexp"
	"strings"
	"sync"
	"time"

	dht "github.com/libp2p/go-libp2p-kad-dht"

	"cairn/internal/awake"
	"cairn/share"
)

// Limits on the values that the DHT keeps.
const (
	// MaxValue is the size of the largest value in bytes.
	MaxValue = 64 << 10
	// MaxValues is how many values a node keeps for the grid, and how many of its own it publishes.
	MaxValues = 256
	// maxValueName is the length of the longest name in bytes.
	maxValueName = 128
	// valueAge is how long a node keeps a value that nobody publishes any more.
	valueAge = 48 * time.Hour
	// valueRetry is the pause after an attempt to publish that reached nobody.
	valueRetry = time.Minute
)

// ErrReplaced says that a newer value is known under the name.
var ErrReplaced = errors.New("a newer value is published")

// A Validator decides which values of one namespace a node keeps, passes on and believes. It is called from many
// goroutines, on whatever any member sent, and must not block.
type Validator interface {
	// Validate returns nil for a value that may stand under this name and proves by itself that it is genuine. It
	// refuses names that the namespace does not foresee: any member can send any number of them.
	Validate(name string, value []byte) error
	// Newer reports whether a replaces b, both of which are valid. It is a strict order: of two different values one
	// replaces the other, and no value itself.
	Newer(name string, a, b []byte) bool
}

var namespacePattern = regexp.MustCompile(`^[a-z][a-z0-9-]{0,31}$`)

func checkNamespaces(values map[string]Validator) error {
	for namespace, validator := range values {
		if !namespacePattern.MatchString(namespace) || validator == nil {
			return fmt.Errorf("namespace %.40q: want a validator, and 1 to 32 small letters, digits and dashes", namespace)
		}
	}
	return nil
}

// PutValue publishes a value under a name, to the members closest to that name, and again every RepublishEvery until
// Close or until a newer one is seen in its place, which is then published in the same way. share.ErrUnavailable says that
// nobody could be reached; it is tried again every minute. A value that its validator refuses is
// share.ErrCorrupt, one that a newer one has replaced ErrReplaced.
//
// Every publisher costs each of the twenty holders a transfer of the value per RepublishEvery, so a value that many
// members hold is put by few of them.
func (d *Discovery) PutValue(ctx context.Context, namespace, name string, value []byte) error {
	key, err := d.valueKey(namespace, name)
	if err != nil {
		return fmt.Errorf("put value: %w", err)
	}
	if err := d.judge.Validate(key, value); err != nil {
		return fmt.Errorf("put value %s/%.40q: %w", namespace, name, err)
	}
	if err := d.published.add(key, value, d.judge); err != nil {
		return fmt.Errorf("put value %s/%.40q: %w", namespace, name, err)
	}
	err = d.publish(ctx, key)
	if d.judge.newer(key, d.published.value(key), value) {
		err = ErrReplaced
	}
	if err != nil {
		return fmt.Errorf("put value %s/%.40q: %w", namespace, name, err)
	}
	return nil
}

// GetValue returns the newest valid value under a name that the members closest to it have. It asks all of them, takes at
// most Config.Within, and tells those that have an older one or none. share.ErrNotFound says that nobody has a valid one.
func (d *Discovery) GetValue(ctx context.Context, namespace, name string) ([]byte, error) {
	key, err := d.valueKey(namespace, name)
	if err != nil {
		return nil, fmt.Errorf("get value: %w", err)
	}
	value, err := d.fetch(ctx, key)
	if err != nil {
		return nil, fmt.Errorf("get value %s/%.40q: %w", namespace, name, err)
	}
	return value, nil
}

func (d *Discovery) valueKey(namespace, name string) (string, error) {
	if d.cfg.Values[namespace] == nil {
		return "", fmt.Errorf("namespace %.40q: %w", namespace, share.ErrNotFound)
	}
	if len(name) == 0 || len(name) > maxValueName {
		return "", fmt.Errorf("name of %d bytes: want 1 to %d", len(name), maxValueName)
	}
	return "/" + namespace + "/" + name, nil
}

func (d *Discovery) fetch(ctx context.Context, key string) ([]byte, error) {
	ctx, cancel := awake.WithTimeout(ctx, d.cfg.Within)
	defer cancel()
	value, err := d.dht.GetValue(ctx, key, dht.Quorum(0))
	if value != nil {
		return value, nil // what came in before the time was over was validated
	}
	return nil, fmt.Errorf("%w: %w", share.ErrNotFound, err)
}

// publish sends the newest value that is known of a name which this node publishes to the members that are to hold it.
func (d *Discovery) publish(ctx context.Context, key string) error {
	value := d.published.value(key)
	if newer, err := d.fetch(ctx, key); err == nil && d.judge.newer(key, newer, value) {
		value = d.published.replace(key, newer, d.judge)
	}
	ctx, cancel := awake.WithTimeout(ctx, d.cfg.Within)
	defer cancel()
	err := d.dht.PutValue(ctx, key, value)
	if err != nil {
		err = fmt.Errorf("%w: %w", share.ErrUnavailable, err)
	}
	d.published.attempted(key, time.Now(), d.cfg.RepublishEvery, err)
	return err
}

// republish keeps what this node put in the DHT alive.
func (d *Discovery) republish(ctx context.Context) {
	tick := time.NewTicker(min(valueRetry, d.cfg.RepublishEvery) / 4)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for _, key := range d.published.due(time.Now()) {
			if err := d.publish(ctx, key); err != nil && ctx.Err() == nil {
				d.log.Debug("a value could not be published", "namespace", strings.Split(key, "/")[1], "error", err)
			}
		}
	}
}

// A published table holds the values this node puts in the DHT.
type published struct {
	mu     sync.Mutex
	values map[string]*publication
}

type publication struct {
	value []byte
	next  time.Time
}

func (p *published) add(key string, value []byte, by judge) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	old := p.values[key]
	switch {
	case old == nil && len(p.values) >= MaxValues:
		return fmt.Errorf("%w: this node publishes %d values already", share.ErrTooLarge, MaxValues)
	case old != nil && by.newer(key, old.value, value):
		return ErrReplaced
	}
	p.values[key] = &publication{value: value, next: time.Now().Add(valueRetry)}
	return nil
}

func (p *published) value(key string) []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.values[key].value
}

// replace puts the value in the place of an older one and returns what is published now.
func (p *published) replace(key string, value []byte, by judge) []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	if current := p.values[key]; by.newer(key, value, current.value) {
		current.value = value
	}
	return p.values[key].value
}

// attempted notes when to publish again: not all values, nor all nodes, at the same time.
func (p *published) attempted(key string, now time.Time, every time.Duration, failure error) {
	pause := every*3/4 + mathrand.N(every/4)
	if failure != nil {
		pause = min(pause, valueRetry)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.values[key].next = now.Add(pause)
}

func (p *published) due(now time.Time) (keys []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for key, v := range p.values {
		if !v.next.After(now) {
			keys = append(keys, key)
		}
	}
	return keys
}

// Package fault makes operations fail on purpose: the first, the second, the third, until everything was seen to fail once.
//
// An Injector counts operations and lets one of them, or all from one on, meet its Action. NewStore puts an Injector
// in front of a Store, and Loop runs a workload again and again, failing the n-th operation for n = 1, 2, 3 …
// until a run meets none.
package fault

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"
)

// ErrInjected is what an operation fails with where the Action names no other error.
var ErrInjected = errors.New("injected fault")

// An Action is what happens to an operation. The zero Action fails with ErrInjected. At most one field is set.
type Action struct {
	// Err is what the operation returns without being done.
	Err error
	// Delay is how long the operation takes before it is done as usual; it ends with the caller's context.
	Delay time.Duration
	// Truncate cuts what is read or written to half, and tells the caller by an error.
	Truncate bool
	// Corrupt flips a bit in what is read or written, and tells nobody.
	Corrupt bool
	// Do is called before the operation is done as usual.
	Do func()
}

// An Injector counts operations, and decides which of them meet the Action. It is safe for concurrent use.
type Injector struct {
	at     int64
	always bool
	only   func(op string) bool
	action Action

	mu    sync.Mutex
	count int64
	fired []string
}

// At returns an Injector whose n-th operation, counted from 1, meets the action.
func At(n int64, action Action) *Injector { return &Injector{at: n, action: action} }

// From returns an Injector whose operations meet the action from the n-th on.
func From(n int64, action Action) *Injector { return &Injector{at: n, always: true, action: action} }

// Only restricts the Injector to operations with the given names; others are neither counted nor touched.
func (in *Injector) Only(ops ...string) *Injector {
	in.only = func(op string) bool {
		for _, o := range ops {
			if o == op {
				return true
			}
		}
		return false
	}
	return in
}

// Count returns how many operations there were.
func (in *Injector) Count() int64 {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.count
}

// Fired returns the names of the operations that met the action.
func (in *Injector) Fired() []string {
	in.mu.Lock()
	defer in.mu.Unlock()
	return append([]string(nil), in.fired...)
}

// next counts one operation and returns the action it meets, if any.
func (in *Injector) next(op string) (Action, bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.only != nil && !in.only(op) {
		return Action{}, false
	}
	in.count++
	if in.count != in.at && !(in.always && in.count > in.at) {
		return Action{}, false
	}
	in.fired = append(in.fired, op)
	return in.action, true
}

// Step counts an operation that moves no bytes, and returns the error that it must return instead of being done.
func (in *Injector) Step(ctx context.Context, op string) error {
	action, hit := in.next(op)
	if !hit {
		return nil
	}
	return action.run(ctx, op)
}

// run does what an action does before an operation.
func (a Action) run(ctx context.Context, op string) error {
	switch {
	case a.Err != nil:
		return fmt.Errorf("%s: %w", op, a.Err)
	case a.Do != nil:
		a.Do()
	case a.Delay > 0:
		timer := time.NewTimer(a.Delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	case a.Truncate || a.Corrupt:
		// These concern bytes only.
	default:
		return fmt.Errorf("%s: %w", op, ErrInjected)
	}
	return nil
}

// Write counts an operation that writes p through do. A truncated write writes half of p and returns an error.
func (in *Injector) Write(ctx context.Context, op string, p []byte, do func([]byte) (int, error)) (int, error) {
	action, hit := in.next(op)
	switch {
	case !hit:
		return do(p)
	case action.Truncate:
		n, err := do(p[:len(p)/2])
		return n, errors.Join(fmt.Errorf("%s: short write: %w", op, ErrInjected), err)
	case action.Corrupt && len(p) > 0:
		spoiled := append([]byte(nil), p...)
		spoiled[len(p)/2] ^= 1
		return do(spoiled)
	}
	if err := action.run(ctx, op); err != nil {
		return 0, err
	}
	return do(p)
}

// Read counts an operation that reads into p through do. A truncated read fills half of p and returns cut.
func (in *Injector) Read(ctx context.Context, op string, p []byte, cut error, do func([]byte) (int, error)) (int, error) {
	action, hit := in.next(op)
	switch {
	case !hit:
		return do(p)
	case action.Truncate:
		n, err := do(p[:len(p)/2])
		return n, errors.Join(cut, err)
	case action.Corrupt && len(p) > 0:
		n, err := do(p)
		p[n/2] ^= 1
		return n, err
	}
	if err := action.run(ctx, op); err != nil {
		return 0, err
	}
	return do(p)
}

// maxLoop bounds Loop: a workload with more operations is too long for a test.
const maxLoop = 10_000

// Loop calls run with Injectors whose 1st, 2nd, 3rd … operation meets the action, each in a subtest, until a run
// has fewer operations. It fails the test if no operation was met at all.
func Loop(t *testing.T, action Action, run func(t *testing.T, in *Injector)) {
	t.Helper()
	for n := int64(1); n <= maxLoop; n++ {
		in := At(n, action)
		ok := t.Run(fmt.Sprintf("op%d", n), func(t *testing.T) { run(t, in) })
		if !ok {
			t.Fatalf("operation %d %v: see above", n, in.Fired())
		}
		if len(in.Fired()) == 0 {
			if n == 1 {
				t.Fatal("the workload has no operation that could fail")
			}
			return
		}
	}
	t.Fatalf("the workload has more than %d operations", maxLoop)
}

package mutable

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"cairn/grid/file"
	"cairn/share"
	"cairn/share/capability"
	"cairn/share/encoding"
	"cairn/share/head"
	"cairn/share/keys"
)

// Read finds the newest version of a mutable file or directory and, where it is small, fetches it in the same round trip. It asks all head
// servers and waits for most of them, and a moment longer for the others.
//
// A head whose version was never acknowledged and cannot be read, because its writer died half way, is passed over with a
// warning. Read returns ErrNotFound when no server holds a head, a *share.NotEnoughSharesError when the newest version is
// out of reach, and a *share.RollbackError when only an older version is found than was seen before it was called: then
// the older version comes with the error.
func (m *Files) Read(ctx context.Context, c capability.Capability) (*Version, error) {
	name, key, err := subject(c)
	if err != nil {
		return nil, err
	}
	for try := 1; ; try++ {
		v, err := m.readOnce(ctx, name, key)
		var again *movedError
		if errors.As(err, &again) && try < readTries && ctx.Err() == nil {
			continue
		}
		if errors.Is(err, share.ErrRollback) {
			return v, err // which has the name
		}
		if err != nil {
			return v, fmt.Errorf("read %s: %w", name, err)
		}
		return v, nil
	}
}

func (m *Files) readOnce(ctx context.Context, name share.Name, key keys.ReadKey) (*Version, error) {
	seen, _ := m.env.Memory.Seen(name) // what becomes known meanwhile is no reason to doubt who answered before
	s := m.newSurvey(ctx, name, true)
	defer s.close()
	return m.newest(ctx, s, key, seen)
}

// readTries is how often the servers are asked for the newest version while it is being written.
const readTries = 3

// A movedError says that a version was out of reach which servers have taken, now or before, since they were asked for it.
type movedError struct{ error }

func (e *movedError) Unwrap() error { return e.error }

// Newest finds the newest head of a name without being able to read what it points at: the newest that enough servers hold to have been
// acknowledged, or the newest there is where none is. It returns ErrNotFound when no server holds a head, and a
// *share.NotEnoughSharesError when none answers.
func (m *Files) Newest(ctx context.Context, name share.Name) (head.Head, error) {
	s := m.newSurvey(ctx, name, false)
	defer s.close()
	if err := s.all(ctx); err != nil {
		return head.Head{}, err
	}
	candidates := s.candidates()
	if len(candidates) == 0 {
		if s.answered() == 0 {
			return head.Head{}, &share.NotEnoughSharesError{Asked: len(s.servers), Causes: s.causes()}
		}
		return head.Head{}, fmt.Errorf("newest head of %s: %w", name, share.ErrNotFound)
	}
	happy := m.env.Params(ctx).Happy
	for _, c := range candidates {
		if c.count >= happy && 2*c.count > s.answered() {
			return c.head, nil
		}
	}
	return candidates[0].head, nil
}

// newest returns the newest version that can be read, and that is not older than what was seen before, asking as many servers as it takes.
func (m *Files) newest(ctx context.Context, s *survey, key keys.ReadKey, seen head.Head) (*Version, error) {
	if err := s.most(ctx); err != nil {
		return nil, err
	}
	if c := s.candidates(); slices.ContainsFunc(c, func(other candidate) bool { return rivals(c[0], other) }) {
		// How many servers hold each of them decides.
		if err := s.await(ctx, rivalGrace); err != nil {
			return nil, err
		}
	}
	v, err := m.choose(ctx, s, key, seen)
	if (err != nil || v.Head.Sequence < seen.Sequence) && !s.complete() && ctx.Err() == nil {
		if err := s.all(ctx); err != nil {
			return nil, err
		}
		v, err = m.choose(ctx, s, key, seen)
	}
	switch {
	case err == nil && v.Head.Sequence < seen.Sequence:
		return v, &share.RollbackError{Name: s.name, Found: v.Head.Sequence, Seen: seen.Sequence}
	case errors.Is(err, share.ErrNotFound) && len(s.candidates()) == 0 && seen.Sequence > 0:
		return nil, &share.RollbackError{Name: s.name, Seen: seen.Sequence}
	case err != nil:
		return nil, err
	}
	if v.holders >= m.env.Params(ctx).Happy || 2*v.holders > len(s.servers) {
		m.remember(v.Head)
	}
	return v, nil
}

func (m *Files) remember(h head.Head) {
	if err := m.env.Memory.Remember(h); err != nil {
		m.env.Logger.Warn("could not remember the newest head", "name", h.Name.String(), "error", err)
	}
}

// rivals reports whether a head may have been acknowledged without the knowledge of the newest one's writer.
func rivals(newest, other candidate) bool {
	return other.head.Digest != newest.head.Digest && !slices.Contains(newest.head.Parents, other.head.Digest)
}

// choose returns the newest version among the answers so far that can be read. What was refused is a fork of another one, unless this
// reader may have been given it before.
func (m *Files) choose(ctx context.Context, s *survey, key keys.ReadKey, seen head.Head) (*Version, error) {
	candidates := s.candidates()
	if len(candidates) == 0 {
		if s.answered() == 0 {
			return nil, &share.NotEnoughSharesError{Asked: len(s.servers), Causes: s.causes()}
		}
		return nil, share.ErrNotFound
	}
	var passed error
	var refused *Version // the first one
	pick := &choice{survey: s, key: key, happy: m.env.Params(ctx).Happy, candidates: candidates, gone: map[share.Digest]int{}}
	for i := 0; i < len(pick.candidates); i++ {
		c := pick.candidates[i]
		v, err := pick.version(ctx, c)
		switch {
		case err == nil && (c.head.Sequence <= seen.Sequence || !pick.isRefused(ctx, v)):
			return v, ctx.Err()
		case err == nil:
			refused = cmp.Or(refused, v)
			pick.refused = append(pick.refused, c.head)
			pick.before(ctx, c)
			continue
		case refused != nil:
			return refused, ctx.Err()
		case ctx.Err() != nil, !s.complete(), errors.Is(err, file.ErrWrongKey), c.count > 0 && c.count+s.silent() >= pick.happy:
			return nil, err // it may have been acknowledged
		case pick.may(ctx, c.head) >= pick.happy:
			return nil, &movedError{err}
		}
		passed = err
		pick.gone[c.head.Digest] = c.count
		m.env.Logger.Warn("passed over a version that was never acknowledged and cannot be read",
			"name", s.name.String(), "version", c.head.Sequence, "error", err)
		pick.before(ctx, c)
	}
	if refused != nil {
		return refused, ctx.Err()
	}
	return nil, passed
}

// version loads the version of a candidate.
func (c *choice) version(ctx context.Context, of candidate) (*Version, error) {
	v := &Version{Head: of.head, m: c.m, key: c.key, top: c.candidates[0].head.Sequence, holders: of.count, gone: c.gone}
	if err := v.load(ctx, c.survey, of); err != nil {
		return nil, err
	}
	v.Forks, v.Unclear = c.forks(ctx, of)
	v.Forks = append(v.Forks, c.refused...)
	v.held = c.held(of.head, c.gone)
	v.Confirmed = of.count >= c.happy && 2*of.count > c.answered()
	return v, nil
}

// isRefused reports whether a version was certainly not acknowledged and another one that it does not follow may have been. The writer
// of such a version is told, or was, that the other one goes first.
func (c *choice) isRefused(ctx context.Context, v *Version) bool {
	likely := likely(c.happy, len(c.servers))
	if len(v.Forks) == 0 || v.Unclear != nil || c.may(ctx, v.Head) >= likely {
		return false
	}
	return slices.ContainsFunc(v.Forks, func(fork head.Head) bool {
		return c.known.line(fork, v.Head, func(h head.Head) bool { return c.may(ctx, h) >= likely })
	})
}

// before adds what a head follows to the candidates, where no server has it as the newest any more. Of two with the same sequence the
// one comes first that more servers had.
func (c *choice) before(ctx context.Context, passed candidate) {
	known := c.past(ctx, passed.head.Sequence)
	if slices.ContainsFunc(passed.head.Parents, func(parent share.Digest) bool { return known.heads[parent].Sequence == 0 }) {
		known = c.past(ctx, 0)
	}
	for _, parent := range passed.head.Parents {
		h, ok := known.heads[parent]
		if ok && !slices.ContainsFunc(c.candidates, func(c candidate) bool { return c.head.Digest == parent }) {
			c.candidates = append(c.candidates, candidate{head: h})
		}
	}
	had := func(c candidate) int { return max(c.count, len(known.holders[c.head.Digest])) }
	slices.SortStableFunc(c.candidates, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(b.head.Sequence, a.head.Sequence), cmp.Compare(had(b), had(a)))
	})
}

// load reads a small version from the shares that came with its heads, or finds the shares of a large one.
func (v *Version) load(ctx context.Context, s *survey, c candidate) error {
	data, err := v.decode(c)
	if err == nil {
		v.data, v.Size = data, int64(len(data))
		return nil
	}
	if len(c.shares) > 0 && !s.complete() && !errors.Is(err, file.ErrWrongKey) {
		return err // the others have more of them
	}
	if errors.Is(err, file.ErrWrongKey) {
		return err
	}
	r, err := v.m.open(ctx, c.head.Root, v.key)
	if err != nil {
		return err
	}
	v.Size = r.Size()
	return r.Close()
}

// decode joins the shares that came with a head. The plaintext is not nil where it succeeds. Every share is checked, more than are
// needed: they are here already, and whether a server that sends bad ones is named must not depend on who is looked at first.
func (v *Version) decode(c candidate) ([]byte, error) {
	var good []*encoding.Whole
	seen := map[share.Number]bool{}
	var causes []error
	for _, w := range c.shares {
		whole, err := encoding.ParseWhole(w.Index, w.Number, w.Data)
		if err != nil {
			v.m.env.Logger.Warn("a server sent a bad share", "server", w.server.String(), "name", c.head.Name.String(),
				"share", w.Number, "error", err)
			causes = append(causes, &share.CorruptShareError{Server: w.server.ID, Index: w.Index, Number: w.Number, Segment: -1, Reason: err.Error()})
			continue
		}
		if !seen[w.Number] {
			seen[w.Number] = true
			good = append(good, whole)
		}
	}
	if len(good) == 0 || len(good) < good[0].Root.Needed {
		return nil, &share.NotEnoughSharesError{Index: c.head.Root, Found: len(good), Causes: causes}
	}
	return file.OpenSmall(good[:good[0].Root.Needed], v.key)
}

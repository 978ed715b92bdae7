package exchange

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"cairn/internal/awake"
	"cairn/introducer"
	"cairn/introducer/message"
	"cairn/share"
)

// Where the grid's DHT keeps a copy of the roster, and how much of one.
const (
	// Namespace is for discovery.Config.Values.
	Namespace  = "roster"
	recordName = "all"
	maxRecord  = 32 << 10
	// recordAfter is the pause between a change and its way into the DHT, in which more may change.
	recordAfter = 5 * time.Second
	// recordWithin bounds one look into the DHT.
	recordWithin = 10 * time.Second
)

// Values is what an Exchange needs of the DHT: discovery.Discovery.
type Values interface {
	PutValue(ctx context.Context, namespace, name string, value []byte) error
	GetValue(ctx context.Context, namespace, name string) ([]byte, error)
}

// A record is the copy in the DHT: statements in the order of their bytes. Where the roster is too large it holds the revocations, the settings
// and what those rest on.
type record struct {
	Statements [][]byte `cbor:"1,keyasint"`
}

// newRecord returns the copy of a roster for the DHT.
func newRecord(r *introducer.Roster) ([]byte, error) {
	list := r.Statements()
	if total(list) > maxRecord {
		list = essential(r, list)
	}
	slices.SortFunc(list, bytes.Compare)
	return message.Marshal(record{Statements: list}, maxRecord+maxMessage/8)
}

// total is how much room the statements take in a record.
func total(list [][]byte) (size int) {
	for _, s := range list {
		size += len(s) + 3
	}
	return size
}

// essential returns the revocations, the newest as far as they fit, with the settings, each with the grants that give its issuer
// authority.
func essential(r *introducer.Roster, list [][]byte) [][]byte {
	return rested(r, list, maxRecord, func(st introducer.Statement) bool { return st.Settings != nil || st.Revocation != nil })
}

// rested returns those of the statements that are wanted, settings first and then the newest revocations, as far as they fit into
// limit bytes, each with the grants that give its issuer authority.
func rested(r *introducer.Roster, list [][]byte, limit int, wants func(introducer.Statement) bool) [][]byte {
	grants := make(map[introducer.AccountKey][]introducer.Statement)
	var wanted []introducer.Statement
	for _, data := range list {
		st, err := introducer.ParseStatement(r.Grid(), data)
		switch {
		case err != nil:
		case st.Grant != nil:
			grants[st.Grant.Account] = append(grants[st.Grant.Account], st)
		case wants(st):
			wanted = append(wanted, st)
		}
	}
	slices.SortStableFunc(wanted, func(a, b introducer.Statement) int { return issued(b).Compare(issued(a)) })
	var out [][]byte
	have := make(map[string]bool)
	for _, st := range wanted {
		with := chain(st, grants, have)
		if total(out)+total(with) > limit {
			break
		}
		for _, s := range with {
			have[string(s)] = true
		}
		out = append(out, with...)
	}
	return out
}

// issued puts what is no revocation before all revocations.
func issued(st introducer.Statement) time.Time {
	if st.Revocation != nil {
		return st.Revocation.Issued
	}
	return time.Unix(1<<40, 0)
}

// chain returns the statement and the grants that it rests on, without those that are there already.
func chain(st introducer.Statement, grants map[introducer.AccountKey][]introducer.Statement, have map[string]bool) (list [][]byte) {
	seen := map[introducer.AccountKey]bool{{}: true} // the grid's key rests on nothing
	next := []introducer.Statement{st}
	for len(next) > 0 {
		st, next = next[0], next[1:]
		if !have[string(st.Bytes())] {
			list = append(list, st.Bytes())
		}
		if !seen[st.Issuer] {
			seen[st.Issuer] = true
			next = append(next, grants[st.Issuer]...)
		}
	}
	return list
}

// A Judge says which copies of the roster a node of the grid keeps for the DHT and believes: discovery.Validator. What it lets pass
// rests on the grid's key and on nobody whom this node knows as revoked.
type Judge struct{ Roster *introducer.Roster }

// Validate returns nil for a copy that may stand in the DHT.
func (j Judge) Validate(name string, value []byte) error {
	if name != recordName {
		return fmt.Errorf("%w: the roster has no part %.40q", share.ErrDenied, name)
	}
	var rec record
	if err := message.Unmarshal(value, &rec); err != nil {
		return err
	}
	now := time.Now()
	for i, data := range rec.Statements {
		if i > 0 && bytes.Compare(rec.Statements[i-1], data) >= 0 {
			return fmt.Errorf("%w: statements out of order", share.ErrCorrupt)
		}
		st, err := introducer.ParseStatement(j.Roster.Grid(), data)
		if err != nil {
			return err
		}
		if m, known := j.Roster.Member(st.Issuer, now); known && m.State == introducer.StateRevoked && st.Device == nil && st.Contact == nil {
			return fmt.Errorf("%w: signed by account %s, which is revoked", share.ErrDenied, st.Issuer.Short())
		}
	}
	_, err := introducer.NewRoster(j.Roster.Grid()).Add(rec.Statements...)
	return err
}

// Newer reports whether a replaces b: the one with more revocations does, then the one with more statements, then the one whose
// bytes come later.
func (j Judge) Newer(_ string, a, b []byte) bool {
	revokedA, allA := j.count(a)
	revokedB, allB := j.count(b)
	switch {
	case revokedA != revokedB:
		return revokedA > revokedB
	case allA != allB:
		return allA > allB
	}
	return bytes.Compare(a, b) > 0
}

func (j Judge) count(value []byte) (revocations, all int) {
	var rec record
	if message.Unmarshal(value, &rec) != nil {
		return 0, 0
	}
	for _, data := range rec.Statements {
		if st, err := introducer.ParseStatement(j.Roster.Grid(), data); err == nil && st.Revocation != nil {
			revocations++
		}
	}
	return revocations, len(rec.Statements)
}

// keepRecord looks into the DHT soon after this node started and after each change, and from time to time.
func (x *Exchange) keepRecord() {
	pause := min(recordAfter, x.every)
	wait := time.NewTimer(pause)
	defer wait.Stop()
	changed := x.roster.Changed()
	for {
		select {
		case <-x.ctx.Done():
			return
		case <-changed:
			changed = x.roster.Changed()
			wait.Reset(pause)
		case <-wait.C:
			x.look()
			wait.Reset(x.every)
		}
	}
}

// look takes in what the DHT has, and puts there what this node has beyond that when it is its turn.
func (x *Exchange) look() {
	ctx, cancel := awake.WithTimeout(x.ctx, recordWithin)
	defer cancel()
	value, err := x.values.GetValue(ctx, Namespace, recordName)
	if err == nil {
		var rec record
		if err = message.Unmarshal(value, &rec); err == nil {
			if _, err := x.roster.Add(rec.Statements...); err != nil {
				x.log.Debug("statements from the DHT refused", "error", err)
			}
		}
	}
	if err != nil && !errors.Is(err, share.ErrNotFound) {
		x.log.Debug("no roster in the DHT", "error", err)
	}
	mine, err := newRecord(x.roster)
	if err != nil || bytes.Equal(mine, value) || !x.publishes() {
		return
	}
	if err := x.values.PutValue(ctx, Namespace, recordName, mine); err != nil {
		x.log.Debug("the roster is not in the DHT", "error", err)
	}
}

// publishes reports whether this is the node that puts the roster into the DHT: of those connected the one with the smallest id.
func (x *Exchange) publishes() bool {
	self := x.host.ID()
	return !slices.ContainsFunc(x.responsive(), func(id share.ServerID) bool { return id < self })
}

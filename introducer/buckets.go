package introducer

import (
	"bytes"
	"crypto/sha256"
	"slices"

	"cairn/share"
)

// buckets is into how many parts a roster is cut to find where two differ.
const buckets = 256

// bucketOf returns the bucket of a slot. A newer statement stays in the bucket of the one that it replaces.
func bucketOf(s slot) int {
	h := sha256.New()
	h.Write([]byte{byte(s.kind)})
	h.Write(s.issuer[:])
	h.Write(s.subject[:])
	return int(h.Sum(nil)[0])
}

// summed computes the digests once, when they are first asked for.
func (v *view) summed() *view {
	v.sumOnce.Do(func() {
		for _, st := range v.live {
			i := bucketOf(st.slot())
			v.inOrder[i] = append(v.inOrder[i], st)
		}
		all := sha256.New()
		for i, list := range v.inOrder {
			if len(list) > 0 {
				v.sums[i] = sumOf(list)
			}
			all.Write(v.sums[i][:])
		}
		all.Sum(v.digest[:0])
	})
	return v
}

// sumOf returns the digest of a bucket, which does not depend on the order of its statements.
func sumOf(list []*Statement) share.Digest {
	sorted := slices.Clone(list)
	slices.SortFunc(sorted, func(a, b *Statement) int { return bytes.Compare(a.digest[:], b.digest[:]) })
	h := sha256.New()
	for _, st := range sorted {
		h.Write(st.digest[:])
	}
	return share.Digest(h.Sum(nil))
}

// Digest returns a digest of the statements that count or could count. Two rosters of one grid that have the same digest
// have the same members.
func (r *Roster) Digest() [32]byte { return r.current().summed().digest }

// Buckets returns the digests of the parts of the roster, zero for an empty part.
func (r *Roster) Buckets() [256]share.Digest { return r.current().summed().sums }

// Bucket returns the statements of one part, each behind those of the same part that it rests on, and nothing for a number
// outside of 0 to 255. What a statement rests on may lie in other parts: add those that differ in one call of Add.
func (r *Roster) Bucket(i int) [][]byte {
	if i < 0 || i >= buckets {
		return nil
	}
	return raw(r.current().summed().inOrder[i])
}

// Statements returns the statements that count or could count, each behind those that it rests on. What accounts without
// authority signed is left out, even where it is kept for the case that they get the authority back.
func (r *Roster) Statements() [][]byte { return raw(r.current().live) }

func raw(list []*Statement) [][]byte {
	out := make([][]byte, len(list))
	for i, st := range list {
		out[i] = st.data
	}
	return out
}

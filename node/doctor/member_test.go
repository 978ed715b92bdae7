package doctor_test

import (
	"strings"
	"testing"
	"time"

	"cairn/node/doctor"
)

func TestMembership(t *testing.T) {
	expect(t, "for good", doctor.Membership(doctor.Member{Nickname: "ann", Member: true}), doctor.OK, "of ann")
	expect(t, "for long", doctor.Membership(doctor.Member{Nickname: "ann", Member: true, Expires: time.Now().AddDate(1, 0, 0)}), doctor.OK, "of ann, until 20")
	expect(t, "for days", doctor.Membership(doctor.Member{Nickname: "ann", Member: true, Expires: time.Now().AddDate(0, 0, 3)}), doctor.Warn, "of ann, until 20")
	expect(t, "over", doctor.Membership(doctor.Member{Nickname: "ann", Reason: "the membership expired on Monday", Expired: true}), doctor.Fail, "of ann, but the membership expired on Monday")
	if c := doctor.Membership(doctor.Member{Nickname: "ann", Expired: true}); !strings.Contains(c.Fix, "cairn members set ann --membership") {
		t.Errorf("the fix does not say how it is renewed: %s", c.Fix)
	}
	expect(t, "revoked", doctor.Membership(doctor.Member{Nickname: "ann", Reason: "revoked by bob"}), doctor.Fail, "revoked by bob")
	expect(t, "unknown", doctor.Membership(doctor.Member{}), doctor.Fail, "nobody vouches")
}

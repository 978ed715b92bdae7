package doctor_test

import (
	"testing"
	"time"

	"cairn/node/doctor"
)

func TestMembership(t *testing.T) {
	expect(t, "for good", doctor.Membership(doctor.Member{Nickname: "ann", Member: true}), doctor.OK, "of ann")
	expect(t, "for long", doctor.Membership(doctor.Member{Nickname: "ann", Member: true, Expires: time.Now().AddDate(1, 0, 0)}), doctor.OK, "of ann, until 20")
	expect(t, "for days", doctor.Membership(doctor.Member{Nickname: "ann", Member: true, Expires: time.Now().AddDate(0, 0, 3)}), doctor.Warn, "of ann, until 20")
	expect(t, "revoked", doctor.Membership(doctor.Member{Nickname: "ann", Reason: "revoked by bob"}), doctor.Fail, "revoked by bob")
	expect(t, "unknown", doctor.Membership(doctor.Member{}), doctor.Fail, "nobody vouches")
}

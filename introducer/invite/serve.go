package invite

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	manet "github.com/multiformats/go-multiaddr/net"

	"cairn/introducer"
	"cairn/introducer/message"
	"cairn/p2p"
	"cairn/share"
)

// servedAtOnce bounds the exchanges served at a time.
const servedAtOnce = 16

// Serve answers one stream of Protocol or Earlier; it is for p2p.Host.HandleStranger.
func (i *Issuer) Serve(s p2p.Stream) {
	joiner := share.ServerID(s.Conn().RemotePeer().String())
	if err := i.serve(s, joiner); err != nil {
		i.log.Info("nobody joined", "peer", joiner.Short(), "error", err)
		s.Reset()
		return
	}
	s.Close()
}

func (i *Issuer) serve(s p2p.Stream, joiner share.ServerID) error {
	select {
	case i.slots <- struct{}{}:
		defer func() { <-i.slots }()
	default:
		return message.Write(s, reply{Verdict: verdictBusy}, maxSmall)
	}
	var h hail
	if err := message.Read(s, &h, maxSmall); err != nil {
		return err
	}
	if err := h.validate(); err != nil {
		return err
	}
	nonce := random(nonceSize)
	if err := message.Write(s, ready{Nonce: nonce}, maxSmall); err != nil {
		return err
	}
	var sent envelope
	if err := message.Read(s, &sent, maxSmall); err != nil {
		return err
	}
	key, exists := i.keyOf(invitationID(h.ID))
	counted, from := &i.guesses, addressOf(s)
	if exists {
		counted, from = &i.holders, invitationID(h.ID).String()
	}
	if !counted.allow(from, i.now()) {
		return message.Write(s, reply{Verdict: verdictBusy}, maxSmall)
	}
	keys := newSession(key, h.Nonce, nonce, joiner, i.cfg.Self)
	plain, err := open(keys.request, sent.Sealed)
	if err != nil {
		counted.fail(from)
		return message.Write(s, reply{Verdict: verdictNotValid}, maxSmall)
	}
	a, err := i.redeem(invitationID(h.ID), plain, keys, joiner)
	if strings.HasSuffix(string(s.Protocol()), "/"+Earlier) {
		a.Kit = nil
	}
	if errors.Is(err, ErrNotValid) {
		counted.fail(from)
		return message.Write(s, reply{Verdict: verdictNotValid}, maxSmall)
	}
	if err != nil {
		return err
	}
	return i.reply(s, a, keys, joiner)
}

// reply sends the answer and takes the statement about the joiner's node that comes back.
func (i *Issuer) reply(s p2p.Stream, a answer, keys session, joiner share.ServerID) error {
	data, err := message.Marshal(a, maxAnswer)
	if err != nil {
		return err
	}
	if err := message.Write(s, reply{Verdict: verdictSealed, Sealed: seal(keys.answer, data)}, maxAnswer+maxSmall); err != nil {
		return err
	}
	if a.Refusal != 0 {
		return nil
	}
	var sent envelope
	if err := message.Read(s, &sent, maxSmall); err != nil {
		return fmt.Errorf("let in, but its node is not named yet: %w", err)
	}
	device, err := open(keys.third, sent.Sealed)
	if err != nil {
		return err
	}
	v := reply{Verdict: verdictAdmitted}
	if _, err := i.cfg.Roster.Add(device); err != nil {
		i.log.Info("a new member's statement about its node is refused", "peer", joiner.Short(), "error", err)
	}
	if i.cfg.Roster.Admit(joiner) != nil {
		v.Verdict = verdictRefused
	}
	return message.Write(s, v, maxSmall)
}

// addressOf returns what counts as one address of those that guess.
func addressOf(s p2p.Stream) string {
	ip, err := manet.ToIP(s.Conn().RemoteMultiaddr())
	if err != nil {
		return ""
	}
	return ip.String()
}

// keyOf returns the key of an invitation and true, and a key that nobody knows where there is no such invitation, so that both
// take the same way.
func (i *Issuer) keyOf(id invitationID) (inviteKey, bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, e := range i.entries {
		if e.ID == id {
			return e.Key, true
		}
	}
	return inviteKey(random(keySize)), false
}

// redeem lets in whoever sealed the request, once for each use of the invitation. The use is on disk before it returns. The
// error is ErrNotValid, or that nothing could be done.
func (i *Issuer) redeem(id invitationID, plain []byte, keys session, joiner share.ServerID) (answer, error) {
	var r request
	if err := message.Unmarshal(plain, &r); err != nil {
		return answer{}, err
	}
	account, err := r.verify(keys)
	if err != nil {
		return answer{}, err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	now := i.now()
	n := slices.IndexFunc(i.entries, func(e *entry) bool { return e.ID == id })
	if n < 0 || !i.entries[n].valid(now) {
		return answer{}, ErrNotValid
	}
	e := i.entries[n]
	known := e.find(account, joiner)
	if known == nil && len(e.Used) >= e.Uses {
		return answer{}, ErrNotValid
	}
	if e.Kind != r.Kind {
		return answer{Refusal: RefusalKind, Text: fmt.Sprintf("the invitation is for a %s", e.Kind)}, nil
	}
	nickname, refusal := i.consider(e, account, known, r.Nickname, now)
	if refusal != nil {
		return *refusal, nil
	}
	if known == nil {
		if err := i.consume(n, use{Account: account, Node: joiner, Nickname: nickname, Time: now.UTC().Truncate(time.Second)}); err != nil {
			return answer{}, err
		}
		if err := i.consumed(); err != nil {
			return answer{}, err
		}
	}
	if e.Kind == KindDevice {
		i.log.Info("a device is paired", "peer", joiner.Short())
		a, err := i.answer(nil)
		a.Seed, a.Kit = i.cfg.Account.Seed(), i.cfg.Kit
		return a, err
	}
	granted, err := i.vouch(e, account, nickname, known != nil, now)
	if err != nil {
		i.log.Warn("somebody with a valid invitation is not let in", "peer", joiner.Short(), "error", err)
		return answer{Refusal: RefusalAuthority, Text: "whoever issued the invitation could not take in a member now; ask them"}, i.release(n, known)
	}
	i.log.Info("a member joined", "nickname", nickname, "account", account.Short(), "peer", joiner.Short(), "invitation", e.ID)
	return i.answer(granted)
}

// consume puts the use on disk.
func (i *Issuer) consume(n int, u use) error {
	list := slices.Clone(i.entries)
	e := *list[n]
	e.Used = append(slices.Clone(e.Used), u)
	list[n] = &e
	if err := i.save(list); err != nil {
		return fmt.Errorf("keep count of uses: %w", err)
	}
	i.entries = list
	return nil
}

// release takes a use back that came to nothing.
func (i *Issuer) release(n int, known *use) error {
	if known != nil {
		return nil
	}
	list := slices.Clone(i.entries)
	e := *list[n]
	e.Used = slices.Clone(e.Used[:len(e.Used)-1])
	list[n] = &e
	if err := i.save(list); err != nil {
		return fmt.Errorf("keep count of uses: %w", err)
	}
	i.entries = list
	return nil
}

// consider returns the nickname of the new member, or why it is not let in.
func (i *Issuer) consider(e *entry, account introducer.AccountKey, known *use, wish string, now time.Time) (string, *answer) {
	if e.Kind == KindDevice {
		return "", nil
	}
	if err := i.mayVouch(now); err != nil {
		return "", &answer{Refusal: RefusalAuthority, Text: "whoever issued the invitation may not take in members any more"}
	}
	if m, there := i.cfg.Roster.Member(account, now); there && m.State == introducer.StateRevoked {
		return "", &answer{Refusal: RefusalRevoked, Text: "this account was revoked in this grid; a new one is needed"}
	}
	if known != nil {
		return known.Nickname, nil
	}
	return i.nickname(e, account, wish, now)
}

// nickname is the one in the invitation; where it names none, or serves several people, the one wished for.
func (i *Issuer) nickname(e *entry, account introducer.AccountKey, wish string, now time.Time) (string, *answer) {
	if e.Nickname != "" && (e.Uses == 1 || wish == "") {
		for n := range e.Uses {
			name := e.Nickname
			if n > 0 {
				name = fmt.Sprintf("%s %d", e.Nickname, n+1)
			}
			if i.free(name, account, now) {
				return name, nil
			}
		}
	}
	if wish == "" {
		return "", &answer{Refusal: RefusalNickname, Text: "the invitation leaves the nickname to you: choose one"}
	}
	if err := introducer.ValidNickname(wish); err != nil {
		return "", &answer{Refusal: RefusalNickname, Text: fmt.Sprintf("choose another nickname: %.200v", err)}
	}
	if !i.free(wish, account, now) {
		return "", &answer{Refusal: RefusalTaken, Text: fmt.Sprintf("another member is called %q: choose another nickname", wish)}
	}
	return wish, nil
}

func (i *Issuer) free(name string, account introducer.AccountKey, now time.Time) bool {
	other, taken := i.cfg.Roster.NicknameTaken(name, now)
	return (!taken || other == account) && introducer.ValidNickname(name) == nil
}

// vouch makes the account a member, and returns the grant. A member that asks again keeps the grant that it has by now, and so
// does one whose grant says the same.
func (i *Issuer) vouch(e *entry, account introducer.AccountKey, nickname string, again bool, now time.Time) ([]byte, error) {
	grant := introducer.Grant{
		Account: account, Nickname: nickname, Introducer: e.Introducer, Quota: e.Quota, Expires: e.MemberUntil,
	}
	if m, there := i.cfg.Roster.Member(account, now); there && m.State == introducer.StateMember && (again || same(m.Granted, grant)) {
		return nil, nil
	}
	return i.cfg.Roster.Vouch(*i.cfg.Signer, grant, now)
}

// same reports whether two grants give the same.
func same(a, b introducer.Grant) bool {
	return a.Account == b.Account && a.Nickname == b.Nickname && a.Introducer == b.Introducer && a.Quota == b.Quota &&
		a.Expires.Truncate(time.Second).Equal(b.Expires.Truncate(time.Second))
}

// answer puts together what a new member needs: the grid, whom to meet, and the statements that make it, this node and the others
// members. Where the roster is large, the others come later.
func (i *Issuer) answer(granted []byte) (answer, error) {
	grid, err := introducer.NewAddress(i.cfg.Roster.Grid(), contacts(i.cfg.Contacts()))
	if err != nil {
		return answer{}, err
	}
	own, err := i.cfg.Roster.Credentials(i.cfg.Self)
	if err != nil {
		return answer{}, fmt.Errorf("this node is no member itself: %w", err)
	}
	if granted != nil {
		own = append(own, granted)
	}
	return answer{Grid: grid.String(), Statements: i.cfg.Roster.Excerpt(own, maxStatements)}, nil
}

// contacts cuts a list of addresses to what a grid address carries.
func contacts(addresses []string) []string {
	const most = 12
	var list []string
	for _, a := range addresses {
		if len(list) < most && !slices.Contains(list, a) {
			list = append(list, a)
		}
	}
	return list
}

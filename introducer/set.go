package introducer

// A set holds the newest statement of each slot. It only grows, but for what is forgotten when nobody heeds it.
type set struct {
	slots map[slot]*Statement
	bytes int // of all statements
	// The same statements, found from one side: subject or issuer first.
	grantsBy    map[AccountKey]map[AccountKey]*Statement // issuer, account
	grantsOf    map[AccountKey]map[AccountKey]*Statement // account, issuer
	revocations map[AccountKey]map[AccountKey]*Statement // account, issuer
	devices     map[AccountKey]map[AccountKey]*Statement // account, node key
	settings    map[AccountKey]*Statement                // issuer
	contacts    map[AccountKey]*Statement                // issuer
}

func newSet() *set {
	return &set{
		slots:       map[slot]*Statement{},
		grantsBy:    map[AccountKey]map[AccountKey]*Statement{},
		grantsOf:    map[AccountKey]map[AccountKey]*Statement{},
		revocations: map[AccountKey]map[AccountKey]*Statement{},
		devices:     map[AccountKey]map[AccountKey]*Statement{},
		settings:    map[AccountKey]*Statement{},
		contacts:    map[AccountKey]*Statement{},
	}
}

// wants reports whether the statement would change the set.
func (s *set) wants(st *Statement) bool {
	held := s.slots[st.slot()]
	return held == nil || st.supersedes(held)
}

// put adds a statement that the set wants.
func (s *set) put(st *Statement) {
	if held := s.slots[st.slot()]; held != nil {
		s.bytes -= len(held.data)
	}
	s.bytes += len(st.data)
	s.slots[st.slot()] = st
	subject := AccountKey(st.subject)
	switch st.Kind {
	case KindGrant:
		index(s.grantsBy, st.Issuer, subject, st)
		index(s.grantsOf, subject, st.Issuer, st)
	case KindDevice:
		index(s.devices, st.Issuer, subject, st)
	case KindRevocation:
		index(s.revocations, subject, st.Issuer, st)
	case KindSettings:
		s.settings[st.Issuer] = st
	case KindContact:
		s.contacts[st.Issuer] = st
	}
}

// drop takes a statement out.
func (s *set) drop(st *Statement) {
	delete(s.slots, st.slot())
	s.bytes -= len(st.data)
	subject := AccountKey(st.subject)
	switch st.Kind {
	case KindGrant:
		unindex(s.grantsBy, st.Issuer, subject)
		unindex(s.grantsOf, subject, st.Issuer)
	case KindDevice:
		unindex(s.devices, st.Issuer, subject)
	case KindRevocation:
		unindex(s.revocations, subject, st.Issuer)
	case KindSettings:
		delete(s.settings, st.Issuer)
	case KindContact:
		delete(s.contacts, st.Issuer)
	}
}

func index(m map[AccountKey]map[AccountKey]*Statement, a, b AccountKey, st *Statement) {
	inner := m[a]
	if inner == nil {
		inner = map[AccountKey]*Statement{}
		m[a] = inner
	}
	inner[b] = st
}

func unindex(m map[AccountKey]map[AccountKey]*Statement, a, b AccountKey) {
	delete(m[a], b)
	if len(m[a]) == 0 {
		delete(m, a)
	}
}

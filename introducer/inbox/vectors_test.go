package inbox_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"testing"
	"time"

	"cairn/introducer/inbox"
)

var update = flag.Bool("update", false, "rewrite docs/vectors/inbox.json")

const vectorFile = "../../docs/vectors/inbox.json"

// A vector is docs/vectors/inbox.json; bytes are hexadecimal.
type vector struct {
	Grid     string       `json:"grid"`
	Sender   string       `json:"sender_seed"`
	Receiver string       `json:"receiver_seed"`
	BoxKey   string       `json:"box_key"`
	CardKey  string       `json:"card_key"`
	Card     string       `json:"card"`
	Notes    []noteVector `json:"notes"`
	Signed   string       `json:"signed"`
	Box      string       `json:"box"`
}

type noteVector struct {
	ID         string `json:"id"`
	Capability string `json:"capability"`
	Name       string `json:"name"`
	Message    string `json:"message,omitempty"`
	Sent       int64  `json:"sent"`
	Expires    int64  `json:"expires,omitempty"`
}

func vectorOf(t *testing.T, notes []inbox.Note) vector {
	t.Helper()
	p, sender, receiver := pair("anna", "bert"), account("anna"), account("bert")
	v := vector{Grid: hex.EncodeToString(p.Grid), Sender: hex.EncodeToString(sender.Seed()), Receiver: hex.EncodeToString(receiver.Seed())}
	boxKey, err := inbox.BoxKey(sender, p)
	if err != nil {
		t.Fatal(err)
	}
	cardKey, err := inbox.CardKey(receiver, p.Grid)
	if err != nil {
		t.Fatal(err)
	}
	card, err := inbox.CardOf(receiver)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := inbox.Sign(sender, p, notes)
	if err != nil {
		t.Fatal(err)
	}
	v.BoxKey, v.CardKey, v.Card = hex.EncodeToString(boxKey[:]), hex.EncodeToString(cardKey[:]), hex.EncodeToString(card.Encoded())
	v.Signed = hex.EncodeToString(signed)
	v.Notes = noteVectors(notes)
	return v
}

func noteVectors(notes []inbox.Note) []noteVector {
	var list []noteVector
	for _, n := range notes {
		shown := noteVector{ID: hex.EncodeToString(n.ID[:]), Capability: n.Capability.Text(), Name: n.Name, Message: n.Message, Sent: n.Sent.Unix()}
		if !n.Expires.IsZero() {
			shown.Expires = n.Expires.Unix()
		}
		list = append(list, shown)
	}
	return list
}

// TestGoldenInbox compares with docs/vectors/inbox.json, and opens the box in it.
func TestGoldenInbox(t *testing.T) {
	until := note(2, "plans/2027", "")
	until.Expires = until.Sent.Add(7 * 24 * time.Hour)
	notes := []inbox.Note{note(1, "holiday", "the pictures"), until}
	got := vectorOf(t, notes)
	if *update {
		got.Box = hex.EncodeToString(seal(t, "anna", pair("anna", "bert"), "bert", notes...))
		data, err := json.MarshalIndent(got, "", " ")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(vectorFile, append(data, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(vectorFile)
	if err != nil {
		t.Fatal(err)
	}
	var want vector
	if err := json.Unmarshal(data, &want); err != nil {
		t.Fatal(err)
	}
	box, err := hex.DecodeString(want.Box)
	if err != nil {
		t.Fatal(err)
	}
	opened, err := inbox.Open(account("bert"), pair("anna", "bert"), box)
	if err != nil {
		t.Fatalf("the box does not open any more: %v", err)
	}
	got.Box, got.Notes = want.Box, noteVectors(opened)
	again, err := json.MarshalIndent(got, "", " ")
	if err != nil || !bytes.Equal(append(again, '\n'), data) {
		t.Errorf("the vectors differ, %v; a change that keeps the format never needs -update:\n%s", err, again)
	}
}

// TestIndependentReader runs docs/check_vectors.py, which knows the formats from docs/formats.md alone, on the inbox.
func TestIndependentReader(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("python3 is not installed: the vectors are not checked by an independent reader")
	}
	out, err := exec.CommandContext(t.Context(), python, "-B", "../../docs/check_vectors.py", "--inbox").CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

package account

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zalando/go-keyring"
)

func TestKeyring(t *testing.T) {
	keyring.MockInit()
	if _, found, err := FromKeyring("node"); found || err != nil {
		t.Errorf("an empty keyring: %t, %v", found, err)
	}
	if err := ToKeyring("node", secretWord); err != nil {
		t.Fatal(err)
	}
	if got, found, err := FromKeyring("node"); got != secretWord || !found || err != nil {
		t.Errorf("got another one, %t, %v", found, err)
	}
	if _, found, _ := FromKeyring("another"); found {
		t.Error("another node's passphrase is found")
	}
	for range 2 {
		if err := ForgetInKeyring("node"); err != nil {
			t.Error(err)
		}
	}
	if _, found, _ := FromKeyring("node"); found {
		t.Error("forgotten, it is still there")
	}
}

// TestKeyringThatHangs: nobody waits for ever for a keyring that does not answer.
func TestKeyringThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		never := make(chan struct{})
		begin := time.Now()
		err := doneInTime(func() error { <-never; return nil })
		if took := time.Since(begin); !errors.Is(err, errKeyringHangs) || took != keyringWithin {
			t.Errorf("after %v: %v", took, err)
		}
		close(never)
		if text, err := inTime(keyringWithin, func() (string, error) { time.Sleep(keyringWithin - 1); return "late", nil }); text != "late" || err != nil {
			t.Errorf("an answer in time: %q, %v", text, err)
		}
	})
}

// TestNoKeyring: where there is none, that is said.
func TestNoKeyring(t *testing.T) {
	broken := errors.New("no desktop session")
	keyring.MockInitWithError(broken)
	if _, _, err := FromKeyring("node"); !errors.Is(err, broken) {
		t.Errorf("get: %v", err)
	}
	if err := ToKeyring("node", "x"); !errors.Is(err, broken) {
		t.Errorf("set: %v", err)
	}
	if err := ForgetInKeyring("node"); !errors.Is(err, broken) {
		t.Errorf("delete: %v", err)
	}
}

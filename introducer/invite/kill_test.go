package invite

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"cairn/introducer"
	"cairn/share"
)

// childEnv makes the test binary issue invitations into this file until it is killed.
const childEnv = "CAIRN_INVITE_TEST_CHILD"

// issueForEver prints the id of the grid, then that of each invitation that is issued.
func issueForEver(path string) error {
	grid, key, err := introducer.Found("g", share.Params{}, false, time.Now())
	if err != nil {
		return err
	}
	signer, err := introducer.GridSigner(grid, key)
	if err != nil {
		return err
	}
	i, err := OpenIssuer(Config{
		Path: path, Roster: introducer.NewRoster(grid), Signer: &signer, Self: peerA,
		Addresses: func() []string { return []string{"/ip4/192.0.2.1/tcp/1/p2p/" + peerA} },
	})
	if err != nil {
		return err
	}
	fmt.Println(grid.ID())
	for {
		inv, err := i.Issue(Terms{Expires: time.Now().Add(time.Hour)})
		if err != nil {
			return err
		}
		id := inv.id()
		fmt.Println(id)
	}
}

// TestKillWhileIssuing: a process that is killed while it writes leaves a whole file with all that it had acknowledged.
func TestKillWhileIssuing(t *testing.T) {
	for round := range 5 {
		path := filepath.Join(t.TempDir(), "invitations")
		child := exec.CommandContext(t.Context(), os.Args[0])
		child.Env = append(os.Environ(), childEnv+"="+path)
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		var said []string
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if said = append(said, lines.Text()); len(said) == 4+3*round {
				child.Process.Kill()
			}
		}
		child.Wait()
		if len(said) < 4 {
			t.Fatalf("the process said %q", said)
		}
		list, err := readLedger(path, said[0])
		if err != nil {
			t.Fatal(err)
		}
		have := make(map[string]bool)
		for _, e := range list {
			have[e.ID.String()] = true
		}
		for _, id := range said[1:] {
			if !have[id] {
				t.Errorf("round %d: invitation %s is lost", round, id)
			}
		}
	}
}

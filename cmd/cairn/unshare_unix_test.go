//go:build unix

package main

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cairn/node/control"
)

// friendsGrid runs the nodes of three members of a private grid.
func friendsGrid(t *testing.T) *testGrid {
	t.Helper()
	g := emptyGrid(t)
	for i, name := range []string{"anna", "bert", "carla"} {
		dir := g.Dir(name)
		g.dirs = append(g.dirs, dir)
		g.must(t, "init", "--dir", dir, "-q", "--nickname", name, "--listen", "/ip4/127.0.0.1/tcp/0")
		if i == 0 {
			g.must(t, "grid", "create", "friends", "--k", "1", "--happy", "2", "--n", "3", "--dir", dir)
		} else {
			invitation := strings.Fields(string(g.must(t, "invite", "-q", "--dir", g.dirs[0])))
			g.must(t, "join", "--no-start", "--dir", dir, invitation[len(invitation)-1])
		}
		g.nodes = append(g.nodes, g.up(t, dir))
	}
	for _, dir := range g.dirs {
		g.await(t, dir, 2)
	}
	return g
}

// hands has the first share a path with another, who accepts it.
func (g *testGrid) hands(t *testing.T, to int, target string) {
	t.Helper()
	until(t, "the card of "+filepath.Base(g.dirs[to])+" is there", func() bool {
		_, err := g.Run(t.Context(), "share", "--dir", g.dirs[0], "home:work", "--to", filepath.Base(g.dirs[to]))
		return err == nil
	})
	var list control.Shares
	if err := json.Unmarshal(g.must(t, "shares", "--json", "--dir", g.dirs[to]), &list); err != nil || len(list.Received) != 1 {
		t.Fatalf("%+v, %v", list, err)
	}
	g.must(t, "shares", "accept", "--dir", g.dirs[to], list.Received[0].ID, target)
}

// TestUnshareKilled kills the node of who takes a directory back, earlier and later, until it is taken back: the owner always has
// everything, and in the end the former reader sees nothing new, and the other one does.
func TestUnshareKilled(t *testing.T) {
	grid := friendsGrid(t)
	anna, bert, carla := grid.dirs[0], grid.dirs[1], grid.dirs[2]
	tree := t.TempDir()
	for i := range 120 {
		writeFile(t, filepath.Join(tree, fmt.Sprint(i%30), fmt.Sprintf("file%d", i)), 100)
	}
	grid.must(t, "cp", "-r", "--dir", anna, tree+"/.", "home:work")
	grid.hands(t, 1, "home:old")
	grid.hands(t, 2, "home:theirs")
	files := func(dir, target string) int {
		return strings.Count(string(grid.must(t, "ls", "-R", "--dir", dir, target)), "file")
	}
	kills := 0
	for after := 60 * time.Millisecond; ; kills, after = kills+1, after*4/3 {
		unshare, stderr := command(t, "unshare", "--dir", anna, "home:work", "--to", "bert")
		if err := unshare.Start(); err != nil {
			t.Fatal(err)
		}
		killer := time.AfterFunc(after, grid.nodes[0].Kill)
		err := unshare.Wait()
		if killer.Stop() {
			if err != nil {
				t.Fatalf("it failed before its node was killed: %s", stderr)
			}
			break
		}
		<-grid.nodes[0].Ended()
		if err != nil && !strings.Contains(stderr.String(), "run the same command again") && !strings.Contains(stderr.String(), "not running") {
			t.Fatalf("killed: %s", stderr)
		}
		grid.nodes[0] = grid.up(t, anna)
		grid.await(t, anna, 2)
		if n := files(anna, "home:work"); n != 120 {
			t.Fatalf("after %d kills the owner sees %d files", kills+1, n)
		}
		if err == nil {
			break // it was done, and killed after that
		}
		if shares := string(grid.must(t, "shares", "--dir", anna)); !strings.Contains(shares, "bert") {
			break // done too, but for the answer
		}
	}
	t.Logf("killed %d times", kills)
	grid.must(t, "put", "-q", "--dir", anna, filepath.Join(tree, "1", "file1"), "home:work/1/secret")
	if seen := string(grid.must(t, "ls", "-R", "--dir", bert, "home:old")); strings.Contains(seen, "secret") || strings.Count(seen, "file") != 120 {
		t.Errorf("the former reader sees\n%s", seen)
	}
	until(t, "the other one has the new keys", func() bool {
		grid.must(t, "shares", "--dir", carla)
		return strings.Contains(string(grid.must(t, "ls", "-R", "--dir", carla, "home:theirs")), "secret")
	})
	if shares := string(grid.must(t, "shares", "--dir", anna)); strings.Contains(shares, "bert") || !strings.Contains(shares, "carla") {
		t.Errorf("the owner shares\n%s", shares)
	}
}

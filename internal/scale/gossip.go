package scale

import (
	"math/rand/v2"
	"slices"
)

// A Graph says which members are connected.
type Graph [][]int32

// NewGraph connects n members at random, each to at most keep others.
func NewGraph(n, keep int, seed uint64) Graph {
	random := rand.New(rand.NewPCG(seed, seed))
	g := make(Graph, n)
	if keep >= n-1 {
		for i := range g {
			for j := range g {
				if i != j {
					g[i] = append(g[i], int32(j))
				}
			}
		}
		return g
	}
	// Everybody joins through an earlier member, then dials others as long as both have room.
	for i := 1; i < n; i++ {
		g.connect(i, random.IntN(i))
	}
	for range n * keep {
		i, j := random.IntN(n), random.IntN(n)
		if len(g[i]) < keep && len(g[j]) < keep {
			g.connect(i, j)
		}
	}
	return g
}

func (g Graph) connect(i, j int) {
	if i != j && !slices.Contains(g[i], int32(j)) {
		g[i], g[j] = append(g[i], int32(j)), append(g[j], int32(i))
	}
}

// Degree returns how many others a member is connected to on average.
func (g Graph) Degree() float64 {
	sum := 0
	for _, others := range g {
		sum += len(others)
	}
	return float64(sum) / float64(len(g))
}

// A Spread is what it took to tell everybody something.
type Spread struct {
	Rounds   int // exchanges in a row until the last one knew
	Messages int // pushes of the news, to members that knew it already too
	Reached  int // members that know
}

// Push has a member tell all others it is connected to, and everybody who hears of it for the first time do the same, except
// to whom it was heard from.
func (g Graph) Push(from int) (s Spread) {
	rounds := make([]int, len(g))
	rounds[from] = 1
	queue := []int32{int32(from)}
	teller := make([]int32, len(g))
	teller[from] = -1
	for len(queue) > 0 {
		one := queue[0]
		queue = queue[1:]
		s.Reached++
		s.Rounds = max(s.Rounds, rounds[one]-1)
		for _, other := range g[one] {
			if other == teller[one] {
				continue
			}
			s.Messages++
			if rounds[other] == 0 {
				rounds[other], teller[other] = rounds[one]+1, one
				queue = append(queue, other)
			}
		}
	}
	return s
}

// Pull has everybody compare with one random connected member per round, until all know. Messages are the comparisons.
func (g Graph) Pull(from int, seed uint64) (s Spread) {
	random := rand.New(rand.NewPCG(seed, seed))
	knows := make([]bool, len(g))
	knows[from], s.Reached = true, 1
	for s.Reached < len(g) && s.Rounds < len(g) {
		s.Rounds++
		for i := range g {
			if len(g[i]) == 0 {
				continue
			}
			s.Messages++
			j := int(g[i][random.IntN(len(g[i]))])
			if knows[i] != knows[j] {
				knows[i], knows[j] = true, true
				s.Reached++
			}
		}
	}
	return s
}

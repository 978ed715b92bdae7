package scale_test

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"cairn/internal/scale"
)

// TestLookupsFindTheClosest checks that the simulated lookups do what lookups are for, at a cost that grows with the logarithm.
func TestLookupsFindTheClosest(t *testing.T) {
	var cost []float64
	for _, n := range []int{15, 200, 2000} {
		d := scale.NewDHT(n, 1)
		right, questions := 0, 0
		const lookups = 50
		for i := range lookups {
			at := d.Position()
			from := i % n
			found := d.Find(from, at)
			questions += found.Questions
			want := slices.DeleteFunc(d.Closest(at, scale.BucketSize+1), func(one int32) bool { return int(one) == from })
			want = want[:min(scale.BucketSize, len(want))]
			if len(found.Found) != len(want) {
				t.Fatalf("%d members: %d were found, want %d", n, len(found.Found), len(want))
			}
			for _, one := range want {
				if slices.Contains(found.Found, one) {
					right++
				}
			}
			if !slices.Contains(found.Found, want[0]) {
				t.Errorf("%d members: the closest of all was not found", n)
			}
		}
		if wrong := lookups*min(n-1, scale.BucketSize) - right; wrong > lookups/5 {
			t.Errorf("%d members: %d of %d lookups' results are wrong", n, wrong, right+wrong)
		}
		cost = append(cost, float64(questions)/lookups)
	}
	// The questions under way when a lookup ends are asked again, in kad-dht as here.
	if cost[0] > 14+scale.Concurrency || cost[1] < scale.BucketSize || cost[2] > 3*scale.BucketSize {
		t.Errorf("questions per lookup: %v", cost)
	}
}

func TestRegionsCoverTheGrid(t *testing.T) {
	small, _ := scale.NewDHT(15, 1).Regions()
	large, _ := scale.NewDHT(2000, 1).Regions()
	if small != 1 || large < 2000/20 || large > 2000/5 {
		t.Errorf("lookups of a sweep: %d with 15 members, %d with 2000", small, large)
	}
}

func TestNewsReachesEverybody(t *testing.T) {
	for _, test := range []struct{ n, keep, rounds int }{{2, 200, 1}, {50, 200, 1}, {200, 20, 4}, {2000, 50, 4}} {
		g := scale.NewGraph(test.n, test.keep, 1)
		for _, others := range g {
			if len(others) > test.keep && len(others) > test.n/10 {
				t.Errorf("a member is connected to %d", len(others))
			}
		}
		push := g.Push(0)
		edges := int(math.Round(g.Degree() * float64(test.n)))
		if push.Reached != test.n || push.Rounds > test.rounds || push.Messages != edges-(test.n-1) {
			t.Errorf("%d members, %d connections: %+v", test.n, test.keep, push)
		}
		if pull := g.Pull(0, 1); pull.Reached != test.n || pull.Rounds > 12 {
			t.Errorf("%d members, %d connections: %+v", test.n, test.keep, pull)
		}
	}
}

// BenchmarkLookups prints the cost of lookups and of sweeps for grids of several sizes.
func BenchmarkLookups(b *testing.B) {
	for _, n := range []int{100, 200, 1000, 10_000} {
		b.Run(fmt.Sprintf("members=%d", n), func(b *testing.B) {
			for b.Loop() {
				d := scale.NewDHT(n, 1)
				const lookups = 300
				questions, hops, right := 0, 0, 0
				for i := range lookups {
					at := d.Position()
					from := i * 7 % n
					found := d.Find(from, at)
					questions, hops = questions+found.Questions, hops+found.Hops
					for _, one := range d.Closest(at, 8) {
						if int(one) == from || slices.Contains(found.Found, one) {
							right++
						}
					}
				}
				members, buckets := d.TableSize()
				sweep, asked := d.Regions()
				b.ReportMetric(float64(questions)/lookups, "questions/lookup")
				b.ReportMetric(float64(hops)/lookups, "hops/lookup")
				b.ReportMetric(float64(right)/lookups/8*100, "%right")
				b.ReportMetric(members, "members/table")
				b.ReportMetric(buckets, "buckets/table")
				b.ReportMetric(float64(sweep), "lookups/sweep")
				b.ReportMetric(float64(asked), "questions/sweep")
			}
		})
	}
}

// BenchmarkNews prints what it costs to tell everybody something.
func BenchmarkNews(b *testing.B) {
	for _, test := range []struct{ n, keep int }{{200, 20}, {200, 200}, {1000, 200}, {10_000, 50}, {10_000, 200}} {
		b.Run(fmt.Sprintf("members=%d/keep=%d", test.n, test.keep), func(b *testing.B) {
			for b.Loop() {
				g := scale.NewGraph(test.n, test.keep, 1)
				push, pull := g.Push(1), g.Pull(1, 1)
				b.ReportMetric(g.Degree(), "connections")
				b.ReportMetric(float64(push.Rounds), "push-rounds")
				b.ReportMetric(float64(push.Messages)/float64(test.n), "pushes/member")
				b.ReportMetric(float64(pull.Rounds), "pull-rounds")
			}
		})
	}
}

package console

import (
	"math"
	"slices"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestQuantilesAreWithinTheirError checks quantiles against the sorted values.
func TestQuantilesAreWithinTheirError(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		// By exponents, or nearly all would be minutes.
		values := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) time.Duration {
			shortest, longest := math.Log(float64(10*time.Microsecond)), math.Log(float64(10*time.Minute))
			return time.Duration(math.Exp(rapid.Float64Range(shortest, longest).Draw(t, "log")))
		}), 1, 300).Draw(t, "values")
		parts := rapid.IntRange(1, 4).Draw(t, "parts")
		var of sum
		var l live
		for i, v := range values {
			l.add(v)
			if i%parts == 0 {
				step := l.take()
				of.addSealed(&step)
			}
		}
		of.addLive(&l)
		slices.Sort(values)
		for _, q := range []float64{0.01, 0.5, 0.9, 0.99, 1} {
			want := float64(values[max(int(math.Ceil(q*float64(len(values)))), 1)-1]) / float64(time.Millisecond)
			got := *of.quantile(q)
			if off := math.Abs(got-want) / want; off > 0.05 {
				t.Errorf("quantile %v of %d values: %v ms, want %v ms: off by %.1f %%", q, len(values), got, want, 100*off)
			}
		}
		if got, want := *of.largest(), *millis(values[len(values)-1]); got != want {
			t.Errorf("the largest is %v, want %v", got, want)
		}
		if of.n != uint64(len(values)) {
			t.Errorf("%d values, want %d", of.n, len(values))
		}
	})
}

func TestBucketsAreInOrderAndWhole(t *testing.T) {
	last := 0
	for d := time.Duration(1); d < 20*time.Minute; d += d/64 + 1 {
		b := bucketOf(d)
		if b < last || b > last+1 {
			t.Fatalf("%v is in bucket %d, the one before in %d", d, b, last)
		}
		last = b
		if m := middle(b); b > 0 && b < buckets-1 && math.Abs(float64(m-d)) > float64(d)/31 {
			t.Fatalf("bucket %d of %v has %v in its middle", b, d, m)
		}
	}
	if last != buckets-1 {
		t.Errorf("20 minutes are in bucket %d, want the last, %d", last, buckets-1)
	}
}

func TestWhatIsOutOfRangeCounts(t *testing.T) {
	var l live
	for _, d := range []time.Duration{-time.Second, 0, time.Microsecond, 100 * time.Hour} {
		l.add(d)
	}
	step := l.take()
	var of sum
	of.addSealed(&step)
	if of.n != 4 || *of.quantile(0.5) != 0 || *of.largest() != 360_000_000 || *of.quantile(1) > *of.largest() {
		t.Errorf("%d values, median %v, last %v, largest %v", of.n, *of.quantile(0.5), *of.quantile(1), *of.largest())
	}
	if empty := new(sum); empty.quantile(0.5) != nil || empty.largest() != nil {
		t.Error("nothing has a quantile")
	}
}

// TestStepsWhileWorkEnds: what is counted while a step ends has its duration in whichever
// step it is.
func TestStepsWhileWorkEnds(t *testing.T) {
	const each, took = 20_000, 5 * time.Millisecond
	var l live
	var adding sync.WaitGroup
	for range 4 {
		adding.Go(func() {
			for range each {
				l.add(took)
			}
		})
	}
	counted := uint64(0)
	for counted < 4*each {
		step := l.take()
		var of sum
		of.addSealed(&step)
		if counted += of.n; of.n == 0 {
			continue
		}
		if median, most := *of.quantile(0.5), *of.largest(); median < 4.8 || median > 5.2 || most < median || most > 5.2 {
			t.Fatalf("a step with %d values of %v has the median %v ms, and the longest %v ms", of.n, took, median, most)
		}
	}
	adding.Wait()
	// The worst case: the longest is known in one step, and counted in the next.
	l.add(took)
	l.max.Store(0)
	var now sum
	now.addLive(&l)
	if got := *now.quantile(0.99); got < 4.8 {
		t.Errorf("p99 is %v ms, want about 5", got)
	}
}

// BenchmarkEnded is what each request pays, with as many of them at once as there are
// processors.
func BenchmarkEnded(b *testing.B) {
	c := New(Options{Classes: twoClasses})
	for range slowPerMinute { // so that what follows is not slow
		c.Slow(0, time.Hour, Slow{})
	}
	c.Hit("reports")
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			c.Hit("reports")
			c.Ended(0, Work{Wait: 40 * time.Microsecond, Latency: 3 * time.Millisecond})
			c.Took("app", 2*time.Millisecond)
			if c.IsSlow(0, 3*time.Millisecond) {
				b.Error("slow")
			}
		}
	})
}

// TestOrdinaryWorkAllocatesNothing: it is noted for every request.
func TestOrdinaryWorkAllocatesNothing(t *testing.T) {
	c := newTest(t)
	for range slowPerMinute {
		c.Slow(0, time.Hour, Slow{})
	}
	note := func() {
		c.Hit("reports")
		c.Took("app", time.Second)
		c.Ended(0, Work{Wait: time.Millisecond, Latency: time.Second})
		c.Ended(0, Work{Failure: Failure{Kind: Refused, Upstream: "app", Reason: "max_wait"}})
		c.IsSlow(0, time.Second)
	}
	if n := testing.AllocsPerRun(100, note); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

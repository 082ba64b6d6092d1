package arrival

import (
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// until returns the arrivals before end.
func until(t testing.TB, p Plan, seed uint64, name string, end time.Duration) []time.Duration {
	t.Helper()
	if err := p.Check(); err != nil {
		t.Fatal(err)
	}
	s := p.Open(seed, name)
	var times []time.Duration
	for {
		a, ok := s.Next()
		if !ok || a.At >= end {
			return times
		}
		times = append(times, a.At)
	}
}

func count(times []time.Duration, from, to time.Duration) (n int) {
	for _, at := range times {
		if at >= from && at < to {
			n++
		}
	}
	return n
}

// zigzag is a rate with all that a rate can have.
var zigzag = []Piece{
	{Duration: 10 * time.Second, From: 100, To: 500}, // up
	{Duration: 5 * time.Second, From: 500, To: 500},
	{Duration: 10 * time.Second},                  // nothing
	{From: 700, To: 700},                          // no time
	{Duration: 10 * time.Second, From: 400},       // down to nothing
	{Duration: 10 * time.Second, From: 0, To: 50}, // up from nothing
	{Duration: 5 * time.Second, From: 200, To: 200},
	{From: 100, To: 100},
}

// In each second there are as many requests as the rate says, give or take what
// chance does: the counts of a Poisson process have the variance of their mean.
func TestPoissonFollowsTheRate(t *testing.T) {
	const seeds = 40
	plan := Plan{Rate: zigzag}
	var chi float64
	seconds := 0
	var all [60]float64
	for seed := range uint64(seeds) {
		times := until(t, plan, seed, "a", 60*time.Second)
		for i := range all {
			all[i] += float64(count(times, time.Duration(i)*time.Second, time.Duration(i+1)*time.Second))
		}
	}
	for i, n := range all {
		from := time.Duration(i) * time.Second
		want := seeds * plan.Mean(from, from+time.Second)
		if want == 0 {
			if n != 0 {
				t.Errorf("%v: %v requests at a rate of 0", from, n)
			}
			continue
		}
		if off := (n - want) / math.Sqrt(want); math.Abs(off) > 4 {
			t.Errorf("%v: %v requests, want %.1f: %.1f standard deviations", from, n, want, off)
		}
		chi += (n - want) * (n - want) / want
		seconds++
	}
	// Chi-square has this mean and, at this many degrees, nearly this deviation.
	if off := (chi - float64(seconds)) / math.Sqrt(2*float64(seconds)); math.Abs(off) > 4 {
		t.Errorf("chi-square %.1f for %d seconds", chi, seconds)
	}
}

// Within a ramp, the times have the distribution that the rate says
// (Kolmogorov-Smirnov).
func TestPoissonWithinARamp(t *testing.T) {
	plan := Plan{Rate: []Piece{{Duration: 100 * time.Second, From: 0, To: 2000}, {}}}
	times := until(t, plan, 3, "a", time.Hour)
	n := float64(len(times))
	var far float64
	for i, at := range times {
		share := at.Seconds() * at.Seconds() / 1e4
		far = max(far, math.Abs(share-float64(i)/n), math.Abs(share-float64(i+1)/n))
	}
	if math.Abs(n-1e5) > 4*math.Sqrt(1e5) || far > 1.95/math.Sqrt(n) {
		t.Errorf("%v requests, want about 100000; largest distance %v", n, far)
	}
}

func TestConstantIsAMetronome(t *testing.T) {
	times := until(t, Plan{Spacing: Constant, Rate: []Piece{{From: 250, To: 250}}}, 1, "a", time.Hour)
	if n := len(times); n != 250*3600 {
		t.Errorf("%d requests in an hour, want %d", n, 250*3600)
	}
	for i, at := range times {
		if off := at - times[0] - time.Duration(i)*4*time.Millisecond; off < -1 || off > 1 {
			t.Fatalf("request %d is %v off", i, off)
		}
	}
	other := until(t, Plan{Spacing: Constant, Rate: []Piece{{From: 250, To: 250}}}, 1, "b", time.Second)
	if times[0] == other[0] || times[0] < 0 || times[0] > 4*time.Millisecond {
		t.Errorf("two classes begin at %v and %v, want different times below 4ms", times[0], other[0])
	}
}

// A naive oracle: it walks through the rate in tiny steps and notes when a unit was
// cumulated.
func TestConstantAgainstSteps(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		rates := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) Piece {
			rate := rapid.Float64Range(0, 40)
			if rapid.Bool().Draw(rt, "zero") {
				rate = rapid.Just(0.0)
			}
			return Piece{
				Duration: time.Duration(rapid.IntRange(0, 3000).Draw(rt, "ms")) * time.Millisecond,
				From:     rate.Draw(rt, "from"), To: rate.Draw(rt, "to"),
			}
		}), 1, 5).Draw(rt, "rates")
		plan := Plan{Spacing: Constant, Rate: rates, Bursts: Bursts{Size: 1, First: longest}}
		const end = 10 * time.Second
		times := until(t, plan, rapid.Uint64().Draw(rt, "seed"), "a", end)
		if !slices.IsSorted(times) {
			rt.Fatalf("times go back: %v", times)
		}
		stepped := steps(rates, end)
		// The k-th is due when the k-th unit after a phase below one is full.
		for i, at := range times {
			if i == 0 {
				continue
			}
			if n := stepped(at) - stepped(times[0]); math.Abs(n-float64(i)) > 0.05 {
				rt.Fatalf("request %d at %v: %v were due before", i, at, n)
			}
		}
		total := stepped(end)
		if n := float64(len(times)); n < math.Floor(total-0.05) || n > math.Ceil(total+0.05) {
			rt.Fatalf("%v requests, want about %v", n, total)
		}
		if mean := plan.Mean(0, end) * end.Seconds(); math.Abs(mean-total) > 0.05 {
			rt.Fatalf("a mean of %v requests, want %v", mean, total)
		}
	})
}

// steps sums the rate at the middle of each half millisecond up to end; what it
// returns is the sum before a time.
func steps(rates []Piece, end time.Duration) func(at time.Duration) float64 {
	const step = time.Millisecond / 2
	sums := []float64{0}
	for now := step / 2; now < end; now += step {
		sums = append(sums, sums[len(sums)-1]+rateAt(rates, now)*step.Seconds())
	}
	return func(at time.Duration) float64 { return sums[(at+step/2)/step] }
}

func rateAt(rates []Piece, now time.Duration) float64 {
	for _, p := range rates {
		if now < p.Duration {
			return p.From + (p.To-p.From)*now.Seconds()/p.Duration.Seconds()
		}
		now -= p.Duration
	}
	return rates[len(rates)-1].To
}

// Scale against the product of what both are at a time.
func TestScaleAgainstProduct(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		length := func(name string) time.Duration {
			return time.Duration(rapid.IntRange(0, 5).Draw(rt, name)) * time.Second
		}
		var rate []Piece
		for range rapid.IntRange(1, 4).Draw(rt, "pieces") {
			rate = append(rate, Piece{length("rate for"), rapid.Float64Range(0, 9).Draw(rt, "from"), rapid.Float64Range(0, 9).Draw(rt, "to")})
		}
		var by []Factor
		var factors []Piece
		for range rapid.IntRange(1, 4).Draw(rt, "factors") {
			f := Factor{length("factor for"), rapid.Float64Range(0, 9).Draw(rt, "by")}
			by = append(by, f)
			factors = append(factors, Piece{f.Duration, f.By, f.By})
		}
		before := slices.Clone(rate)
		scaled := Scale(rate, by)
		if !slices.Equal(rate, before) {
			rt.Fatal("the rate was changed")
		}
		for now := time.Second / 3; now < 30*time.Second; now += time.Second {
			want := rateAt(rate, now)
			if k := rateAt(factors, now); math.Abs(rateAt(scaled, now)-want*k) > 1e-6 {
				rt.Fatalf("at %v: %v, want %v x %v", now, rateAt(scaled, now), want, k)
			}
		}
	})
}

// A class that is added leaves the others' times as they were, and a schedule that
// has nothing more says so at once and for ever.
func TestScheduleEnds(t *testing.T) {
	for name, plan := range map[string]Plan{
		"down to nothing": {Rate: []Piece{{Duration: time.Second, From: 100}}},
		"nothing after":   {Rate: []Piece{{Duration: time.Second, From: 100, To: 100}, {}}},
		"one burst":       {Bursts: Bursts{Size: 3}},
		"a replay":        {Replay: Replay{Arrivals: []Arrival{{At: 1}}}},
		"beyond time":     {Rate: []Piece{{From: 1e-300, To: 1e-300}}},
		"nothing":         {},
	} {
		s := plan.Open(1, "a")
		n := 0
		for ; n < 1000; n++ {
			if _, ok := s.Next(); !ok {
				break
			}
		}
		if _, ok := s.Next(); ok || n == 1000 {
			t.Errorf("%s: no end after %d requests", name, n)
		}
	}
}

func TestRateComesBackFromZero(t *testing.T) {
	plan := Plan{Rate: []Piece{{Duration: time.Second, From: 10, To: 10}, {Duration: 1000 * time.Hour}, {From: 10, To: 10}}}
	times := until(t, plan, 1, "a", 1000*time.Hour+11*time.Second)
	if n := count(times, 2*time.Second, 1000*time.Hour); n != 0 {
		t.Errorf("%d requests at a rate of 0", n)
	}
	if n := count(times, 1000*time.Hour, 1001*time.Hour); n < 60 || n > 140 {
		t.Errorf("%d requests after it, want about 100", n)
	}
}

func TestBurstsAndReplayComeOnTop(t *testing.T) {
	recorded := []Arrival{{At: 0, Method: "GET", Target: "/a"}, {At: 2 * time.Second, Target: "/b"}, {At: 2 * time.Second, Target: "/c"}}
	plan := Plan{
		Bursts: Bursts{Size: 2, First: time.Second, Every: time.Second},
		Replay: Replay{Arrivals: recorded, Start: 500 * time.Millisecond, Speed: 2},
	}
	s := plan.Open(1, "a")
	want := []Arrival{
		{500 * time.Millisecond, "GET", "/a"}, {At: time.Second}, {At: time.Second},
		{1500 * time.Millisecond, "", "/b"}, {1500 * time.Millisecond, "", "/c"}, {At: 2 * time.Second}, {At: 2 * time.Second},
	}
	for i, w := range want {
		if got, ok := s.Next(); got != w || !ok {
			t.Errorf("arrival %d is %+v, %t; want %+v", i, got, ok, w)
		}
	}
	if got := plan.Mean(0, 2*time.Second); got != 5.0/2 { // those before 2 s
		t.Errorf("mean %v, want 2.5", got)
	}
	if got := plan.Mean(1500*time.Millisecond, 2*time.Second+1); got != 4/(500*time.Millisecond+1).Seconds() {
		t.Errorf("mean %v, want 4 in half a second", got)
	}
	twice := plan.Times(2)
	if n := len(until(t, twice, 1, "a", 2500*time.Millisecond)); n != 3+4+4 {
		t.Errorf("%d requests at twice the load, want 11", n)
	}
	if plan.Times(0.01).Bursts.Size != 1 {
		t.Error("a burst lost all of its requests")
	}
}

// Rate, bursts and replay are each where they are without the others.
func TestPartsDontMoveEachOther(t *testing.T) {
	rate := Plan{Rate: zigzag}
	alone := until(t, rate, 5, "a", time.Minute)
	rate.Bursts = Bursts{Size: 7, First: 3 * time.Second, Every: 11 * time.Second}
	both := until(t, rate, 5, "a", time.Minute)
	if len(both) != len(alone)+6*7 || !slices.IsSorted(both) {
		t.Fatalf("%d requests with bursts, %d without", len(both), len(alone))
	}
	for _, at := range alone {
		i := slices.Index(both, at)
		if i < 0 {
			t.Fatalf("the request at %v is gone", at)
		}
	}
}

func TestCheck(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	for name, plan := range map[string]Plan{
		"nothing":        {},
		"zero":           {Rate: []Piece{{}}},
		"negative":       {Rate: []Piece{{From: -1, To: 1}}},
		"not a number":   {Rate: []Piece{{From: nan, To: nan}}},
		"infinite":       {Rate: []Piece{{From: 1, To: inf}}},
		"above all":      Steady(1e7),
		"no such length": {Rate: []Piece{{Duration: -1, From: 1, To: 1}}},
		"too long":       {Rate: []Piece{{Duration: longest, From: 1}, {Duration: 1}}},
		"spacing":        {Spacing: 2, Rate: Steady(1).Rate},
		"burst":          {Bursts: Bursts{Size: -1}},
		"bursts often":   {Bursts: Bursts{Size: 1, Every: 1}},
		"burst before":   {Bursts: Bursts{Size: 1, First: -1}},
		"unsorted":       {Replay: Replay{Arrivals: []Arrival{{At: 2}, {At: 1}}}},
		"speed":          {Replay: Replay{Arrivals: []Arrival{{}}, Speed: nan}},
		"start":          {Replay: Replay{Arrivals: []Arrival{{}}, Start: -1}},
	} {
		if plan.Check() == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if err := Steady(10).Check(); err != nil {
		t.Error(err)
	}
}

// Nothing is allocated per request.
func TestNextAllocatesNothing(t *testing.T) {
	s := Plan{Rate: zigzag, Bursts: Bursts{Size: 10, Every: time.Second}}.Open(1, "a")
	if n := testing.AllocsPerRun(1000, func() { s.Next() }); n != 0 {
		t.Errorf("%v allocations a request", n)
	}
}

package scenario

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"overtake/classifier/strictyaml"
	"overtake/loadgen/arrival"
)

// arrivals checks when requests of the class are due. All but a steady rate begins
// with the measured part: in the warm-up, the first rate holds.
func (d *draft) arrivals(at string, c *class) arrival.Plan {
	key := func(name string) string { return strictyaml.Join(at, name) }
	p := arrival.Plan{Rate: d.rate(at, c)}
	switch c.Arrivals {
	case "constant":
		p.Spacing = arrival.Constant
	case "", "poisson":
	default:
		d.Wrong(key("arrivals"), c.Arrivals, "is not a kind of arrivals", strictyaml.Suggest(c.Arrivals, []string{"poisson", "constant"}))
	}
	if d.Given(key("arrivals")) && !c.hasRate() && !d.anyGivenBroken(at) {
		d.Problem(key("arrivals"), "give it a rate, or leave this out", "the class has no rate to be spread")
	}
	if b := c.Bursts; b != nil {
		p.Bursts = arrival.Bursts{Size: b.Size, First: d.file.Warmup + b.First, Every: b.Every}
		d.checkBursts(key("bursts"), b)
	}
	if c.Replay != nil {
		p.Replay = d.replay(key("replay"), c.Replay)
	}
	if !c.hasRate() && c.Bursts == nil && c.Replay == nil && !d.anyGivenBroken(at) {
		if d.Given(key("rate")) {
			d.Problem(key("rate"), "want more than 0/s, or bursts or a replay beside it", "is 0: nothing to send")
		} else {
			d.Problem(at, "give it a rate such as 10/s, a ramp, steps, bursts or a replay", "nothing says when to send")
		}
	}
	return p
}

// anyGivenBroken says whether something that says when to send could not be read.
func (d *draft) anyGivenBroken(at string) bool {
	for _, key := range []string{"rate", "ramp", "steps", "bursts", "replay"} {
		if d.AnyBroken(strictyaml.Join(at, key)) {
			return true
		}
	}
	return false
}

// rate puts the rate of the class together, with the factors of the phases.
func (d *draft) rate(at string, c *class) []arrival.Piece {
	var given []string
	for _, key := range []string{"rate", "ramp", "steps"} {
		if d.Given(strictyaml.Join(at, key)) {
			given = append(given, key)
		}
	}
	if len(given) > 1 {
		d.Problem(strictyaml.Join(at, given[1]), "keep one of them", "the class has %s, each of which is its rate", strings.Join(given, " and "))
	}
	var pieces []arrival.Piece
	add := func(length time.Duration, from, to rate) {
		pieces = append(pieces, arrival.Piece{Duration: min(length, maxRun), From: float64(from), To: float64(to)})
	}
	switch {
	case c.Ramp != nil:
		d.checkRamp(strictyaml.Join(at, "ramp"), c.Ramp)
		add(d.file.Warmup, c.Ramp.From, c.Ramp.From)
		add(c.Ramp.Over, c.Ramp.From, c.Ramp.To)
	case len(c.Steps) > 0:
		d.checkSteps(strictyaml.Join(at, "steps"), c.Steps)
		add(d.file.Warmup, c.Steps[0].Rate, c.Steps[0].Rate)
		for _, s := range c.Steps {
			add(s.For, s.Rate, s.Rate)
		}
	case c.Rate > 0:
		add(0, c.Rate, c.Rate)
	}
	return d.phased(at, c, pieces)
}

// phased multiplies a rate by the factors of the phases. That of the first one also
// holds during the warm-up.
func (d *draft) phased(at string, c *class, pieces []arrival.Piece) []arrival.Piece {
	var factors []arrival.Factor
	changed := false
	for i, p := range d.file.Phases {
		f := arrival.Factor{Duration: min(p.Duration, maxRun), By: 1}
		if by, ok := p.Rates[c.Name]; ok {
			f.By, changed = float64(by), true
		}
		if i == 0 {
			f.Duration += min(d.file.Warmup, maxRun)
		}
		factors = append(factors, f)
	}
	if !changed {
		return pieces
	}
	pieces = arrival.Scale(pieces, factors)
	for _, p := range pieces {
		if highest := max(p.From, p.To); highest > arrival.MaxRate {
			d.Problem(at, fmt.Sprintf("want at most %.0f/s", float64(arrival.MaxRate)), "the phases take the rate to %.0f/s", highest)
			break
		}
	}
	return pieces
}

func (d *draft) checkRamp(at string, r *ramp) {
	for _, key := range []string{"from", "to", "over"} {
		if path := strictyaml.Join(at, key); !d.Given(path) {
			d.Problem(path, "write {from: 10/s, to: 100/s, over: 20s}", "is missing")
		}
	}
	if path := strictyaml.Join(at, "over"); d.Given(path) {
		d.checkLength(path, r.Over, 1)
	}
	if r.From == 0 && r.To == 0 && d.Given(strictyaml.Join(at, "to")) && !d.AnyBroken(at) {
		d.Problem(at, "want more than 0/s at one of its ends", "goes from 0 to 0: nothing to send")
	}
}

func (d *draft) checkSteps(at string, steps []step) {
	highest := rate(0)
	for i, s := range steps {
		at := strictyaml.Item(at, i)
		if path := strictyaml.Join(at, "rate"); !d.Given(path) {
			d.Problem(path, "write {rate: 10/s, for: 5s}", "is missing")
		}
		d.checkLength(strictyaml.Join(at, "for"), s.For, 1)
		highest = max(highest, s.Rate)
	}
	if highest == 0 && !d.AnyBroken(at) && len(d.within(at)) == 0 {
		d.Problem(at, "want more than 0/s in one of them", "all have a rate of 0: nothing to send")
	}
}

func (d *draft) checkBursts(at string, b *bursts) {
	size := strictyaml.Join(at, "size")
	switch {
	case !d.Given(size):
		d.Problem(size, "say how many requests come at once", "is missing")
	case b.Size < 1 || b.Size > arrival.MaxBurst:
		d.Problem(size, fmt.Sprintf("want 1 to %d", arrival.MaxBurst), "is %d", b.Size)
	}
	if path := strictyaml.Join(at, "every"); d.Given(path) {
		d.checkLength(path, b.Every, 1)
		if shortest := shortestEvery(b.Size); b.Every > 0 && b.Every < shortest {
			d.Problem(path, fmt.Sprintf("want at least %v, which is %.0f/s", shortest, float64(arrival.MaxRate)),
				"is %v: too often for bursts of %d", b.Every, b.Size)
		}
	}
	if path := strictyaml.Join(at, "first"); d.Given(path) {
		d.checkLength(path, b.First, 0)
	}
}

// shortestEvery is the time between bursts of a size at the highest rate.
func shortestEvery(size int) time.Duration {
	return time.Duration(min(max(size, 0), arrival.MaxBurst)) * time.Second / arrival.MaxRate
}

// replay reads recorded arrivals.
func (d *draft) replay(at string, r *replay) arrival.Replay {
	speed := strictyaml.Join(at, "speed")
	if d.Given(speed) && r.Speed <= 0 {
		d.Problem(speed, "want more than 0x, such as 2x for twice as fast", "is %vx", float64(r.Speed))
	}
	file := strictyaml.Join(at, "file")
	if r.File == "" {
		d.Problem(file, "name an access log, or a CSV file with columns at, method, path, class", "is missing")
	}
	if r.File == "" || d.AnyBroken(at) {
		return arrival.Replay{}
	}
	in, err := d.open(r.File)
	if err != nil {
		var path *fs.PathError
		if errors.As(err, &path) {
			err = path.Err
		}
		d.Problem(file, "want a file, named relative to this one", "%q can't be read: %v", d.Shown(file, r.File), err)
		return arrival.Replay{}
	}
	defer func() { _ = in.Close() }()
	arrivals, err := arrival.Read(in, r.Class)
	if err != nil {
		what, hint, told := strings.Cut(strings.TrimPrefix(err.Error(), "arrival: "), "; ")
		if !told {
			hint = "want an access log, or a CSV file with columns at, method, path, class"
		}
		d.Problem(file, hint, "%q: %s", d.Shown(file, r.File), what)
	}
	return arrival.Replay{Arrivals: arrivals, Start: d.file.Warmup, Speed: float64(r.Speed)}
}

// Package distribution says how long things take and how large they are: a fixed
// value, or one drawn anew each time. An [Of] is read from a file with
// strictyaml; drawing is a pure function of the random numbers that it is given.
package distribution

import (
	"encoding"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"time"

	"overtake/classifier/strictyaml"
)

// Duration is how long something takes.
type Duration = Of[time.Duration]

// Size is how large something is.
type Size = Of[strictyaml.Size]

// Value is what can be drawn.
type Value interface {
	time.Duration | strictyaml.Size
}

// Of is a distribution: exactly one of its fields is given. The zero value always
// draws 0. It is read-only after it has been checked, and safe for concurrent use.
//
//	5ms                                   always the same; also {fixed: 5ms}
//	{uniform: {min: 1ms, max: 9ms}}       each in between as likely
//	{exponential: {mean: 5ms}}            many short, few long
//	{lognormal: {median: 5ms, p99: 50ms}} a long tail, as real times and sizes have
//	{choice: [{value: 1ms, weight: 9}, {value: 50ms}]}  one of a few; the weight is 1 by default
type Of[T Value] struct {
	Fixed       *T             `yaml:"fixed"`
	Uniform     *Range[T]      `yaml:"uniform"`
	Exponential *Mean[T]       `yaml:"exponential"`
	Lognormal   *Tail[T]       `yaml:"lognormal"`
	Choice      []Candidate[T] `yaml:"choice"`
}

// Range is what a uniform distribution draws from, both ends included.
type Range[T Value] struct {
	Min T `yaml:"min"`
	Max T `yaml:"max"`
}

// Mean is the average of an exponential distribution.
type Mean[T Value] struct {
	Mean T `yaml:"mean"`
}

// LongForm implements [strictyaml.LongFormer].
func (Mean[T]) LongForm(text string) string { return fmt.Sprintf("write {mean: %s}", text) }

// Tail says what half, and what 99 of 100, of a log-normal distribution stay below.
type Tail[T Value] struct {
	Median T `yaml:"median"`
	P99    T `yaml:"p99"`
}

// Candidate is a value that is drawn as often as its weight says, compared to that
// of the others.
type Candidate[T Value] struct {
	Value  T       `yaml:"value"`
	Weight float64 `yaml:"weight"`
}

// z99 is the 99th percentile of the standard normal distribution.
const z99 = 2.3263478740408408

// FixedAt returns the distribution that always draws value.
func FixedAt[T Value](value T) Of[T] { return Of[T]{Fixed: &value} }

// UnmarshalShort reads a fixed value. It implements [strictyaml.ShortFormer].
func (d *Of[T]) UnmarshalShort(text []byte) error {
	var value T
	switch p := any(&value).(type) {
	case *time.Duration:
		v, err := strictyaml.ParseDuration(string(text))
		if err != nil {
			return err
		}
		*p = v
	case encoding.TextUnmarshaler:
		if err := p.UnmarshalText(text); err != nil {
			return err
		}
	}
	d.Fixed = &value
	return nil
}

// Draw draws a value, from random unless it is fixed. What is drawn is at least 0
// and at most some 290 years or 8 EiB.
func (d *Of[T]) Draw(random *rand.Rand) T {
	switch {
	case d.Fixed != nil:
		return *d.Fixed
	case d.Uniform != nil:
		return d.Uniform.Min + T(random.Int64N(int64(d.Uniform.Max-d.Uniform.Min)+1))
	case d.Exponential != nil:
		return bounded[T](random.ExpFloat64() * float64(d.Exponential.Mean))
	case d.Lognormal != nil:
		sigma := math.Log(float64(d.Lognormal.P99)/float64(d.Lognormal.Median)) / z99
		return bounded[T](float64(d.Lognormal.Median) * math.Exp(sigma*random.NormFloat64()))
	case len(d.Choice) > 0:
		return d.choose(random)
	}
	return 0
}

func (d *Of[T]) choose(random *rand.Rand) T {
	total := 0.0
	for _, c := range d.Choice {
		total += c.Weight
	}
	at := random.Float64() * total
	for _, c := range d.Choice {
		if at < c.Weight {
			return c.Value
		}
		at -= c.Weight
	}
	return d.Choice[len(d.Choice)-1].Value
}

func bounded[T Value](x float64) T {
	if x >= math.MaxInt64 {
		return math.MaxInt64
	}
	return T(x)
}

// Mean returns what is drawn on average.
func (d *Of[T]) Mean() T {
	switch {
	case d.Fixed != nil:
		return *d.Fixed
	case d.Uniform != nil:
		return d.Uniform.Min + (d.Uniform.Max-d.Uniform.Min)/2
	case d.Exponential != nil:
		return d.Exponential.Mean
	case d.Lognormal != nil:
		sigma := math.Log(float64(d.Lognormal.P99)/float64(d.Lognormal.Median)) / z99
		return bounded[T](float64(d.Lognormal.Median) * math.Exp(sigma*sigma/2))
	}
	sum, total := 0.0, 0.0
	for _, c := range d.Choice {
		sum += c.Weight * float64(c.Value)
		total += c.Weight
	}
	if total == 0 {
		return 0
	}
	return T(sum / total)
}

// Largest returns the largest value that can be drawn; for exponential and
// log-normal, which have none, one that 999 of 1000 stay below.
func (d *Of[T]) Largest() T {
	switch {
	case d.Fixed != nil:
		return *d.Fixed
	case d.Uniform != nil:
		return d.Uniform.Max
	case d.Exponential != nil:
		return bounded[T](6.91 * float64(d.Exponential.Mean))
	case d.Lognormal != nil:
		return bounded[T](float64(d.Lognormal.P99) * math.Pow(float64(d.Lognormal.P99)/float64(d.Lognormal.Median), 3.09/z99-1))
	}
	var largest T
	for _, c := range d.Choice {
		largest = max(largest, c.Value)
	}
	return largest
}

// String says what is drawn in a few words: 5ms, ~5ms exponential, 1KiB to 4KiB.
func (d *Of[T]) String() string {
	switch {
	case d.Fixed != nil:
		return fmt.Sprint(*d.Fixed)
	case d.Uniform != nil:
		return fmt.Sprintf("%v to %v", d.Uniform.Min, d.Uniform.Max)
	case d.Exponential != nil:
		return fmt.Sprintf("~%v exponential", d.Exponential.Mean)
	case d.Lognormal != nil:
		return fmt.Sprintf("~%v, p99 %v", d.Lognormal.Median, d.Lognormal.P99)
	case len(d.Choice) > 0:
		values := make([]string, len(d.Choice))
		for i, c := range d.Choice {
			values[i] = fmt.Sprint(c.Value)
		}
		return strings.Join(values, " or ")
	}
	return "0"
}

// Check completes what a file gave at path and records in src what is wrong.
// Nothing above limit may be drawn.
func (d *Of[T]) Check(src *strictyaml.Source, path string, limit T) {
	if src.AnyBroken(path) {
		return
	}
	given := 0
	for _, set := range []bool{d.Fixed != nil, d.Uniform != nil, d.Exponential != nil, d.Lognormal != nil, d.Choice != nil} {
		if set {
			given++
		}
	}
	if given > 1 {
		src.Problem(path, "keep one of fixed, uniform, exponential, lognormal and choice", "is %d distributions at once", given)
		return
	}
	if given == 0 {
		if src.Given(path) {
			src.Problem(path, "want fixed, uniform, exponential, lognormal or choice", "says nothing")
		}
		return
	}
	d.checkRange(src, path)
	d.checkChoice(src, path)
	if largest := d.Largest(); largest > limit && !src.Broken(path) {
		src.Problem(path, fmt.Sprintf("want at most %v", limit), "can be %v", largest)
	}
}

func (d *Of[T]) checkRange(src *strictyaml.Source, path string) {
	switch {
	case d.Uniform != nil && d.Uniform.Max < d.Uniform.Min:
		src.Problem(strictyaml.Join(path, "uniform"), "swap them", "min %v is above max %v", d.Uniform.Min, d.Uniform.Max)
		d.Uniform = nil
	case d.Exponential != nil && d.Exponential.Mean <= 0:
		src.Problem(strictyaml.Join(path, "exponential"), "give it a mean above 0", "has no mean")
	case d.Lognormal != nil && (d.Lognormal.Median <= 0 || d.Lognormal.P99 < d.Lognormal.Median):
		src.Problem(strictyaml.Join(path, "lognormal"), "want a median above 0, and a p99 of at least the median",
			"median %v and p99 %v can't be", d.Lognormal.Median, d.Lognormal.P99)
		d.Lognormal = nil
	}
}

func (d *Of[T]) checkChoice(src *strictyaml.Source, path string) {
	if d.Choice == nil {
		return
	}
	total, negative := 0.0, false
	for i := range d.Choice {
		at := strictyaml.Join(strictyaml.Item(strictyaml.Join(path, "choice"), i), "weight")
		strictyaml.SetDefault(src, at, &d.Choice[i].Weight, 1)
		if d.Choice[i].Weight < 0 {
			src.Problem(at, "want 0 or more", "%v is negative", d.Choice[i].Weight)
			negative = true
		}
		total += d.Choice[i].Weight
	}
	if total <= 0 && !negative {
		src.Problem(strictyaml.Join(path, "choice"), "give one of them a weight above 0", "has nothing to choose from")
	}
}

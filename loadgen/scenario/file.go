package scenario

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"overtake/classifier/strictyaml"
	"overtake/loadgen"
	"overtake/loadgen/arrival"
	"overtake/loadgen/distribution"
)

// file is what a scenario file has. Its tags are the keys; docs/scenarios.md
// describes each.
type file struct {
	Name      string              `yaml:"name"`
	About     string              `yaml:"about"`
	Target    string              `yaml:"target"`
	Seed      uint64              `yaml:"seed"`
	Warmup    time.Duration       `yaml:"warmup"`
	Duration  time.Duration       `yaml:"duration"`
	Phases    []phase             `yaml:"phases"`
	Endpoints map[string]endpoint `yaml:"endpoints"`
	Classes   []class             `yaml:"classes"`
}

type phase struct {
	Name     string              `yaml:"name"`
	Duration time.Duration       `yaml:"duration"`
	Rates    map[string]multiple `yaml:"rates"`
}

type endpoint struct {
	HTTP      string        `yaml:"http"`
	AMQP      string        `yaml:"amqp"`
	NATS      string        `yaml:"nats"`
	Exchange  string        `yaml:"exchange"`
	Key       string        `yaml:"key"`
	Queue     string        `yaml:"queue"`
	Subject   string        `yaml:"subject"`
	Stream    string        `yaml:"stream"`
	Consumers int           `yaml:"consumers"`
	Hold      time.Duration `yaml:"hold"`
	Drain     bool          `yaml:"drain"`
}

type class struct {
	Name        string            `yaml:"name"`
	Class       string            `yaml:"class"`
	Endpoint    string            `yaml:"endpoint"`
	Rate        rate              `yaml:"rate"`
	Ramp        *ramp             `yaml:"ramp"`
	Steps       []step            `yaml:"steps"`
	Bursts      *bursts           `yaml:"bursts"`
	Replay      *replay           `yaml:"replay"`
	Arrivals    string            `yaml:"arrivals"`
	Method      string            `yaml:"method"`
	Path        string            `yaml:"path"`
	Query       map[string]string `yaml:"query"`
	Headers     map[string]string `yaml:"headers"`
	Body        *body             `yaml:"body"`
	Connections connections       `yaml:"connections"`
	Objective   time.Duration     `yaml:"objective"`
	Timeout     time.Duration     `yaml:"timeout"`
	Job         bool              `yaml:"job"`
	Success     []statuses        `yaml:"success"`
}

// LongForm implements [strictyaml.LongFormer].
func (class) LongForm(string) string { return "write {name: pages, rate: 10/s, path: /}" }

type ramp struct {
	From rate          `yaml:"from"`
	To   rate          `yaml:"to"`
	Over time.Duration `yaml:"over"`
}

// LongForm implements [strictyaml.LongFormer].
func (ramp) LongForm(string) string { return "write {from: 10/s, to: 100/s, over: 20s}" }

type step struct {
	Rate rate          `yaml:"rate"`
	For  time.Duration `yaml:"for"`
}

type bursts struct {
	Size  int           `yaml:"size"`
	Every time.Duration `yaml:"every"`
	First time.Duration `yaml:"first"`
}

type replay struct {
	File  string   `yaml:"file"`
	Class string   `yaml:"class"`
	Speed multiple `yaml:"speed"`
}

// LongForm implements [strictyaml.LongFormer].
func (replay) LongForm(text string) string { return fmt.Sprintf("write {file: %q}", text) }

type body struct {
	Text string            `yaml:"text"`
	Size distribution.Size `yaml:"size"`
}

// LongForm implements [strictyaml.LongFormer].
func (body) LongForm(text string) string {
	var size strictyaml.Size
	if size.UnmarshalText([]byte(text)) == nil {
		return fmt.Sprintf("write {size: %s}", text)
	}
	return fmt.Sprintf("write {text: %q}", text)
}

type connections struct {
	Max      int `yaml:"max"`
	Requests int `yaml:"requests"`
}

// LongForm implements [strictyaml.LongFormer].
func (connections) LongForm(text string) string { return fmt.Sprintf("write {max: %s}", text) }

// statuses are those of HTTP with which a request succeeds: 304, or 2xx.
type statuses loadgen.Statuses

// Wanted implements [strictyaml.Wanter].
func (statuses) Wanted() string { return "a status" }

// UnmarshalText reads statuses.
func (s *statuses) UnmarshalText(text []byte) error {
	read, ok := loadgen.ParseStatuses(string(text))
	if !ok {
		return strictyaml.Mistake{What: "is no status that an answer can end with", Hint: "want one from 200 to 599, or a class: 2xx, 3xx, 4xx or 5xx"}
	}
	*s = statuses(read)
	return nil
}

// rate is a number of requests per second, written with its unit: 200/s, 30/min.
type rate float64

// Wanted implements [strictyaml.Wanter].
func (rate) Wanted() string { return "a rate" }

// UnmarshalText reads a rate. 0 needs no unit.
func (r *rate) UnmarshalText(text []byte) error {
	digits, unit, hasUnit := strings.Cut(string(text), "/")
	digits, unit = strings.TrimSpace(digits), strings.TrimSpace(unit)
	n, ok := decimal(digits)
	if !ok {
		return strictyaml.Mistake{What: "is not a rate", Hint: "write a number with a unit, such as 200/s or 30/min"}
	}
	switch {
	case unit == "s":
	case unit == "min":
		n /= 60
	case hasUnit:
		return strictyaml.Mistake{What: "has an unknown unit", Hint: fmt.Sprintf("write %s/s or %s/min", digits, digits)}
	case n != 0:
		return strictyaml.Mistake{What: "has no unit", Hint: fmt.Sprintf("write %s/s or %s/min", digits, digits)}
	}
	if n > arrival.MaxRate {
		return strictyaml.Mistake{What: "is out of range", Hint: fmt.Sprintf("want at most %.0f/s", float64(arrival.MaxRate))}
	}
	*r = rate(n)
	return nil
}

// maxMultiple is the largest [multiple].
const maxMultiple = 1e6

// multiple is a factor, written as 2x.
type multiple float64

// Wanted implements [strictyaml.Wanter].
func (multiple) Wanted() string { return "a factor" }

// UnmarshalText reads a factor.
func (m *multiple) UnmarshalText(text []byte) error {
	digits, hasX := strings.CutSuffix(string(text), "x")
	n, ok := decimal(digits)
	switch {
	case !ok:
		return strictyaml.Mistake{What: "is not a factor", Hint: "write a number with an x, such as 2x or 0.5x"}
	case !hasX:
		return strictyaml.Mistake{What: "has no unit", Hint: fmt.Sprintf("write %sx", digits)}
	case n > maxMultiple:
		return strictyaml.Mistake{What: "is out of range", Hint: fmt.Sprintf("want at most %.0fx", float64(maxMultiple))}
	}
	*m = multiple(n)
	return nil
}

// decimal reads a number of 0 or more without an exponent.
func decimal(text string) (float64, bool) {
	n, err := strconv.ParseFloat(text, 64)
	return n, err == nil && !strings.ContainsAny(text, "+-xXpPeE_nN") && !math.IsInf(n, 0)
}

package scenario

import (
	"cmp"
	"fmt"
	"io"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"overtake/classifier/strictyaml"
	"overtake/loadgen"
)

const (
	defaultDuration = 30 * time.Second
	defaultSeed     = 1
	// maxRun bounds durations; it catches typing errors.
	maxRun = 30 * 24 * time.Hour
	// maxConsumers and maxConnections are what one process can have open.
	maxConsumers, maxConnections = 10_000, 60_000
)

// Changes are what is to be different from what a file says.
type Changes struct {
	// Warmup replaces that of the file, and all that counts from its end moves with
	// it. nil keeps it.
	Warmup *time.Duration
	// Rate multiplies the load of all classes, as [arrival.Plan.Times] does. A length
	// that comes from a replay is divided by it; one that is given, as the duration or
	// by phases, stays. 0 is 1.
	Rate float64
}

// Read reads a scenario file that was loaded already; name is what problems call it,
// and recorded arrivals that it names are read relative to its folder. lookupEnv finds
// the variables of ${NAME}. All problems come at once, sorted by position; with any,
// the scenario is of no use. A scenario may lack a target: that can come from a flag.
func Read(name string, data []byte, changes Changes, lookupEnv func(string) (string, bool)) (loadgen.Scenario, strictyaml.Problems) {
	return read(name, data, changes, lookupEnv, func(recording string) (io.ReadCloser, error) {
		if !filepath.IsAbs(recording) {
			recording = filepath.Join(filepath.Dir(name), recording)
		}
		return strictyaml.OpenFile(recording)
	})
}

// draft is a scenario in the making.
type draft struct {
	*strictyaml.Source
	file file
	open func(recording string) (io.ReadCloser, error)
}

func read(name string, data []byte, changes Changes, lookupEnv func(string) (string, bool), open func(string) (io.ReadCloser, error)) (loadgen.Scenario, strictyaml.Problems) {
	d := &draft{open: open}
	d.Source = strictyaml.Decode(name, data, &d.file, lookupEnv)
	if d.Unreadable() {
		return loadgen.Scenario{}, d.Problems()
	}
	f := &d.file
	base := filepath.Base(name)
	strictyaml.SetDefault(d.Source, "name", &f.Name, strings.TrimSuffix(base, filepath.Ext(base)))
	strictyaml.SetDefault(d.Source, "seed", &f.Seed, defaultSeed)
	if d.Given("name") && (f.Name == "" || utf8.RuneCountInString(f.Name) > 64 || strings.ContainsFunc(f.Name, func(r rune) bool { return !unicode.IsPrint(r) })) {
		d.Wrong("name", f.Name, "is not a name", "want 1 to 64 characters that can be printed")
	}
	d.checkTarget("target", f.Target)
	d.checkTimes()
	if changes.Warmup != nil { // before anything counts from its end
		f.Warmup = *changes.Warmup
	}
	s := loadgen.Scenario{
		Name: f.Name, Target: f.Target, Warmup: f.Warmup, Duration: f.Duration, Seed: f.Seed,
		Endpoints: d.endpoints(),
	}
	for _, p := range f.Phases {
		s.Phases = append(s.Phases, loadgen.Phase{Name: p.Name, Duration: p.Duration})
	}
	if len(f.Classes) == 0 {
		d.Problem("classes", `add one: classes: [{name: pages, rate: 10/s, path: /}]`, "no classes: nothing to send")
	}
	seen := make(map[string]int)
	for i := range f.Classes {
		at := strictyaml.Item("classes", i)
		if before, twice := seen[f.Classes[i].Name]; twice && f.Classes[i].Name != "" {
			d.Problem(strictyaml.Join(at, "name"), "choose another", "%q is used by classes[%d] already", f.Classes[i].Name, before)
		}
		seen[f.Classes[i].Name] = i
		s.Classes = append(s.Classes, d.class(at, &f.Classes[i]))
	}
	d.checkPhaseRates(s)
	factor := cmp.Or(changes.Rate, 1)
	if !d.Given("duration") && len(f.Phases) == 0 {
		s.Duration = lengthOfReplays(s, factor)
	}
	if factor != 1 {
		for i := range s.Classes {
			s.Classes[i].Arrivals = s.Classes[i].Arrivals.Times(factor)
		}
	}
	return s, d.Problems()
}

// lengthOfReplays is how long the scenario takes if nothing says so: as long as what
// was recorded, in whole seconds and then factor times as fast, or else the default.
func lengthOfReplays(s loadgen.Scenario, factor float64) time.Duration {
	var length time.Duration
	for _, c := range s.Classes {
		if replay := c.Arrivals.Replay; len(replay.Arrivals) > 0 {
			length = max(length, replay.End()-s.Warmup)
		}
	}
	if length == 0 {
		return s.Duration
	}
	whole := length.Truncate(time.Second).Seconds() + 1 // the last one is in it
	return time.Duration(min(whole/factor, maxRun.Seconds()) * float64(time.Second)).Round(time.Microsecond)
}

// checkTarget checks the base URL of a server, if one is given.
func (d *draft) checkTarget(path, text string) {
	if !d.Given(path) {
		return
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		d.Wrong(path, text, "is not the URL of a server", "write http://HOST:PORT or https://HOST:PORT")
		return
	}
	if strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		d.Wrong(path, text, "has more than a host and a port", "write "+(&url.URL{Scheme: u.Scheme, Host: u.Host}).String()+", and the rest in path of the classes")
	}
}

func (d *draft) checkTimes() {
	f := &d.file
	d.checkLength("warmup", f.Warmup, 0)
	if len(f.Phases) == 0 {
		strictyaml.SetDefault(d.Source, "duration", &f.Duration, defaultDuration)
		d.checkLength("duration", f.Duration, 1)
		return
	}
	var sum time.Duration
	names := make(map[string]int)
	for i, p := range f.Phases {
		at := strictyaml.Item("phases", i)
		d.checkName(strictyaml.Join(at, "name"), p.Name)
		if before, twice := names[p.Name]; twice && p.Name != "" {
			d.Problem(strictyaml.Join(at, "name"), "choose another", "%q is used by phases[%d] already", p.Name, before)
		}
		names[p.Name] = i
		d.checkLength(strictyaml.Join(at, "duration"), p.Duration, 1)
		sum += min(p.Duration, maxRun)
	}
	if d.Given("duration") && f.Duration != sum && !d.AnyBroken("phases") {
		d.Problem("duration", "leave it out: it is the sum", "is %v, and the phases sum up to %v", f.Duration, sum)
	}
	f.Duration = sum
}

// checkLength checks a duration that is at least least.
func (d *draft) checkLength(path string, value, least time.Duration) {
	switch {
	case least > 0 && !d.Given(path) && value == 0:
		d.Problem(path, "write one such as 10s", "is missing")
	case value < least:
		d.Problem(path, "want more than 0s", "is %v", value)
	case value > maxRun:
		d.Problem(path, fmt.Sprintf("want at most %.0fh", maxRun.Hours()), "is %v", value)
	}
}

const namesAre = "want 1 to 64 visible ASCII characters without '/'"

// checkName checks what reports call something.
func (d *draft) checkName(path, name string) {
	notIn := func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '/' }
	if name == "" {
		d.Problem(path, namesAre, "no name")
	} else if len(name) > 64 || strings.ContainsFunc(name, notIn) {
		d.Wrong(path, name, "is not a name", namesAre)
	}
}

// checkPhaseRates checks which classes the phases change, and how much becomes of
// that.
func (d *draft) checkPhaseRates(s loadgen.Scenario) {
	var names []string
	for i := range d.file.Classes {
		names = append(names, d.file.Classes[i].Name)
	}
	for i, p := range d.file.Phases {
		for name := range p.Rates {
			at := strictyaml.Join(strictyaml.Join(strictyaml.Item("phases", i), "rates"), name)
			j := slices.Index(names, name)
			switch {
			case j < 0:
				d.Problem(at, strictyaml.Suggest(name, names), "there is no class %q", name)
			case !d.file.Classes[j].hasRate():
				d.Problem(at, "give the class a rate, or leave it out here", "class %q has no rate that could change", name)
			}
		}
	}
}

package strictyaml

import (
	"bytes"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// file is something to decode with a field of each kind.
type file struct {
	Admin        string            `yaml:"admin,omitempty"`
	Expose       mode              `yaml:"expose,omitempty"`
	DefaultClass string            `yaml:"default_class,omitempty"`
	Flow         *flow             `yaml:"flow,omitempty"`
	Rules        []rule            `yaml:"rules,omitempty"`
	Queues       map[mode]queue    `yaml:"queues,omitempty"`
	Labels       map[string]mode   `yaml:"labels,omitempty"`
	Timeout      time.Duration     `yaml:"timeout,omitempty"`
	Trust        []netip.Prefix    `yaml:"trust,omitempty"`
	Body         Size              `yaml:"body,omitempty"`
	Share        Percent           `yaml:"share,omitempty"`
	Sample       float64           `yaml:"sample,omitempty"`
	DryRun       bool              `yaml:"dry_run,omitempty"`
	Abort        *bool             `yaml:"abort,omitempty"`
	Seed         uint64            `yaml:"seed,omitempty"`
	Offset       int64             `yaml:"offset,omitempty"`
	Small        uint8             `yaml:"small,omitempty"`
	Level        level             `yaml:"level,omitempty"`
	Seeds        map[string]uint64 `yaml:"seeds,omitempty"`
	Internal     int
}

type mode string

type flow struct {
	Header string `yaml:"header,omitempty"`
}

// LongForm implements LongFormer.
func (flow) LongForm(text string) string { return "write {header: " + text + "}" }

type rule struct {
	Class string `yaml:"class,omitempty"`
	Match struct {
		Hosts []string `yaml:"hosts,omitempty"`
		Expr  string   `yaml:"expr,omitempty"`
		Path  string   `yaml:"path,omitempty"`
	} `yaml:"match,omitempty"`
}

type queue struct {
	Attempts int `yaml:"attempts"`
}

// level is written high or low.
type level struct{ high bool }

// Wanted implements Wanter.
func (level) Wanted() string { return "a level" }

// String returns the level as it is written.
func (l level) String() string {
	if l.high {
		return "high"
	}
	return "low"
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (l *level) UnmarshalText(text []byte) error {
	if !slices.Contains([]string{"high", "low"}, string(text)) {
		return Mistake{"is not a level", Suggest(string(text), []string{"high", "low"})}
	}
	l.high = string(text) == "high"
	return nil
}

// lookup knows the variables SLOTS and SECRET.
func lookup(name string) (string, bool) {
	value, ok := map[string]string{"SLOTS": "8", "SECRET": "hunter2"}[name]
	return value, ok
}

// everything gives each field of file, most in the longest form.
const everything = `
admin: off
expose: all
flow: {header: "${SECRET}"}
rules: [{class: batch, match: {hosts: [a, b]}}]
queues: {jobs: {attempts: "${SLOTS}"}}
labels: {app: web}
timeout: 1m30s
trust: [10.0.0.0/8]
body: 64KiB
share: 0.5%
sample: 0.25
dry_run: true
abort: false
seed: 18446744073709551615
offset: -9223372036854775808
small: 255
level: high
seeds: {a: 0}
`

func TestEveryKind(t *testing.T) {
	got := file{DefaultClass: "kept", Admin: "replaced", Internal: 1}
	s := Decode("f", []byte(everything), &got, lookup)
	if p := s.Problems(); len(p) > 0 {
		t.Fatal(p)
	}
	want := file{
		Admin: "off", Expose: "all", DefaultClass: "kept", Flow: &flow{Header: "hunter2"}, Rules: []rule{{Class: "batch"}},
		Queues: map[mode]queue{"jobs": {Attempts: 8}}, Labels: map[string]mode{"app": "web"}, Timeout: 90 * time.Second,
		Trust: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, Body: 64 << 10, Share: 50, Sample: 0.25, DryRun: true,
		Abort: new(false), Seed: 1<<64 - 1, Offset: -1 << 63, Small: 255, Level: level{true}, Seeds: map[string]uint64{"a": 0},
		Internal: 1,
	}
	want.Rules[0].Match.Hosts = []string{"a", "b"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%+v\nwant\n%+v", got, want)
	}
	for path, given := range map[string]bool{
		"rules[0].match.hosts[1]": true, "queues.jobs": true, "queues.jobs.attempts": true, "seeds.a": true,
		"default_class": false, "rules[1]": false, "Internal": false,
	} {
		if s.Given(path) != given {
			t.Errorf("%s is given: %v", path, !given)
		}
	}
}

// What Encode writes is read back as the same, and shows no value of a variable.
func TestEncode(t *testing.T) {
	var v, back file
	s := Decode("f", []byte(everything), &v, lookup)
	text, err := s.Encode(v)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(text, []byte("hunter2")) {
		t.Errorf("it shows a secret:\n%s", text)
	}
	if p := Decode("f", text, &back, lookup).Problems(); len(p) > 0 || !reflect.DeepEqual(back, v) {
		t.Errorf("%v\ngot\n%+v\nwant\n%+v", p, back, v)
	}
}

// Who makes a mistake is told its place and what to write instead; no value of a
// variable is shown.
func TestMistakes(t *testing.T) {
	for text, want := range map[string]string{
		"sed: 1":                             `f:1:1: sed: unknown key; did you mean "seed"?`,
		"seed: -1":                           `f:1:7: seed: "-1" is negative; want 0 or more`,
		"seed: 18446744073709551616":         `f:1:7: seed: "18446744073709551616" is too large or too small; want what 64 bits can hold`,
		"small: 256":                         `f:1:8: small: "256" is too large or too small; want what 8 bits can hold`,
		"seed: 1.5":                          `f:1:7: seed: "1.5" is not a whole number; write one such as 1000`,
		`seed: "1"`:                          `f:1:7: seed: "1" is text, want a whole number; write 1 without quotes`,
		"seed: [1]":                          `f:1:7: seed: is a list, want a whole number; write one value, without [ ] or { }`,
		"offset: a":                          `f:1:9: offset: "a" is not a whole number; write one such as 1000`,
		"expose: 1":                          `f:1:9: expose: "1" is not text; write "1"`,
		"timeout: 5":                         `f:1:10: timeout: "5" has no unit; write 5ms or 5s`,
		"level: hihg":                        `f:1:8: level: "hihg" is not a level; did you mean "high"?`,
		"level: {}":                          `f:1:8: level: is a mapping, want a level; write one value, without [ ] or { }`,
		"flow: X-Key":                        `f:1:7: flow: is text, want a mapping; write {header: X-Key}`,
		"flow: http://me:hunter2@host":       `f:1:7: flow: is text, want a mapping; write {header: http://me:xxxxx@host}`,
		"labels: x":                          `f:1:9: labels: is text, want a mapping; write {name: "value"}`,
		"trust: 10.0.0.0/8":                  `f:1:8: trust: is text, want a list; write ["10.0.0.0/8"]`,
		"timeout: ${SECRET}":                 `f:1:10: timeout: "${SECRET}" is not a duration`,
		"timeout: ${NONE}":                   `f:1:10: timeout: the environment variable NONE is not set; set it, or write $${ for a literal ${`,
		"seed: 1\nseed: 2":                   `f:2:1: seed: is given twice, first on line 1; keep one of them`,
		"admin: a\nadmin: b\nadmin: c\nx: 1": "f:2:1: admin: is given twice, first on line 1; keep one of them\nf:3:1: admin: is given twice, first on line 1; keep one of them\nf:4:1: x: unknown key; known here: " + strings.Join(keys(), ", "),
	} {
		var v file
		if got := Decode("f", []byte(text), &v, lookup).Problems().Error(); got != want {
			t.Errorf("%s\ngot  %s\nwant %s", text, got, want)
		}
	}
}

func keys() []string {
	_, names := Fields(reflect.TypeFor[file]())
	return names
}

// What is in v before is a default, of what the file does not give.
func TestKept(t *testing.T) {
	v := file{
		Seed: 7, Flow: &flow{Header: "X-Key"}, Trust: []netip.Prefix{netip.MustParsePrefix("::1/128")},
		Seeds: map[string]uint64{"a": 1}, Labels: map[string]mode{"a": "b"},
	}
	want := file{
		Seed: 7, Flow: &flow{Header: "X-Key"}, Trust: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")},
		Seeds: map[string]uint64{"b": 2}, Labels: map[string]mode{"a": "b"},
	}
	p := Decode("f", []byte("flow: {}\ntrust: [10.0.0.0/8]\nseeds: {b: 2}\nlabels:\n"), &v, nil).Problems()
	if len(p) > 0 || !reflect.DeepEqual(v, want) {
		t.Errorf("%v\ngot\n%+v\nwant\n%+v", p, v, want)
	}
}

func TestNoVariables(t *testing.T) {
	var v file
	s := Decode("f", []byte(`{admin: "${A} $${B} ${"}`), &v, nil)
	if v.Admin != "${A} $${B} ${" || len(s.Problems()) > 0 {
		t.Errorf("admin is %q, problems %v", v.Admin, s.Problems())
	}
}

// What is said about values comes after, sorted in; where a value could not be
// decoded, nothing more is said.
func TestProblems(t *testing.T) {
	var v file
	s := Decode("f", []byte("timeout: 1\nadmin: http://me:hunter2@host\nqueues: {jobs: {attempts: 200}}\nflow: [1]\n"), &v, lookup)
	s.Problem("queues.jobs.attempts", "want 100", "%d is too many", 200)
	s.Wrong("admin", v.Admin, "is not an address", "")
	s.Problem("timeout", "", "is too short")
	s.Problem("flow.header", "", "is missing")
	s.Problem("queues.jobs.deliver.path", "", "no path")
	s.Problem("seed", "", "is missing")
	s.WrongOrigin("--app", "", "is not one")
	s.Warn("queues.jobs", "has no effect")
	const want = `f: seed: is missing
--app: is not one
f:1:10: timeout: "1" has no unit; write 1ms or 1s
f:2:8: admin: "http://me:xxxxx@host" is not an address
f:3:10: queues.jobs.deliver.path: no path
f:3:27: queues.jobs.attempts: 200 is too many; want 100
f:4:7: flow: is a list, want a mapping`
	if got := s.Problems().Error(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got := s.Warnings().Error(); got != "f:3:10: queues.jobs: has no effect" {
		t.Errorf("warnings are %s", got)
	}
}

// Nothing is missing from a file that could not be read at all, but what is not
// from the file is looked at.
func TestUnreadable(t *testing.T) {
	for _, text := range []string{"a: [", "- a", "\xff"} {
		var v file
		s := Decode("f", []byte(text), &v, lookup)
		n := len(s.Problems())
		s.Problem("admin", "", "is missing")
		s.Problem("", "", "says nothing")
		if !s.Unreadable() || n != 1 || len(s.Problems()) != 1 {
			t.Errorf("%q: unreadable: %v, problems %v", text, s.Unreadable(), s.Problems())
		}
		s.Replace("admin", "--admin")
		s.Problem("admin", "", "is wrong")
		if len(s.Problems()) != 2 {
			t.Errorf("%q: problems %v", text, s.Problems())
		}
	}
}

// A value that a flag replaced is the flag's, and not broken any more.
func TestReplace(t *testing.T) {
	var v file
	s := Decode("f", []byte("timeout: ${SLOTS}\nadmin: ${SECRET}\n"), &v, lookup)
	if !s.Broken("timeout") || !s.AnyReplaced("admin") {
		t.Error("timeout is not broken, or admin not from a variable")
	}
	s.Replace("timeout", "--timeout")
	s.Replace("admin", "--admin")
	if s.Broken("timeout") || s.AnyReplaced("admin") {
		t.Error("timeout is still broken, or admin still from a variable")
	}
	s.Wrong("admin", "off", "is wrong", "")
	if got := s.Problems()[0].String(); got != `--admin: admin: "off" is wrong` {
		t.Errorf("the problem is %s", got)
	}
}

func TestSetDefault(t *testing.T) {
	var v file
	s := Decode("f", []byte("seed: 0\n"), &v, nil)
	SetDefault(s, "seed", &v.Seed, 7)
	SetDefault(s, "offset", &v.Offset, 7)
	if v.Seed != 0 || v.Offset != 7 {
		t.Errorf("seed is %d, offset %d", v.Seed, v.Offset)
	}
}

// A small file with aliases can't stand for a huge one.
func TestAliasesAreBounded(t *testing.T) {
	hosts := "[" + strings.Repeat("a.example, ", 1000) + "]"
	var text strings.Builder
	text.WriteString("rules:\n- &r {class: batch, match: {hosts: " + hosts + "}}\n")
	text.WriteString(strings.Repeat("- *r\n", 20_000))
	start := time.Now()
	var v file
	if p := Decode("f", []byte(text.String()), &v, nil).Problems(); !strings.Contains(p.Error(), "more than 100000 values") {
		t.Errorf("problems are %.200v", p)
	}
	if took := time.Since(start); took > 30*time.Second {
		t.Errorf("it took %v", took)
	}
}

func TestFileTooLarge(t *testing.T) {
	var v file
	p := Decode("f", bytes.Repeat([]byte("# ...\n"), 100_000), &v, nil).Problems()
	if p.Error() != "f: the file is larger than 256KiB" {
		t.Errorf("problems are %v", p)
	}
}

func TestNotUTF8(t *testing.T) {
	var v file
	p := Decode("f", []byte("admin: off\nexpose: \xff\n"), &v, nil).Problems()
	if p.Error() != "f:2:9: the text is not UTF-8" {
		t.Errorf("problems are %v", p)
	}
}

// Whatever stands before a mistake, its position is right: checked against
// where the text is.
func TestPositions(t *testing.T) {
	for _, before := range []string{
		"",
		"# comment\n",
		"\n\n# ü, 漢字\n\n",
		"---\n",
		"%YAML 1.2\n---\n",
		"admin: off # comment\n",
		"flow:\n  # comment\n  header: X\n\n",
		"default_class: >\n  standard\n\n# comment\n",
		"rules:\n- class: batch\n  match:\n    expr: |-\n      request.size > 1 &&\n\n      request.size < 3\n",
		"rules:\n- class: batch\n  match:\n    expr: \"request.size > 1 &&\n      request.size < 3\"\n",
		"rules:\n- class: batch\n  match:\n    expr: 'request.size > 1 &&\n\n      request.size < 3'\n",
		"rules:\n- class: batch\n  match:\n    expr: request.size > 1 &&\n      request.size < 3\n",
		"rules: [\n  # comment\n  {class: batch,\n   match: {path: /ü}}, # comment\n]\n",
	} {
		for _, end := range []string{"\n", "\r\n"} {
			text := strings.ReplaceAll(before+"timeout: 'ü' # comment\nqueues: {jobs: {x: é, attempts: zero}}\n", "\n", end)
			var v file
			problems := Decode("f", []byte(text), &v, lookup).Problems()
			want := []string{positionOf(text, "'ü'"), positionOf(text, "x: é"), positionOf(text, "zero}}")}
			var got []string
			for _, p := range problems {
				if p.Path == "timeout" || p.Path == "queues.jobs.x" || p.Path == "queues.jobs.attempts" {
					got = append(got, fmt.Sprintf("%d:%d", p.Line, p.Column))
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("positions %q, want %q, in\n%q\n%v", got, want, text, problems)
			}
		}
	}
}

func positionOf(text, part string) string {
	before, _, _ := strings.Cut(text, part)
	line := before[strings.LastIndexByte(before, '\n')+1:]
	return fmt.Sprintf("%d:%d", strings.Count(before, "\n")+1, utf8.RuneCountInString(line)+1)
}

// The likeliest spelling is suggested, of several with as many wrong letters that with the
// most right ones at both ends.
func TestNearest(t *testing.T) {
	names := []string{"rules", "routes", "relays", "drain_delay", "drain_timeout", "url", "urls"}
	for name, want := range map[string]string{
		"rutes": "routes rules", "ruls": "rules urls", "Rules": "rules", "ruotes": "routes", "rueles": "rules", "drain": "drain_delay drain_timeout",
		"urlz": "url urls", "notes": "routes", "x": "", "ur": "", "": "",
	} {
		if got := strings.Join(Nearest(name, names), " "); got != want {
			t.Errorf("Nearest(%q) = %q, want %q", name, got, want)
		}
	}
}

// What is below a misspelt key is read as of the key that was meant, and of none if there
// are two.
func TestBelowMisspeltKeys(t *testing.T) {
	type sections struct {
		Rules []struct {
			Class string `yaml:"class"`
		} `yaml:"rules"`
		Routes []struct {
			Queue string `yaml:"queue"`
		} `yaml:"routes"`
	}
	for text, want := range map[string]string{
		"ruls: [{queue: a}]":                      "f:1:1: ruls: unknown key; did you mean \"rules\"?\nf:1:9: rules[0].queue: unknown key; known here: class",
		"rutes: [{class: a}, {queue: a}, {x: a}]": "f:1:1: rutes: unknown key; did you mean \"routes\"?",
	} {
		var v sections
		if got := Decode("f", []byte(text), &v, nil).Problems().Error(); got != want {
			t.Errorf("%s\ngot\n%s\nwant\n%s", text, got, want)
		}
	}
}

// FuzzDecode: no input panics or runs away, each problem says something, and what is
// accepted survives being written and read.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(everything))
	for _, text := range []string{
		"", "---\n", "{", "a: &a [*a]", "rules: [&r {class: a}, *r]", "admin: !!str a", "admin: |-\n  a\n\n  b\n",
		"flow: {header: '${SECRET}'}", "admin: $${A}", "<<: {admin: a}", "? [a]\n: b", "timeout: 5", "share: 100%",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 8<<10 {
			return // the parser is slow on long input
		}
		var v, back file
		s := Decode("f", data, &v, lookup)
		for _, p := range s.Problems() {
			if p.Text == "" {
				t.Fatalf("a problem is %#v", p)
			}
		}
		if len(s.Problems()) > 0 {
			return
		}
		text, err := s.Encode(v)
		if err != nil {
			t.Fatal(err)
		}
		s = Decode("f", text, &back, lookup)
		if p := s.Problems(); len(p) > 0 {
			t.Fatalf("what Encode writes is refused:\n%v\n%s", p, text)
		}
		again, err := s.Encode(back)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(again, text) {
			t.Fatalf("second time\n%s\nfirst time\n%s", again, text)
		}
	})
}

package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"overtake/loadgen"
)

// loadgenArgs is a command line that sends something to target.
func loadgenArgs(target string, more ...string) []string {
	return append([]string{"loadgen", "--target", target, "--class", "page=50:/"}, more...)
}

func TestLoadgenUsage(t *testing.T) {
	t.Chdir(t.TempDir())
	for name, text := range map[string]string{
		"bad.yaml":     "nmae: x\n",
		"esc.yaml":     "classes: [{name: a, rate: 1/s, path: /, headers: {\"\\e[31mX\\n\": y}}]\n",
		"a\n\x1b[31mb": "[]",
		"text.json":    `"x"`,
		"type.json":    `{"schema": 2, "runs": [{"classes": [{"latency": {"p99_ms": "1"}}]}]}`,
	} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const nobody = "http://127.0.0.1:1"
	for _, c := range []struct {
		args   []string
		stderr string
	}{
		{[]string{"loadgen"}, "no load given; add -f shop, or --class 'interactive=200:/work?ms=5' (overtake loadgen --help has an example)\n"},
		{[]string{"loadgen", "--class", "a=1:/"}, "no target; add --target http://127.0.0.1:8080"},
		{[]string{"loadgen", "--target", nobody, "--class", "a=1"}, "no ':' after the rate"},
		{[]string{"loadgen", "--target", nobody, "--class", "a=1:/", "--class", "a=2:/"}, "--class a: there are two of this name"},
		{[]string{"loadgen", "--target", nobody, "--nothing"}, "unknown flag --nothing (overtake loadgen --help has an example)\n"},
		{loadgenArgs("127.0.0.1:8080"), "--target is not a URL; want http://HOST:PORT"},
		{loadgenArgs("ftp://127.0.0.1"), "want http://HOST:PORT or https://HOST:PORT"},
		{loadgenArgs(nobody + "/base?x=1"), "target \"http://127.0.0.1:1/base?x=1\" has more than a host and a port; give http://127.0.0.1:1, and the rest in the paths of the classes"},
		{loadgenArgs("http://me:secret@127.0.0.1:port"), "--target is not a URL; want"},
		{loadgenArgs("http://me:sec/secret@127.0.0.1:80"), "--target is not a URL; want"},
		{loadgenArgs("me:secret@127.0.0.1:80"), "target \"xxxxx@127.0.0.1:80\": want http://HOST:PORT"},
		{loadgenArgs("http://127.0.0.1:99999"), "target \"http://127.0.0.1:99999\": there is no port 99999; want 1 to 65535"},
		{loadgenArgs(nobody, "--out", "bad.yaml"), "report: mkdir bad.yaml: not a directory; give another folder with --out (overtake loadgen --help has an example)"},
		{loadgenArgs(nobody, "--completions", "http://127.0.0.1:99999/"), "--completions is not a URL of HTTP"},
		{loadgenArgs(nobody, "--job", "other"), "--job other: there is no class of this name"},
		{loadgenArgs(nobody, "--duration", "0s"), "--duration 0s, want more than 0s"},
		{loadgenArgs(nobody, "--duration", "3"), `--duration: "3" is no duration: it has no unit; write 3s, or 3m for minutes`},
		{loadgenArgs(nobody, "--duration", "soon"), `--duration: "soon" is no duration; write one such as 500ms, 10s or 1m30s`},
		{loadgenArgs(nobody, "--warmup=-1s"), "--warmup -1s, want 0s or more"},
		{loadgenArgs(nobody, "--seed=-1"), "--seed"},
		{loadgenArgs(nobody, "--repeat", "0"), "--repeat 0, want 1 to 1000"},
		{loadgenArgs(nobody, "--rate", "0"), "--rate 0, want a factor above 0"},
		{loadgenArgs(nobody, "--rate", "NaN"), "--rate NaN, want a factor above 0"},
		{loadgenArgs(nobody, "--rate", "200/s"), "--rate"},
		{loadgenArgs(nobody, "--timeout", "0s"), "--timeout 0s, want more than 0s"},
		{loadgenArgs(nobody, "--timeout", "2562047h47m16s"), "--timeout 2562047h47m16s, want more than 0s, and at most 720h"},
		{loadgenArgs(nobody, "--class", "b=1:CONNECT /"), "method CONNECT asks for a tunnel"},
		{loadgenArgs(nobody, "--max-outstanding", "0"), "--max-outstanding 0, want 1 or more"},
		{loadgenArgs(nobody, "--trace-sample", "50"), "--trace-sample 50, want a share from 0 to 1"},
		{loadgenArgs(nobody, "--condition", ""), "--condition \"\", want 1 to 64 characters that can be printed"},
		{loadgenArgs(nobody, "--condition", "red\x1b[31m"), "--condition \"red\\x1b[31m\", want 1 to 64 characters"},
		{loadgenArgs(nobody, "--condition", "two\nlines"), "--condition \"two\\nlines\", want 1 to 64 characters"},
		{loadgenArgs(nobody, "--jaeger", "127.0.0.1:16686"), "--jaeger is not a URL of HTTP, want one such as http://127.0.0.1:16686"},
		{loadgenArgs(nobody, "--jaeger", "http://me:secret@127.0.0.1:16686"), "--jaeger has a user and a password in it"},
		{loadgenArgs(nobody, "--completions", "/completions"), "--completions is not a URL of HTTP"},
		{loadgenArgs(nobody, "--expect", "page.p99=5ms"), "--expect: expectation \"page.p99=5ms\": no <, <=, > or >="},
		{loadgenArgs(nobody, "--expect", "page.p98<5ms", "--expect", "page.p99<5ms", "--expect", "other.p99<5ms"), "the scenario has no class \"other\""},
		{loadgenArgs(nobody, "--expect", "page.p98<5ms", "--expect", "page.p99<5ms", "--expect", "other.p99<5ms"), "--expect: expectation \"page.p98<5ms\": unknown figure \"p98\""},
		{loadgenArgs(nobody, "--expect", "page.p99<5"), "value \"5\" is not a duration with its unit"},
		{loadgenArgs(nobody, "--expect", "other.p99<5ms"), "the scenario has no class \"other\"; it has page"},
		{[]string{"loadgen", "-f", "shap"}, "no scenario is called \"shap\"; did you mean \"shop\"?"},
		{[]string{"loadgen", "-f", "none.yaml"}, "none.yaml can't be read: no such file or directory"},
		{[]string{"loadgen", "-f", "bad.yaml"}, "bad.yaml:1:1: nmae: unknown key; did you mean \"name\"?"},
		{[]string{"loadgen", "-f", "esc.yaml"}, `: classes[0].headers.\x1b[31mX\n: `},
		{[]string{"loadgen", "compare", "a\n\x1b[31mb", "text.json"}, `overtake: a\n\x1b[31mb: report: not a report.json of overtake loadgen, but a JSON array: give one that it wrote with --out (`},
		{[]string{"loadgen", "compare", "text.json", "bad.yaml"}, "text.json: report: not a report.json of overtake loadgen, but a JSON string: give one"},
		{[]string{"loadgen", "compare", "type.json", "bad.yaml"}, "type.json: report: a field does not fit schema 2 (runs.classes.latency.p99_ms is a string): measure again with this overtake ("},
		{[]string{"loadgen", "compare", "no\x1b[31m", "bad.yaml"}, `overtake: no\x1b[31m: stat no\x1b[31m: no such file or directory (`},
		{[]string{"loadgen", "-f", "shop"}, "no target; add --target http://127.0.0.1:8080"},
		{[]string{"loadgen", "-f", "flash-crowd", "--target", nobody, "--duration", "5s"}, "--duration 5s: the scenario flash-crowd has phases, each with a duration of its own"},
		{[]string{"loadgen", "-f", "shop", "--target", nobody, "--expect", "nobody.p99<5ms"}, "the scenario has no class \"nobody\"; it has browse, "},
		{[]string{"loadgen", "-f", "shop", "--print", "gatway"}, "--print \"gatway\", want scenario or gateway"},
		{[]string{"loadgen", "-f", "shop.yaml", "--print", "gateway"}, "no built-in scenario is called \"shop.yaml\"; give -f and one of "},
		{[]string{"loadgen", "-f", "/dev/zero"}, "/dev/zero can't be read: not a regular file"},
		{[]string{"loadgen", "compare", "/dev/zero", "b.json"}, "/dev/zero: not a regular file"},
		{[]string{"app", "-f", "/dev/zero"}, "--file: read /dev/zero: not a regular file"},
		{[]string{"loadgen", "compare"}, "(overtake loadgen compare --help has an example)\n"},
		{[]string{"loadgen", "compare", "a.json"}, "one report, want two or more to compare"},
		{[]string{"loadgen", "compare", "a.json", "b.json"}, "a.json: stat a.json: no such file or directory"},
	} {
		t.Run(strings.Join(c.args, " "), func(t *testing.T) {
			code := -1
			stdout, stderr := captured(t, func() { code = run(c.args) })
			if code != exitUsage || stdout != "" {
				t.Errorf("exit code %d, want %d; it printed %q", code, exitUsage, stdout)
			}
			if checkStream(t, "standard error", stderr, c.stderr); strings.Contains(stderr, "secret") {
				t.Errorf("the password is printed: %s", stderr)
			}
		})
	}
}

func TestLoadgenHelp(t *testing.T) {
	for args, want := range map[string]string{
		"loadgen --help":         "--expect 'interactive.p99<50ms'",
		"loadgen run --help":     "--expect 'interactive.p99<50ms'",
		"loadgen compare --help": "overtake loadgen compare without/report.json with/report.json --out compared",
	} {
		code := -1
		stdout, stderr := captured(t, func() { code = run(strings.Fields(args)) })
		checkStream(t, "standard output", stdout, want)
		if code != exitOK || stderr != "" {
			t.Errorf("%s: exit code %d, %q", args, code, stderr)
		}
	}
}

// The exit code is about expectations and successes, and the last lines, like the
// report, tell of them all.
func TestLoadgenExitCode(t *testing.T) {
	up := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer up.Close()
	down := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }))
	defer down.Close()
	for _, c := range []struct {
		name, target string
		expect       []string
		code         int
		stderr       string
	}{
		{"met", up.URL, []string{"page.p50 < 50s", "page.failed <= 0"}, exitOK, ""},
		{"not met", up.URL, []string{"page.p50 < 50s", "page.p50 < 0.001ms"}, exitFailed, "\novertake: 1 of 2 expectations are not met: page.p50 < 0.001ms\n"},
		{"no success", down.URL, nil, exitFailed, "\novertake: not one request succeeded"},
		{"no success and not met", down.URL, []string{"page.p50 < 50s"}, exitFailed, "\novertake: 1 of 1 expectations are not met: page.p50 < 50s\novertake: not one request succeeded"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "new", "report")
			args := loadgenArgs(c.target, "--duration", "300ms", "--repeat", "2", "--condition", "twice", "--out", dir)
			for _, e := range c.expect {
				args = append(args, "--expect", e)
			}
			code := -1
			stdout, stderr := captured(t, func() { code = run(args) })
			report := reportIn(t, dir)
			if report.Verdict.State != loadgen.Valid { // the machine is busy: no result, whatever it is
				c.code, c.stderr = exitFailed, "\novertake: not a result: GENERATOR-BOUND; the reasons are below the table"+c.stderr
			}
			if code != c.code || !strings.Contains(stderr, c.stderr) {
				t.Errorf("exit code %d, want %d; it said\n%s", code, c.code, stderr)
			}
			if len(report.Runs) != 2 || report.Runs[1].Repeat != 2 || report.Runs[1].Condition != "twice" {
				t.Errorf("the report has %d runs", len(report.Runs))
			}
			if len(report.Expectations) != len(c.expect) {
				t.Errorf("the report has the expectations %+v", report.Expectations)
			}
			checkStream(t, "standard output", stdout, "\nreport: "+filepath.Join(dir, "report.html")+"\n")
		})
	}
}

func reportIn(t *testing.T, dir string) loadgen.Report {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "report.json"))
	if err != nil {
		t.Fatal(err)
	}
	var report loadgen.Report
	if err := json.Unmarshal(text, &report); err != nil {
		t.Fatal(err)
	}
	return report
}

// User and password of the target are sent as RFC 7617 says, and nothing shows them.
func TestLoadgenPassword(t *testing.T) {
	seen := make(chan string, 100)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		select {
		case seen <- user + " " + password:
		default:
		}
	}))
	defer server.Close()
	dir := t.TempDir()
	stdout, stderr := captured(t, func() {
		run(loadgenArgs(strings.Replace(server.URL, "http://", "http://me:sec%20ret@", 1), "--duration", "200ms", "--out", dir))
	})
	if got := <-seen; got != "me sec ret" {
		t.Errorf("the target saw user and password %q", got)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	texts := map[string]string{"standard output": stdout, "standard error": stderr}
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		texts[e.Name()] = string(text)
	}
	for where, text := range texts {
		for _, secret := range []string{"sec ret", "sec%20ret", "bWU6c2VjIHJldA=="} {
			if strings.Contains(text, secret) {
				t.Errorf("the password is in %s", where)
			}
		}
	}
}

func TestLoadgenScenario(t *testing.T) {
	c := loadgenCommand{Target: "http://127.0.0.1:1", Rate: 2, Class: []string{"page=10:/", "export=1:POST /jobs"}, Job: []string{"export"}}
	s, err := c.scenario()
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Classes) != 2 || s.Classes[0].Job || !s.Classes[1].Job || s.Classes[1].Request.Method != "POST" {
		t.Errorf("the scenario is %+v", s)
	}
	if got := fmt.Sprint(s.Classes[0].Arrivals.Mean(0, time.Second), s.Duration, s.Warmup, s.Seed); got != "20 30s 0s 1" {
		t.Errorf("rate, duration, warm-up and seed are %s", got)
	}
}

// Who wants links to traces wants traces, unless he says how many.
func TestLoadgenTraceSample(t *testing.T) {
	tenth := 0.1
	for _, c := range []struct {
		command loadgenCommand
		want    float64
	}{
		{loadgenCommand{}, 0},
		{loadgenCommand{Jaeger: "http://127.0.0.1:16686"}, 1},
		{loadgenCommand{Jaeger: "http://127.0.0.1:16686", TraceSample: &tenth}, 0.1},
		{loadgenCommand{TraceSample: &tenth}, 0.1},
	} {
		if got := c.command.options(newView("", 1)).TraceSample; got != c.want {
			t.Errorf("the share of %+v is %v, want %v", c.command, got, c.want)
		}
	}
}

// Flags win over the file, and a class of the same name is replaced.
func TestLoadgenScenarioFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "day.yaml")
	text := "target: http://127.0.0.1:2\nseed: 7\nwarmup: 1s\nduration: 9s\nclasses: [{name: page, rate: 30/s, path: /}, {name: report, rate: 5/s, path: /report}]\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	long := time.Minute
	for _, c := range []struct {
		command loadgenCommand
		want    string
	}{
		{loadgenCommand{Rate: 1}, "day http://127.0.0.1:2 7 1s 9s page 30 / report 5 /report"},
		{loadgenCommand{Rate: 2, Duration: &long, Warmup: new(time.Duration), Seed: new(uint64), Target: "http://127.0.0.1:3", Class: []string{"page=1:/a", "new=2:/b"}},
			"day http://127.0.0.1:3 0 0s 1m0s page 2 /a report 10 /report new 4 /b"},
	} {
		c.command.File = file
		s, err := c.command.scenario()
		if err != nil {
			t.Fatal(err)
		}
		parts := []any{s.Name, s.Target, s.Seed, s.Warmup, s.Duration}
		for _, class := range s.Classes {
			parts = append(parts, class.Name, class.Arrivals.Mean(0, time.Second), class.Request.Path)
		}
		if got := strings.TrimSpace(fmt.Sprintln(parts...)); got != c.want {
			t.Errorf("got %s, want %s", got, c.want)
		}
	}
}

func TestLoadgenBuiltin(t *testing.T) {
	for args, want := range map[string]string{
		"loadgen --list":                   "shop           a web shop ",
		"loadgen -f shop --print scenario": "\nname: shop\n",
		"loadgen -f shop --print gateway":  "\nupstreams:",
	} {
		code := -1
		stdout, stderr := captured(t, func() { code = run(strings.Fields(args)) })
		checkStream(t, "standard output", stdout, want)
		if code != exitOK || stderr != "" {
			t.Errorf("%s: exit code %d, %q", args, code, stderr)
		}
	}
}

// A comparison of a report with itself finds no difference.
func TestLoadgenCompare(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer server.Close()
	dir := t.TempDir()
	captured(t, func() { run(loadgenArgs(server.URL, "--duration", "200ms", "--out", dir)) })
	file, out := filepath.Join(dir, "report.json"), filepath.Join(dir, "compared")
	code := -1
	stdout, stderr := captured(t, func() { code = run([]string{"loadgen", "compare", file, file, "--out", out}) })
	if code != exitOK || stderr != "" {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	checkStream(t, "standard output", stdout, "page")
	checkStream(t, "standard output", stdout, "\nreport: "+filepath.Join(out, "comparison.html")+"\n")
	broken := filepath.Join(dir, "broken.json")
	if err := os.WriteFile(broken, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		broken:                                "report: not a report.json of overtake loadgen, as it has no schema: give one that it wrote with --out",
		filepath.Join(out, "comparison.json"): "report: this is a comparison, not a report: give the report.json files that it compares",
		dir:                                   "a folder: give the report.json in it",
	} {
		_, stderr = captured(t, func() { code = run([]string{"loadgen", "compare", file, name}) })
		if code != exitUsage || !strings.Contains(stderr, name+": "+want) {
			t.Errorf("exit code %d: %s, want %q", code, stderr, want)
		}
	}
}

// Another warm-up moves the phases of the file with it, rather than the load
// against the phases.
func TestLoadgenWarmup(t *testing.T) {
	long := 12 * time.Second
	c := loadgenCommand{File: "flash-crowd", Target: "http://127.0.0.1:1", Rate: 1, Warmup: &long}
	s, err := c.scenario()
	if err != nil {
		t.Fatal(err)
	}
	crowd := s.Classes[slices.IndexFunc(s.Classes, func(c loadgen.Class) bool { return c.Name == "crowd" })]
	var rates []float64
	for at, phases := s.Warmup, s.Phases; len(phases) > 0; phases = phases[1:] {
		rates = append(rates, crowd.Arrivals.Mean(at, at+phases[0].Duration))
		at += phases[0].Duration
	}
	if len(rates) != 3 || rates[1] < 5*rates[0] || rates[1] < 5*rates[2] {
		t.Errorf("the crowd comes at %v/s in the three phases, want most in the second", rates)
	}
}

// Standard output that is full loses no file, and a folder that takes none is found
// out before anything is sent.
func TestLoadgenOutputs(t *testing.T) {
	served := make(chan struct{}, 1000)
	up := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { served <- struct{}{} }))
	defer up.Close()
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	dir := t.TempDir()
	code := -1
	_, stderr := captured(t, func() {
		stdout := os.Stdout
		defer func() { os.Stdout = stdout }()
		os.Stdout = full
		code = run(loadgenArgs(up.URL, "--duration", "200ms", "--out", dir))
	})
	if code != exitFailed || !strings.Contains(stderr, "no space left") {
		t.Errorf("exit code %d, %s", code, stderr)
	}
	for _, name := range []string{"report.json", "report.html", "report.png"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Error(err)
		}
	}
	for len(served) > 0 {
		<-served
	}
	_, stderr = captured(t, func() { code = run(loadgenArgs(up.URL, "--duration", "200ms", "--out", "/proc/self")) })
	if code != exitUsage || !strings.Contains(stderr, "give another folder with --out") || len(served) > 0 {
		t.Errorf("a folder that takes no files: exit code %d, %d requests, %s", code, len(served), stderr)
	}
}

// What holds nothing can't be compared.
func TestCompareNothing(t *testing.T) {
	name := filepath.Join(t.TempDir(), "empty.json")
	if err := os.WriteFile(name, fmt.Appendf(nil, `{"schema":%d,"runs":[]}`, loadgen.ReportSchema), 0o600); err != nil {
		t.Fatal(err)
	}
	code := -1
	_, stderr := captured(t, func() { code = run([]string{"loadgen", "compare", name, name}) })
	if code != exitUsage || !strings.Contains(stderr, "the report has no runs with classes") {
		t.Errorf("exit code %d, %s", code, stderr)
	}
}

func TestAppGraphFiles(t *testing.T) {
	graph := filepath.Join(t.TempDir(), "graph.yaml")
	if err := os.WriteFile(graph, []byte("name: shop\nservices: {front: {sidecar: {config: none.yaml}, endpoints: [{path: /}]}}"), 0o600); err != nil {
		t.Fatal(err)
	}
	code := -1
	_, stderr := captured(t, func() { code = run([]string{"app", "-f", graph, "--check"}) })
	if code != exitUsage || !strings.Contains(stderr, "services.front.sidecar.config: stat none.yaml: no such file") {
		t.Errorf("exit code %d, %s", code, stderr)
	}
	stdout, _ := captured(t, func() { code = run([]string{"app", "-f", "bookinfo", "--print"}) })
	if code != exitOK || !strings.Contains(stdout, "name: bookinfo") {
		t.Errorf("exit code %d, %s", code, stdout)
	}
	_, stderr = captured(t, func() { code = run([]string{"app", "-f", "bookinf", "--print"}) })
	if code != exitUsage || !strings.Contains(stderr, "did you mean \"bookinfo\"?") {
		t.Errorf("exit code %d, %s", code, stderr)
	}
}

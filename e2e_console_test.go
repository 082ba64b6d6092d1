//go:build e2e

package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// evilPath is the path of a request that would be markup, where a page takes it for
// that.
const evilPath = "/<img/src=x/onerror=alert(1)>"

// consoleView is what e2e/browser/console.mjs saw.
type consoleView struct {
	Name     string   `json:"name"`
	Errors   []string `json:"errors"`
	Requests []string `json:"requests"` // to others than the gateway
	// Grown are the figures before and after, without a reload.
	Grown [2]struct {
		Hits      map[string]int `json:"hits"`
		Overtakes int            `json:"overtakes"`
	} `json:"grown"`
	Ready string `json:"ready"`
	// Failures are the rows of the table, Failing what the head says of them.
	Failures [][]string     `json:"failures"`
	Failing  []string       `json:"failing"`
	Cards    []string       `json:"cards"`  // of each class, its wait and its failures
	Apps     []string       `json:"apps"`   // the time in each app, and its limit
	Limits   []int          `json:"limits"` // points of the line of each limit
	Slowest  []string       `json:"slowest"`
	Rules    []string       `json:"rules"`
	Queues   []string       `json:"queues"`
	Drawn    map[string]int `json:"drawn"` // points and bars of each chart
	Images   int            `json:"images"`
	Wider    int            `json:"wider"` // than the screen
	Audit    []string       `json:"audit"` // serious and critical findings of axe-core
	Themes   []string       `json:"themes"`
	Walk     consoleWalk    `json:"walk"`
}

// consoleWalk is what somebody without a mouse came to see.
type consoleWalk struct {
	Unseen    []string      `json:"unseen"` // elements whose focus doesn't show
	First     string        `json:"first"`
	Paused    string        `json:"paused"`
	Legend    []any         `json:"legend"` // curves, and whether the class is shown
	Table     int           `json:"table"`
	Reading   string        `json:"reading"`
	Tip       bool          `json:"tip"`
	Expanded  string        `json:"expanded"`
	Hops      []string      `json:"hops"`
	Trace     string        `json:"trace"`
	Refused   string        `json:"refused"`
	Hostile   consoleAnswer `json:"hostile"`
	Explained consoleAnswer `json:"explained"`
}

// consoleAnswer is the form's answer.
type consoleAnswer struct {
	Answer string     `json:"answer"`
	Trials [][]string `json:"trials"`
}

func consoleConfig(t *testing.T, app string) string {
	return fmt.Sprintf(`
upstreams:
  app: {servers: [%[1]q], limit: {max: 8}}
  hasty: {servers: [%[1]q], timeout: 20ms}
brokers: {local: {type: nats, embedded: true, dir: %[2]q}}
queues: {jobs: {broker: local, deliver: {upstream: app, path: /work}}}
classes:
  - {name: interactive, objective: 25ms, reserve: 2, max_wait: 5s}
  - {name: standard, objective: 250ms, floor: 10%%}
  - {name: batch, floor: 5%%, max_wait: 1s, max_waiting: 150}
rules:
  - {name: pages, class: interactive, match: {path: /work, query: {for: page}}}
  - {name: late, class: interactive, match: {path: /work, query: {for: late}}}
  - {name: reports, class: batch, match: {path: /work, query: {for: report}}}
  - {name: jobs, class: batch, match: {path: "/jobs/**"}}
  - {name: bots, class: batch, dry_run: true, match: {headers: {user-agent: "<img src=x onerror=alert(1)>*"}}}
routes: [{match: {path: "/jobs/**"}, queue: jobs}, {match: {query: {for: late}}, upstream: hasty}, {upstream: app}]
`, app, t.TempDir())
}

// The console shows a gateway at work, on a desktop and on a phone, light and dark:
// its figures grow, its form says what the command says, all of it can be used and
// seen without a mouse, and text of others stays text.
func TestE2EConsole(t *testing.T) {
	b := newBrowser(t)
	file := writeConfig(t, consoleConfig(t, startApp(t, 8)))
	g := runGateway(t, file)
	// 300 reports of 50 ms take 15 workers, of which the app has 8.
	start(t, "loadgen", "--target", g.url, "--duration", "30m", "--out", t.TempDir(),
		"--class", "pages=60:/work?ms=5&for=page", "--class", "reports=300:/work?ms=50&for=report", "--class", "jobs=5:POST /jobs/export?ms=50",
		"--class", "late=10:/work?ms=50&for=late")
	g.sendEvil(t)
	eventually(t, "two points of history with refusals", func() bool { return g.shedPoints(t) >= 2 })
	for _, v := range b.console(t, g) {
		t.Run(v.Name, func(t *testing.T) {
			v.check(t)
			v.Walk.check(t)
			v.Walk.checkExplained(t, file, g)
		})
	}
}

// sendEvil sends a request as no client should write it.
func (g gatewayProgram) sendEvil(t *testing.T) {
	t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(g.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: x\r\nUser-Agent: <img src=x onerror=alert(1)>\r\nConnection: close\r\n\r\n", evilPath)
	if line, err := bufio.NewReader(c).ReadString('\n'); err != nil || !strings.HasPrefix(line, "HTTP/1.1 404") {
		t.Fatalf("%q, %v", line, err)
	}
}

// historyPoint is a point of the console's history, as far as tests ask for it.
type historyPoint struct {
	Classes []struct {
		Shed int `json:"shed"`
	} `json:"classes"`
}

// history returns the points of the console's history.
func (g gatewayProgram) history(t *testing.T) []historyPoint {
	t.Helper()
	var state struct {
		History struct {
			Points []historyPoint `json:"points"`
		} `json:"history"`
	}
	_, body := get(t, g.admin+"/console/state")
	if err := json.Unmarshal([]byte(body), &state); err != nil {
		t.Fatalf("%v: %.200s", err, body)
	}
	return state.History.Points
}

// shedPoints counts the points of the console's history in which something was shed.
func (g gatewayProgram) shedPoints(t *testing.T) (n int) {
	t.Helper()
	for _, p := range g.history(t) {
		for _, c := range p.Classes {
			if c.Shed > 0 {
				n++
				break
			}
		}
	}
	return n
}

// console looks at the console of g, and leaves pictures named bin/console-….png.
func (b browser) console(t *testing.T, g gatewayProgram) []consoleView {
	t.Helper()
	if err := os.MkdirAll("bin", 0o755); err != nil {
		t.Fatal(err)
	}
	stdout, _ := tool(t, "node", filepath.Join(b.dir, "console.mjs"), b.chromium, g.admin, filepath.Join("bin", "console"))
	var views []consoleView
	if err := json.Unmarshal([]byte(stdout), &views); err != nil {
		t.Fatalf("%v: %s", err, stdout)
	}
	if len(views) != 4 {
		t.Fatalf("%d views, want 4", len(views))
	}
	return views
}

func (v *consoleView) check(t *testing.T) {
	if len(v.Errors)+len(v.Requests)+len(v.Audit) > 0 || v.Images+v.Wider > 0 || v.Ready != "ready" {
		t.Errorf("errors %q, requests to others %q, %d images, wider than the screen by %d, %s; axe-core:\n%s",
			v.Errors, v.Requests, v.Images, v.Wider, v.Ready, strings.Join(v.Audit, "\n"))
	}
	for chart, drawn := range v.Drawn {
		if drawn == 0 {
			t.Errorf("%s is empty", chart)
		}
	}
	if len(v.Drawn) != 5 {
		t.Errorf("charts %v", v.Drawn)
	}
	if !slices.Contains(v.Slowest, "GET "+evilPath) {
		t.Errorf("slowest requests %q, without GET %s", v.Slowest, evilPath)
	}
	if rules := strings.Join(v.Rules, "\n"); !strings.Contains(rules, "<img src=x onerror=alert(1)>") {
		t.Errorf("rules\n%s", rules)
	}
	v.checkFailures(t)
	if len(v.Queues) < 3 {
		t.Errorf("lanes of the queue %q", v.Queues)
	}
	if c := v.Themes; len(c) != 3 || c[0] == c[1] || c[1] != c[2] {
		t.Errorf("background before the theme was switched, after it, and after a reload: %q", c)
	}
}

// checkFailures looks for what fails, in the head, in the cards and in the table, and for
// how the apps and their limits are.
func (v *consoleView) checkFailures(t *testing.T) {
	has := func(class, kind, place string) bool {
		return slices.ContainsFunc(v.Failures, func(row []string) bool {
			return len(row) == 9 && row[0] == class && row[1] == kind && row[2] == place && row[3] != "" && strings.HasPrefix(row[4], "50") && row[6] != "0" && row[8] != ""
		})
	}
	if !has("interactive", "failed", "upstream hasty") || !has("batch", "refused", "upstream app") || v.Failures[0][1] != "failed" {
		t.Errorf("failures %q", v.Failures)
	}
	if len(v.Failing) != 1 || !regexp.MustCompile(`^interactive: [\d.]+ % failing$`).MatchString(v.Failing[0]) {
		t.Errorf("the head says %q of what fails", v.Failing)
	}
	if len(v.Cards) != 6 || !strings.HasPrefix(v.Cards[0], "wait p99, last minute · ") || !strings.Contains(v.Cards[1], " in the last minute") {
		t.Errorf("cards %q", v.Cards)
	}
	if len(v.Apps) != 2 || !regexp.MustCompile(`p50, 1 min[\d.]+ ms.*p99 in the app, 15 min: [\d.]+ .*limit, 15 min: .*now [\d,]+$`).MatchString(v.Apps[0]) {
		t.Errorf("apps %q", v.Apps)
	}
	if len(v.Limits) != 2 || v.Limits[0] == 0 {
		t.Errorf("points of the limits %v", v.Limits)
	}
}

func (w *consoleWalk) check(t *testing.T) {
	if len(w.Unseen) > 0 || w.First != "Skip to the lanes" || !strings.HasPrefix(w.Paused, "paused at ") {
		t.Errorf("focus that doesn't show %q; the first link %q; paused: %q", w.Unseen, w.First, w.Paused)
	}
	if got := fmt.Sprint(w.Legend); got != "[3 false 2 true 3]" {
		t.Errorf("Enter on the legend: %s", got)
	}
	if want := `^\d\d:\d\d:\d\d: interactive p99 .*ms, p50 .*; standard .*; batch p99 `; w.Table == 0 || !w.Tip || !regexp.MustCompile(want).MatchString(w.Reading) {
		t.Errorf("the chart's table has %d rows; its reading %q, shown: %v", w.Table, w.Reading, w.Tip)
	}
	if hops := strings.Join(w.Hops, "\n"); w.Expanded != "true" || !strings.Contains(hops, "waited for a slot") || !strings.Contains(hops, "http://127.0.0.1:") {
		t.Errorf("expanded %q, hops:\n%s", w.Expanded, hops)
	}
	if !strings.Contains(w.Trace, "tracing.query") {
		t.Errorf("without a Jaeger: %q", w.Trace)
	}
	if !strings.Contains(w.Refused, "source is not an IP address") {
		t.Errorf("explain refuses with %q", w.Refused)
	}
}

// checkExplained compares the form's answer with those of the command and the endpoint.
func (w *consoleWalk) checkExplained(t *testing.T, file string, g gatewayProgram) {
	if w.Hostile.Answer != "classstandardby ruledefault" || !strings.Contains(fmt.Sprint(w.Hostile.Trials), "<img") {
		t.Errorf("explained %+v", w.Hostile)
	}
	said, _ := tool(t, binary, "explain", "-c", file, "GET", "/work?for=report", "--source", "127.0.0.1")
	var want struct {
		Class string `json:"class"`
		Rule  string `json:"rule"`
		Rules []struct {
			Rule    string `json:"rule"`
			Matches bool   `json:"matches"`
		} `json:"rules"`
	}
	_, body := get(t, g.admin+"/debug/explain?source=127.0.0.1&url="+url.QueryEscape("/work?for=report"))
	if err := json.Unmarshal([]byte(body), &want); err != nil {
		t.Fatal(err)
	}
	if w.Explained.Answer != "class"+want.Class+"by rule"+want.Rule || len(w.Explained.Trials) != len(want.Rules) {
		t.Errorf("the form says %+v, the gateway %+v", w.Explained, want)
	}
	for _, line := range []string{"class  " + want.Class + "\n", "rule   " + want.Rule + "\n"} {
		if !strings.Contains(said, line) {
			t.Errorf("the command says\n%s\nwant %q", said, line)
		}
	}
	for i, trial := range w.Explained.Trials {
		if yes := trial[2] == "yes"; trial[0] != want.Rules[i].Rule || yes != want.Rules[i].Matches {
			t.Errorf("trial %d is %q, want %+v", i, trial, want.Rules[i])
		}
	}
}

// A page whose gateway has gone says so, with the time, and goes on by itself when
// another is started at the same address.
func TestE2EConsoleGatewayGone(t *testing.T) {
	b := newBrowser(t)
	file := writeConfig(t, fmt.Sprintf("upstreams: {app: {servers: [%q]}}\n", startApp(t, 1)))
	g := runGateway(t, file)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	write(t, file, strings.Replace(string(text), `admin: "127.0.0.1:0"`, fmt.Sprintf("admin: %q", strings.TrimPrefix(g.admin, "http://")), 1))
	page := startTool(t, nil, "node", filepath.Join(b.dir, "console-link.mjs"), b.chromium, g.admin, "away")
	page.find(t, `(?m)^live$`)
	killed := time.Now()
	g.signal(t, syscall.SIGKILL)
	g.wait(t)
	gone := page.find(t, `(?m)^gone: (.*)$`)
	since := regexp.MustCompile(`^no answer since (\d\d:\d\d:\d\d); Console: no answer since \d\d:\d\d:\d\d; $`).FindStringSubmatch(gone)
	if since == nil {
		t.Fatalf("the page says %q", gone)
	}
	// The last answer came shortly before the gateway was killed.
	if !slices.ContainsFunc([]int{-5, -4, -3, -2, -1, 0, 1}, func(s int) bool { return killed.Add(time.Duration(s)*time.Second).Format(time.TimeOnly) == since[1] }) {
		t.Errorf("%q, killed at %v", gone, killed)
	}
	runGateway(t, file)
	if errs := page.find(t, `(?m)^live again: (.*)$`); errs != "" {
		t.Errorf("errors %q", errs)
	}
	if code := page.wait(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// Where the configuration names a Jaeger, the console shows the hops that it has, and
// links to it.
func TestE2EConsoleTrace(t *testing.T) {
	b, j := newBrowser(t), startJaeger(t)
	g := startGateway(t, fmt.Sprintf("upstreams: {app: {servers: [%q]}}\ntracing: {exporter: otlp, endpoint: %q, query: %q, sample: 1}\n",
		startApp(t, 1), j.otlpHTTP, j.query))
	const id = "4bf92f3577b34da6a3ce929d0e0e4736"
	if answer, _ := traced(t, g.url+"/work?ms=30", id); answer.StatusCode != 200 {
		t.Fatal(answer.Status)
	}
	j.trace(t, id, spansOfRequest)
	stdout, _ := tool(t, "node", filepath.Join(b.dir, "console.mjs"), b.chromium, g.admin, "-", "trace")
	var seen struct {
		Errors, Requests, Hops, Audit []string
		Link, Rel                     string
	}
	if err := json.Unmarshal([]byte(stdout), &seen); err != nil {
		t.Fatalf("%v: %s", err, stdout)
	}
	if len(seen.Errors)+len(seen.Requests)+len(seen.Audit) > 0 {
		t.Errorf("errors %q, requests to others %q, axe-core %q", seen.Errors, seen.Requests, seen.Audit)
	}
	if len(seen.Hops) != spansOfRequest || !strings.Contains(seen.Hops[0], "ms") {
		t.Errorf("hops %q, want %d", seen.Hops, spansOfRequest)
	}
	if seen.Link != j.query+"/trace/"+id || seen.Rel != "noopener noreferrer" {
		t.Errorf("link %q, %q", seen.Link, seen.Rel)
	}
}

//go:build e2e

package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// markedGateway is a gateway with a rule that decides about /marked alone.
func markedGateway(t *testing.T) gatewayProgram {
	t.Helper()
	return startGateway(t, fmt.Sprintf(`
upstreams: {app: {servers: [%q]}}
rules: [{name: marked, class: batch, match: {path: /marked}}]
`, startApp(t, 2)))
}

// mark has the rule decide so many times.
func (g gatewayProgram) mark(t *testing.T, times int) {
	t.Helper()
	for range times {
		get(t, g.url+"/marked")
	}
}

// watchConsole opens the console that p stands before, and returns what tells of it.
func watchConsole(t *testing.T, b browser, p *consoleProxy) *program {
	t.Helper()
	page := startTool(t, nil, "node", filepath.Join(b.dir, "console-link.mjs"), b.chromium, p.URL, "watch")
	page.find(t, `(?m)^live; 0 hits; `)
	return page
}

// endWatch closes the page, in which nothing must have gone wrong.
func endWatch(t *testing.T, page *program) {
	t.Helper()
	page.signal(t, syscall.SIGTERM)
	if errs := page.find(t, `(?m)^ended: (.*)$`); errs != "" {
		t.Errorf("errors %q", errs)
	}
	if code := page.wait(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// A page behind another tab asks for nothing. In front again, it asks at once and shows
// all that it missed.
func TestE2EConsoleHidden(t *testing.T) {
	b, g := newBrowser(t), markedGateway(t)
	p := startConsoleProxy(t, g.admin, "")
	page := watchConsole(t, b, p)
	page.signal(t, syscall.SIGUSR2)
	page.find(t, `(?m)^hidden$`)
	p.await(t, "the page closes its stream", func() bool { return len(p.streams) == 0 })
	before := p.seen()
	g.mark(t, 3)
	// Longer than it would take a page to ask, whether for events or now and then: the
	// gateway counts the seconds.
	countEvents(t, g, 10)
	if asked := p.seen()[len(before):]; len(asked) > 0 {
		t.Errorf("the hidden page asked for %q", asked)
	}
	if strings.Contains(page.text(), "3 hits") {
		t.Error("the hidden page shows what was not known when it was hidden")
	}
	points := len(g.history(t))
	page.signal(t, syscall.SIGUSR2)
	if after, err := strconv.Atoi(page.find(t, `(?m)^shown: asked after (\d+) ms$`)); err != nil || after >= 1000 {
		t.Errorf("shown again, it asked after %d ms, want at once", after)
	}
	shown, err := strconv.Atoi(page.find(t, `(?m)^live; 3 hits; (\d+) points$`))
	if err != nil || shown < points {
		t.Errorf("it shows %d points of the history, want the %d from before it was shown", shown, points)
	}
	if asked, want := p.seen()[len(before):], []string{"/console/state", "/console/events"}; !slices.Equal(asked, want) {
		t.Errorf("shown again, it asked for %q, want %q", asked, want)
	}
	endWatch(t, page)
}

// countEvents returns after so many events, which come once a second.
func countEvents(t *testing.T, g gatewayProgram, n int) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, g.admin+"/console/events", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 8<<20)
	for n > 0 && lines.Scan() {
		if strings.HasPrefix(lines.Text(), "data: ") {
			n--
		}
	}
	if n > 0 {
		t.Fatalf("%d events are missing: %v", n, lines.Err())
	}
}

// Where a proxy spoils streams of events, the page says that it asks now and then, and
// goes on showing what is new; when the proxy is mended, it is live again by itself.
func TestE2EConsoleEventsSpoilt(t *testing.T) {
	b, g := newBrowser(t), markedGateway(t)
	ways := []struct {
		name  string
		spoil func(*http.Response) error
	}{{"held back", holdBack}, {"ended after one", endAfter(1)}, {"refused", refuse}}
	proxies, pages := make([]*consoleProxy, len(ways)), make([]*program, len(ways))
	for i := range ways {
		proxies[i] = startConsoleProxy(t, g.admin, "")
		pages[i] = watchConsole(t, b, proxies[i])
	}
	for i, way := range ways {
		proxies[i].turn(way.spoil)
	}
	// Each figure is new, and shown by a page that asks; while it tries events, it may
	// seem live for a moment.
	for hits := 1; hits <= 3; hits++ {
		g.mark(t, 1)
		for i, way := range ways {
			if pages[i].find(t, fmt.Sprintf(`(?m)^(asking every 5 s|live); %d hits; `, hits)); t.Failed() {
				t.Fatalf("%s: not shown", way.name)
			}
		}
	}
	for i, way := range ways {
		text := pages[i].text()
		if !strings.Contains(text, "asking every 5 s; ") || strings.Contains(text, "no answer since") {
			t.Errorf("%s: it does not say that it asks now and then:\n%s", way.name, text)
		}
		proxies[i].turn(nil)
	}
	g.mark(t, 1)
	for i := range ways {
		pages[i].find(t, `(?m)^live; 4 hits; `)
		endWatch(t, pages[i])
	}
}

// consoleUse is what the parts of the page say that ask the gateway something.
type consoleUse struct {
	Errors, Requests                 []string
	Trace, Explained, Share, Reached string
}

// useConsole uses the console at a URL.
func useConsole(t *testing.T, b browser, url string) (seen consoleUse) {
	t.Helper()
	stdout, _ := tool(t, "node", filepath.Join(b.dir, "console-link.mjs"), b.chromium, url, "use")
	if err := json.Unmarshal([]byte(stdout), &seen); err != nil {
		t.Fatalf("%v: %s", err, stdout)
	}
	return seen
}

// Behind a proxy that serves the admin listener below a prefix, all of the page works.
func TestE2EConsolePrefix(t *testing.T) {
	b, g := newBrowser(t), markedGateway(t)
	const prefix = "/ops/overtake"
	p := startConsoleProxy(t, g.admin, prefix)
	g.mark(t, 1)
	seen := useConsole(t, b, p.URL+prefix)
	if len(seen.Errors)+len(seen.Requests) > 0 {
		t.Errorf("errors %q, requests outside of the prefix %q", seen.Errors, seen.Requests)
	}
	if !strings.Contains(seen.Trace, "tracing.query") || seen.Explained != "classbatchby rulemarked" || seen.Reached != p.URL+prefix+"/console" {
		t.Errorf("of a trace it says %q, it explains %q, the index leads to %s", seen.Trace, seen.Explained, seen.Reached)
	}
	if seen.Share != "100 %" {
		t.Errorf("the share of the rule that decided all is %q", seen.Share)
	}
	asked := p.seen()
	for _, path := range []string{"/console", "/console/state", "/console/events", "/console/trace", "/debug/explain", "/"} {
		if !slices.Contains(asked, path) {
			t.Errorf("nothing asked for %s, only for %q", path, asked)
		}
	}
	if i := slices.IndexFunc(asked, func(path string) bool { return strings.HasPrefix(path, "outside") }); i >= 0 {
		t.Errorf("asked for %s", asked[i])
	}
}

// inPlace is what the page says of an answer in the gateway's place.
func inPlace(how string) string {
	return "Not the gateway answered, but something before it, with " + how + ". Load this page again: a proxy may want a login."
}

// Where a proxy answers in the gateway's place, the page says that, and what to do.
func TestE2EConsoleLogin(t *testing.T) {
	b, g := newBrowser(t), markedGateway(t)
	p := startConsoleProxy(t, g.admin, "")
	p.state.change(func() { p.spoil["/console/trace"], p.spoil["/debug/explain"] = wantLogin, wantLogin })
	g.mark(t, 1)
	seen := useConsole(t, b, p.URL)
	want := inPlace("status 200")
	if len(seen.Errors) > 0 || seen.Trace != want || seen.Explained != want {
		t.Errorf("errors %q; of a trace it says %q, it explains %q; want %q", seen.Errors, seen.Trace, seen.Explained, want)
	}
}

// That holds for the head, too, from the start and once it was live, and it doesn't go
// on calling a gateway ready that it knows nothing of.
func TestE2EConsoleLoginHead(t *testing.T) {
	b, g := newBrowser(t), markedGateway(t)
	p := startConsoleProxy(t, g.admin, "")
	state := func(spoil func(*http.Response) error) {
		p.state.change(func() { p.spoil["/console/state"] = spoil })
	}
	state(wantPassword)
	page := startTool(t, nil, "node", filepath.Join(b.dir, "console-link.mjs"), b.chromium, p.URL, "head")
	lost := func(ready, how string) {
		t.Helper()
		page.find(t, `(?m)^no answer since \d\d:\d\d:\d\d; `+ready+`; No news from the gateway`+regexp.QuoteMeta(inPlace(how))+`$`)
	}
	lost("", "status 401")
	state(nil)
	page.find(t, `(?m)^live; ready; $`)
	before := strings.Count(page.text(), "live; ready; \n")

	state(wantLogin)
	p.turn(wantLogin)
	lost("was ready", "status 200")
	page.signal(t, syscall.SIGUSR2)
	if findings := page.find(t, `(?m)^audit: (.*)$`); findings != "" {
		t.Errorf("axe-core: %s", findings)
	}
	state(redirect)
	lost("was ready", "a redirect")
	if after := strings.Count(page.text(), "live; ready; \n"); after != before {
		t.Errorf("it was live meanwhile:\n%s", page.text())
	}
	state(nil)
	p.turn(nil)
	eventually(t, "it is live again", func() bool { return strings.Count(page.text(), "live; ready; \n") > before })
	endWatch(t, page)
}

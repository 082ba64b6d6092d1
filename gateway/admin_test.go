package gateway

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"overtake/broker"
	"overtake/scheduler"
)

// adminGet gets a page of the admin listener.
func (g *testGateway) adminGet(target string) (int, string) {
	g.t.Helper()
	resp, err := client(g.t).Get("http://" + g.AdminAddr().String() + target)
	if err != nil {
		g.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		g.t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// wantMetric waits for a line of /metrics.
func (g *testGateway) wantMetric(line string) {
	g.t.Helper()
	var page string
	eventually(g.t, "the metrics say "+line, func() bool {
		_, page = g.adminGet("/metrics")
		return slices.Contains(strings.Split(page, "\n"), line)
	})
}

func TestHealthAndReadiness(t *testing.T) {
	app := serveRaw(t)
	g := start(t, "", app.url())
	if status, body := g.adminGet("/healthz"); status != 200 || body != "alive\n" {
		t.Errorf("healthz: %d %q", status, body)
	}
	if status, body := g.adminGet("/readyz"); status != 200 || !strings.Contains(body, `"ready": true`) {
		t.Errorf("readyz: %d %s", status, body)
	}
	app.ln.Close()
	eventually(t, "it is not ready without the app", func() bool {
		status, body := g.adminGet("/readyz")
		return status == 503 && strings.Contains(body, "upstream app")
	})
	if status, _ := g.adminGet("/healthz"); status != 200 {
		t.Errorf("healthz without the app: %d", status)
	}
}

func TestMetricsOfTheContract(t *testing.T) {
	q := newFakeQueue()
	app := serveApp(t, func(w http.ResponseWriter, r *http.Request) {})
	g := start(t, `
routes: [{match: {path: /jobs}, queue: jobs}, {upstream: app}]
queues: {jobs: {deliver: {upstream: app}}}
`, app, q.open())
	g.get("/secret-path?token=1", "X-Request-Id: rid")
	if f := g.fetch("POST", "/jobs", strings.NewReader("x")); f.StatusCode != 202 {
		t.Fatalf("status %d", f.StatusCode)
	}
	g.wantMetric(`overtake_deliveries_total{class="standard",queue="jobs",result="done"} 1`)
	g.wantMetric(`overtake_requests_total{class="standard",code="200",listener="public"} 1`)
	g.wantMetric(`overtake_requests_total{class="standard",code="202",listener="public"} 1`)
	_, page := g.adminGet("/metrics")
	for _, want := range []string{
		`overtake_request_seconds_count{class="standard"} 2`,
		`overtake_queue_wait_seconds_count{class="standard",upstream="app"} 1`,
		`overtake_inflight{class="batch",upstream="app"} 0`,
		`overtake_limit{upstream="app"} 4`,
		`overtake_server_up{server="` + app + `",upstream="app"} 1`,
		`overtake_retries_total{result="answered",upstream="app"} 0`,
		`overtake_retries_total{result="failed",upstream="app"} 0`,
		`overtake_retries_total{result="no_budget",upstream="app"} 0`,
		`overtake_retries_total{result="no_server",upstream="app"} 0`,
		`overtake_reserve{class="interactive",upstream="app"} 0`,
		// the courier of each lane waits at the broker, not here
		`overtake_waiting{class="standard",upstream="app"} 0`,
		`overtake_shed_total{class="interactive",reason="queue_full",upstream="app"} 0`,
		`overtake_overtakes_total{class="standard",upstream="app"} 0`,
		`overtake_lane_depth{class="batch",queue="jobs"} 0`,
		`overtake_message_wait_seconds_count{class="standard",queue="jobs"} 1`,
		`overtake_classified_total{class="standard",rule="default"} 2`,
	} {
		if !slices.Contains(strings.Split(page, "\n"), want) {
			t.Errorf("the metrics don't have %s", want)
		}
	}
	page = strings.ReplaceAll(page, app, "") // as configured
	if m := regexp.MustCompile(`secret-path|token|rid|127\.0\.0\.1`).FindString(page); m != "" {
		t.Errorf("the metrics carry %q of a request", m)
	}
	for _, reason := range scheduler.Reasons() {
		if !strings.Contains(page, `reason="`+reason.String()+`"`) {
			t.Errorf("no shed count for %s", reason)
		}
	}
}

func TestMetricsLabelsStayBounded(t *testing.T) {
	g := start(t, "flow: {header: X-Api-Key}\nroutes: [{match: {path: /none}, upstream: app}]", deadAddress(t))
	series := func() int {
		_, page := g.adminGet("/metrics")
		return len(regexp.MustCompile(`(?m)^overtake_`).FindAllString(page, -1))
	}
	g.fetch("GET", "/", nil)
	before := series()
	for _, odd := range []string{"a", "b", "c", "d"} {
		g.fetch("M"+odd, "/"+odd, nil, "Host: "+odd, "Latency-Class: "+odd, "X-Api-Key: "+odd, "X-Request-Id: "+odd)
	}
	if after := series(); after != before {
		t.Errorf("%d series became %d by what clients sent", before, after)
	}
}

func TestDebugQueues(t *testing.T) {
	app := newGate()
	q := newFakeQueue()
	g := start(t, oneSlot+"\nqueues: {jobs: {}}", serveApp(t, app.ServeHTTP), q.open())
	letGo := g.hold(app)
	l := newLine(g)
	l.join("/batch/1", "/interactive/1")
	_, page := g.adminGet("/debug/queues")
	var state struct {
		Upstreams map[string]struct {
			Limit    int `json:"limit"`
			InFlight int `json:"in_flight"`
			Classes  map[string]struct {
				Waiting  int            `json:"waiting"`
				InFlight int            `json:"in_flight"`
				Oldest   float64        `json:"oldest_ms"`
				Reserve  *int           `json:"reserve"`
				Shed     map[string]int `json:"shed"`
			} `json:"classes"`
		} `json:"upstreams"`
		Queues map[string]struct {
			Lanes  map[string]int `json:"lanes"`
			Paused []string       `json:"paused"`
		} `json:"queues"`
	}
	if err := json.Unmarshal([]byte(page), &state); err != nil {
		t.Fatalf("%v in %s", err, page)
	}
	u := state.Upstreams["app"]
	batch := u.Classes["batch"]
	if u.Limit != 1 || u.InFlight != 1 || batch.Waiting != 1 || batch.Oldest <= 0 || batch.Reserve == nil ||
		u.Classes["standard"].InFlight != 1 || len(batch.Shed) != len(scheduler.Reasons()) || state.Queues["jobs"].Lanes["batch"] != 0 {
		t.Errorf("got %s", page)
	}
	if paused := state.Queues["jobs"].Paused; !slices.Equal(paused, []string{"batch"}) {
		t.Errorf("the paused lanes are %v, want batch, in %s", paused, page)
	}
	letGo()
	for range 2 {
		receive(t, "a request", app.arrived)
		app.pass <- struct{}{}
	}
}

// A broker that tells its lanes and takes no messages is not ready for jobs.
func TestNotReadyWhileTheBrokerTakesNothing(t *testing.T) {
	q := newFakeQueue()
	q.deaf = broker.ErrUnavailable
	g := start(t, jobsOnly, serveApp(t, func(http.ResponseWriter, *http.Request) {}), q.open())
	if status, body := g.adminGet("/readyz"); status != 503 || !strings.Contains(body, "queue jobs") {
		t.Errorf("readyz: %d %s", status, body)
	}
}

func TestDebugConfigTellsNoSecrets(t *testing.T) {
	g := start(t, `rules: [{name: key, class: batch, match: {headers: {X-Key: "${KEY}"}}}]`, deadAddress(t))
	status, page := g.adminGet("/debug/config")
	if status != 200 || !strings.Contains(page, "default_class: standard") || !strings.Contains(page, "${KEY}") || strings.Contains(page, "s3cret") {
		t.Errorf("%d\n%s", status, page)
	}
}

func TestAdminCanBeOff(t *testing.T) {
	g := start(t, "admin: off", deadAddress(t))
	if g.AdminAddr() != nil {
		t.Errorf("there is an admin listener at %s", g.AdminAddr())
	}
}

// Who is refused after a wait learns that it was spent in the queue.
func TestExposureOfARefusal(t *testing.T) {
	app := newGate()
	g := start(t, `
expose: all
classes: [{name: standard, floor: 0%, max_wait: 50ms}]
upstreams: {app: {servers: [$APP], limit: {max: 1}}}
`, serveApp(t, app.ServeHTTP))
	letGo := g.hold(app)
	defer letGo()
	f := g.get("/")
	var ms float64
	timing := strings.Join(f.Header["Server-Timing"], ", ")
	if n, err := fmt.Sscanf(timing, "queue;dur=%f", &ms); n != 1 || err != nil || ms < 50 || strings.Contains(timing, "upstream") {
		t.Errorf("%d %s, Server-Timing: %s; want the 50 ms that it waited, and no upstream", f.StatusCode, f.Header.Get("Overtake-Reason"), timing)
	}
}

func TestExposure(t *testing.T) {
	app := serveApp(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Latency-Class", "forged")
		w.Header().Set("Server-Timing", "db;dur=3")
	})
	timing := regexp.MustCompile(`^queue;dur=[0-9]+\.[0-9]+, upstream;dur=[0-9]+\.[0-9]+$`)
	for _, tc := range []struct {
		expose  string
		trusted bool
		seen    bool
	}{
		{"all", false, true}, {"all", true, true}, {"trusted", false, false},
		{"trusted", true, true}, {"none", false, false}, {"none", true, false},
	} {
		yaml := "expose: " + tc.expose + "\n"
		if tc.trusted {
			yaml += trustLoopback
		}
		f := start(t, yaml, app).get("/")
		var class, timings []string
		if tc.seen {
			class = []string{"standard"}
		}
		timings = f.Header["Server-Timing"]
		if !slices.Equal(f.Header["Latency-Class"], class) || timings[0] != "db;dur=3" ||
			tc.seen != (len(timings) == 2 && timing.MatchString(timings[1])) {
			t.Errorf("%s, trusted %v: class %q, timing %q", tc.expose, tc.trusted, f.Header["Latency-Class"], timings)
		}
	}
}

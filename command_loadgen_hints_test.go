package main

import (
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"overtake/loadgen"
	"overtake/loadgen/arrival"
)

// Of a replay that is longer than the run, somebody is told.
func TestWarnOfCut(t *testing.T) {
	load := loadgen.Scenario{Duration: time.Second, Classes: []loadgen.Class{{Name: "a", Arrivals: arrival.Plan{
		Replay: arrival.Replay{Arrivals: []arrival.Arrival{{At: 0}, {At: time.Second}, {At: 5 * time.Second}}},
	}}}}
	var out strings.Builder
	warnOfCut(&out, load)
	if want := "class a: 2 of 3 recorded arrivals lie beyond the end of the run; let it last 6s to have them all\n"; out.String() != want {
		t.Errorf("%q, want %q", out.String(), want)
	}
	out.Reset()
	load.Duration = 6 * time.Second
	if warnOfCut(&out, load); out.Len() > 0 {
		t.Error(out.String())
	}
}

// Of a replay that is over long before the run, too.
func TestWarnOfIdle(t *testing.T) {
	recorded := arrival.Plan{Replay: arrival.Replay{Arrivals: []arrival.Arrival{{At: 0}, {At: 5950 * time.Millisecond}}, Start: 2 * time.Second, Speed: 2}}
	load := loadgen.Scenario{Warmup: 2 * time.Second, Duration: 6 * time.Second, Classes: []loadgen.Class{{Name: "a", Arrivals: recorded}}}
	var out strings.Builder
	warnOfIdle(&out, load)
	if want := "no recorded arrival is due in the last 3.025s of the run, which figures per second count too; let it last 3s to leave that out\n"; out.String() != want {
		t.Errorf("%q, want %q", out.String(), want)
	}
	out.Reset()
	load.Duration = 3 * time.Second
	warnOfIdle(&out, load)
	load.Duration, load.Classes = 6*time.Second, append(load.Classes, loadgen.Class{Name: "b", Arrivals: arrival.Steady(1)})
	warnOfIdle(&out, load)
	if out.Len() > 0 {
		t.Error(out.String())
	}
}

// --rate 2 plays a recording in half the time, at twice the rate: nothing of the
// measured time is idle, and nothing is cut off. A length that is given stays.
func TestLoadgenReplayAtAnotherRate(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer server.Close()
	folder := t.TempDir()
	recording := strings.Builder{}
	recording.WriteString("at\n")
	for i := range 40 {
		fmt.Fprintf(&recording, "%.3f\n", float64(i)*0.025)
	}
	write := func(name, text string) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("calls.csv", recording.String())
	classes := "classes: [{name: calls, path: /, replay: {file: calls.csv}}]\n"
	natural := write("natural.yaml", classes)
	phases := write("phases.yaml", "phases: [{name: all, duration: 1s}]\n"+classes)
	for _, c := range []struct {
		args    []string
		seconds float64
		rate    float64 // that is due, a second
		idle    bool
	}{
		{[]string{"-f", natural}, 1, 40, false},
		{[]string{"-f", natural, "--rate", "2"}, 0.5, 80, false},
		{[]string{"-f", natural, "--rate", "0.5", "--warmup", "100ms"}, 2, 20, false},
		{[]string{"-f", natural, "--rate", "2", "--duration", "2s"}, 2, 20, true},
		{[]string{"-f", phases, "--rate", "2"}, 1, 40, false},
	} {
		dir := t.TempDir()
		_, stderr := captured(t, func() { run(append([]string{"loadgen", "--target", server.URL, "--out", dir}, c.args...)) })
		report := reportIn(t, dir)
		class := report.Runs[0].Classes[0]
		if report.Runs[0].DurationSeconds != c.seconds || class.Rate != c.rate || class.Sent != 40 {
			t.Errorf("%v: %v s, %v/s, %d requests; want %v s, %v/s, 40 requests", c.args, report.Runs[0].DurationSeconds, class.Rate, class.Sent, c.seconds, c.rate)
		}
		if idle := strings.Contains(stderr, "no recorded arrival is due in the last 1."); idle != c.idle || strings.Contains(stderr, "beyond the end") {
			t.Errorf("%v: it said %s", c.args, stderr)
		}
	}
}

// Links to a Jaeger that is not there are told before the run, and don't keep it from
// being made.
func TestLoadgenWithoutJaeger(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer server.Close()
	jaeger := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"data":["gateway"]}`))
	}))
	defer jaeger.Close()
	for pages, want := range map[string]string{
		"http://127.0.0.1:1": "--jaeger: jaeger: Get \"http://127.0.0.1:1/api/services\": ",
		server.URL:           "--jaeger: jaeger: " + server.URL + " is not Jaeger's query API",
		jaeger.URL:           "",
	} {
		stdout, stderr := captured(t, func() { run(loadgenArgs(server.URL, "--duration", "200ms", "--jaeger", pages)) })
		checkStream(t, "standard output", stdout, "generator: ")
		if told := strings.Contains(stderr, "The links in the report lead nowhere"); told != (want != "") || !strings.HasPrefix(stderr, want) {
			t.Errorf("%s: it said\n%s\nwant %s", pages, stderr, want)
		}
	}
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
}

// A server that speaks TLS does not say so to who does not: a report has connections that
// were closed, or a status.
func TestLoadgenWithoutTLS(t *testing.T) {
	handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	plain := httptest.NewServer(handler)
	defer plain.Close()
	secure := httptest.NewUnstartedServer(handler)
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	defer secure.Close()
	address := secure.Listener.Addr().String()
	for target, want := range map[string]bool{"http://" + address: true, plain.URL: false} {
		_, stderr := captured(t, func() { run(loadgenArgs(target, "--duration", "200ms")) })
		if strings.Contains(stderr, "\nhttp://"+address+" speaks TLS, and was sent requests without: write https://"+address+"\n") != want {
			t.Errorf("%s: it said\n%s", target, stderr)
		}
	}
}

// Nobody at the target is said before anything is sent, with the place.
func TestLoadgenNobodyThere(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := ln.Addr().String()
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	code := -1
	stdout, stderr := captured(t, func() { code = run(loadgenArgs("http://" + address)) })
	if code != exitFailed || stdout != "" || !strings.Contains(stderr, address) {
		t.Errorf("exit code %d, printed %q, said %q", code, stdout, stderr)
	}
}

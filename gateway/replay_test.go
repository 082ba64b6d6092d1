package gateway

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestFailedJob(t *testing.T) {
	g := startJobs(t, serveApp(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/jobs/bad" {
			http.Error(w, "no such thing", 422)
			return
		}
		if r.Header.Get("Latency-Attempt") == "2" {
			panic(http.ErrAbortHandler)
		}
		http.Error(w, "later", 500)
	}))
	bad := g.post("/jobs/bad")
	if j := g.becomes(bad, jobFailed); j.Reason != "the app answered 422" || j.Answer.Status != 422 {
		t.Errorf("it is %+v", j)
	}
	if f := g.get(bad + "/response"); f.StatusCode != 422 || f.body != "no such thing\n" {
		t.Errorf("its answer: %v %q", f.Response, f.body)
	}
	// The answer that there was is that of the first attempt.
	broken := g.post("/jobs/broken")
	if j := g.becomes(broken, jobFailed); !strings.HasPrefix(j.Reason, "attempt 2 of 2 failed: ") || j.Attempts != 2 || j.Answer.Status != 500 {
		t.Errorf("it is %+v", j)
	}
	if f := g.get(broken + "/response"); f.StatusCode != 500 || f.body != "later\n" {
		t.Errorf("its answer: %v %q", f.Response, f.body)
	}
}

func TestAnswersOfAllSizes(t *testing.T) {
	long := strings.Repeat("0123456789abcdef", 1<<16) // 1 MiB, the most
	g := startJobs(t, serveApp(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/jobs/204":
			w.WriteHeader(204)
		case "/jobs/empty":
		case "/jobs/long":
			io.WriteString(w, long)
		case "/jobs/chunked":
			for part := range slices.Chunk([]byte(long), 100_000) {
				w.Write(part)
				http.NewResponseController(w).Flush()
			}
		case "/jobs/too-long":
			w.Header().Set("Content-Length", fmt.Sprint(len(long)+1))
			io.WriteString(w, long+"x")
		case "/jobs/too-long-chunked":
			io.WriteString(w, long)
			http.NewResponseController(w).Flush()
			io.WriteString(w, long)
		}
	}))
	for _, tc := range []struct {
		name   string
		status int
		body   string
	}{{"204", 204, ""}, {"empty", 200, ""}, {"long", 200, long}, {"chunked", 200, long}} {
		location := g.post("/jobs/" + tc.name)
		j := g.becomes(location, jobDone)
		f := g.get(location + "/response")
		if f.StatusCode != tc.status || f.body != tc.body || f.err != nil || *j.Answer != (jobAnswer{Status: tc.status, Bytes: int64(len(tc.body)), Kept: true}) {
			t.Errorf("%s: %v with %d bytes, %v; the job is %+v", tc.name, f.Response, len(f.body), f.err, j)
		}
	}
	for name, size := range map[string]int{"too-long": len(long) + 1, "too-long-chunked": 2 * len(long)} {
		location := g.post("/jobs/" + name)
		j := g.becomes(location, jobDone)
		if j.Answer.Kept || j.Answer.Bytes != int64(size) || !strings.Contains(j.Answer.Lost, "larger than") {
			t.Errorf("%s: %+v", name, j.Answer)
		}
		wantProblem(t, g.get(location+"/response"), 404, "larger than")
	}
}

// The fields of an answer are replayed as the app wrote them, and none is added.
func TestReplayedFields(t *testing.T) {
	app := serveRaw(t)
	app.answering("HTTP/1.1 299 Odd\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\nServer: odd\r\nx-lower: 1\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: 5\r\n" +
		"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n")
	g := startJobs(t, app.url())
	location := g.post("/jobs/1")
	g.becomes(location, jobDone)
	p := g.dial()
	p.send("GET " + location + "/response HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
	raw, _ := io.ReadAll(p.br)
	head, body, _ := strings.Cut(string(raw), "\r\n\r\n")
	lines := strings.Split(head, "\r\n")
	slices.Sort(lines[1:])
	want := []string{"HTTP/1.1 299 Odd", "Connection: close", "Content-Length: 2", "Date: Thu, 01 Jan 1970 00:00:00 GMT", "Server: odd", "Set-Cookie: a=1", "Set-Cookie: b=2", "x-lower: 1"}
	if !slices.Equal(lines, want) || body != "hi" {
		t.Errorf("got %q and %q, want %q", lines, body, want)
	}
}

func TestTimesOfAJobAreRFC3339(t *testing.T) {
	g := startJobs(t, serveApp(t, func(http.ResponseWriter, *http.Request) {}))
	location := g.post("/jobs/1")
	g.becomes(location, jobDone)
	var raw map[string]any
	if err := json.Unmarshal([]byte(g.get(location).body), &raw); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"created", "started", "finished"} {
		text, _ := raw[name].(string)
		if _, err := time.Parse(time.RFC3339, text); err != nil {
			t.Error(err)
		}
	}
	for name := range raw {
		if !slices.Contains([]string{"id", "state", "class", "queue", "attempts", "created", "started", "finished", "answer"}, name) {
			t.Errorf("its client can see %s: %v", name, raw[name])
		}
	}
}

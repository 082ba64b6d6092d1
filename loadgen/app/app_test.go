package app

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"overtake/loadgen/completion"
)

// ask sends one request on a connection of its own.
func ask(t *testing.T, method, url, id, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Close = true
	if id != "" {
		req.Header.Set(completion.HeaderID, id)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(answer)
}

func readCompletions(t *testing.T, url string, after int) completion.Page {
	t.Helper()
	status, body := ask(t, "GET", fmt.Sprintf("%s/completions?after=%d", url, after), "", "")
	var page completion.Page
	if err := json.Unmarshal([]byte(body), &page); err != nil || status != 200 {
		t.Fatalf("completions: status %d, %v: %s", status, err, body)
	}
	return page
}

// One worker does what came first, whatever it is.
func TestAppWorksInOrderOfArrival(t *testing.T) {
	app, url := startApp(t, Config{Workers: 1})
	var clients sync.WaitGroup
	const requests = 20
	clients.Go(func() { ask(t, "GET", url+"/work?ms=300", "slow/0", "") })
	eventually(t, "the worker is held", func() bool { return app.Stats().Busy == 1 })
	for i := range requests {
		ms := i % 3 // short work does not pass long work
		clients.Go(func() { ask(t, "POST", fmt.Sprintf("%s/work?ms=%d", url, ms), fmt.Sprintf("r/%02d", i), "body") })
		eventually(t, "the request waits or is done", func() bool {
			s := app.Stats()
			return s.Queued+s.Busy+int(s.Done) == i+2
		})
	}
	clients.Wait()
	page := readCompletions(t, url, 0)
	if len(page.Items) != requests+1 || page.Items[0].ID != "slow/0" {
		t.Fatalf("completions: %+v", page)
	}
	for i, item := range page.Items[1:] {
		if want := fmt.Sprintf("r/%02d", i); item.ID != want {
			t.Errorf("completion %d is %s, want %s", i, item.ID, want)
		}
	}
	if again := readCompletions(t, url, int(page.Next)); len(again.Items) != 0 || again.Next != page.Next {
		t.Errorf("after the last: %+v", again)
	}
	if s := app.Stats(); s.Done != requests+1 || s.Workers != 1 {
		t.Errorf("stats: %+v", s)
	}
}

func TestAppRefusesWhenTheQueueIsFull(t *testing.T) {
	app, url := startApp(t, Config{Workers: 1, MaxQueue: 1})
	var clients sync.WaitGroup
	clients.Go(func() { ask(t, "GET", url+"/work?ms=500", "", "") })
	eventually(t, "the worker is held", func() bool { return app.Stats().Busy == 1 })
	clients.Go(func() { ask(t, "GET", url+"/work?ms=0", "", "") })
	eventually(t, "the queue is full", func() bool { return app.Stats().Queued == 1 })
	if status, body := ask(t, "GET", url+"/work", "", ""); status != 503 {
		t.Errorf("status %d %q, want 503", status, body)
	}
	clients.Wait()
	if s := app.Stats(); s.Refused != 1 || s.Done != 2 {
		t.Errorf("stats: %+v", s)
	}
}

func TestAppChecksWhatItIsAsked(t *testing.T) {
	_, url := startApp(t, Config{})
	for _, test := range []struct {
		target string
		status int
		want   string // part of the body
	}{
		{"/work?ms=0", 200, ""},
		{"/work?ms=0&bytes=100000", 200, strings.Repeat("x", 100000)},
		{"/work?ms=60001", 400, "0 to 60000"},
		{"/work?ms=-1", 400, "0 to 60000"},
		{"/work?ms=", 400, "0 to 60000"},
		{"/work?ms=99999999999999999999999", 400, "0 to 60000"},
		{"/work?ms=0&bytes=1073741825", 400, "0 to 1073741824"},
		{"/completions?after=x", 400, "after"},
		{"/healthz", 200, "ok"},
		{"/other", 404, "/work"},
	} {
		status, body := ask(t, "GET", url+test.target, "", "")
		if status != test.status || !strings.Contains(body, test.want) {
			t.Errorf("%s: %d %.80q, want %d with %.80q", test.target, status, body, test.status, test.want)
		}
	}
}

func TestEchoShowsTheRequest(t *testing.T) {
	_, url := startApp(t, Config{})
	req, _ := http.NewRequest("POST", url+"/echo?a=%2F&b", strings.NewReader(strings.Repeat("b", 5<<20)))
	req.Close = true
	req.Header["latency-class"] = []string{"interactive"}
	req.Header["X-Two"] = []string{"one", "two"}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var echo Echo
	if err := json.NewDecoder(resp.Body).Decode(&echo); err != nil {
		t.Fatal(err)
	}
	if echo.Method != "POST" || echo.Target != "/echo?a=%2F&b" || echo.BodyBytes != 5<<20 ||
		echo.Headers["latency-class"] != "interactive" || echo.Headers["X-Two"] != "one, two" {
		t.Errorf("echo: %+v", echo)
	}
}

// Shutdown must not wait for work that outlasts its context.
func TestShutdownAbandonsWorkWhenItsContextEnds(t *testing.T) {
	ln, url := listen(t)
	app := New(Config{Workers: 1})
	served := make(chan error, 1)
	go func() { served <- app.Serve(ln) }()
	status := make(chan int, 1)
	go func() {
		code, _ := ask(t, "GET", url+"/work?ms=60000", "", "")
		status <- code
	}()
	eventually(t, "the worker is held", func() bool { return app.Stats().Busy == 1 })
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := app.Shutdown(ctx); err == nil {
		t.Error("shutdown left work behind and said nothing")
	}
	if code := <-status; code != 503 {
		t.Errorf("abandoned work got %d, want 503", code)
	}
	if err := <-served; err != nil {
		t.Errorf("serve: %v", err)
	}
}

func TestAppWorkers(t *testing.T) {
	app, url := startApp(t, Config{Workers: 3})
	for _, tc := range []struct {
		method, query string
		status        int
		body          string
	}{
		{"GET", "", 200, `{"workers":3}`},
		{"POST", "?n=5", 200, `{"workers":5}`},
		{"POST", "", 400, "n=0: want 1 to 10000"},
		{"POST", "?n=x", 400, `n="x": want an integer from 0 to 10000`},
		{"POST", "?n=10001", 400, `n="10001": want an integer from 0 to 10000`},
		{"PUT", "?n=1", 405, "GET or POST /workers?n=N"},
	} {
		if status, body := ask(t, tc.method, url+"/workers"+tc.query, "", ""); status != tc.status || strings.TrimSpace(body) != tc.body {
			t.Errorf("%s /workers%s: %d %s, want %d %s", tc.method, tc.query, status, body, tc.status, tc.body)
		}
	}
	if got := app.Stats().Workers; got != 5 {
		t.Errorf("%d workers, want 5", got)
	}
}

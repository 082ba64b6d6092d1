package middleware_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"overtake/docs/examples/middleware"
	"overtake/scheduler"
)

const interactive, batch = 0, 1

func newScheduler(t *testing.T) *scheduler.Scheduler {
	s, err := scheduler.New(scheduler.Config{
		Limit: 1,
		Classes: []scheduler.ClassConfig{
			interactive: {MaxWaiting: 100, MaxWait: time.Minute},
			batch:       {MaxWaiting: 2},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func byPath(r *http.Request) scheduler.Work {
	if r.URL.Path == "/report" {
		return scheduler.Work{Class: batch}
	}
	return scheduler.Work{Class: interactive}
}

func TestOrder(t *testing.T) {
	s := newScheduler(t)
	release := make(chan struct{})
	var mu sync.Mutex
	var order []string
	server := httptest.NewServer(middleware.Order(s, byPath, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		mu.Lock()
		order = append(order, r.URL.Path)
		mu.Unlock()
		<-release
	})))
	defer server.Close()

	var wg sync.WaitGroup
	get := func(path string) {
		wg.Go(func() {
			res, err := http.Get(server.URL + path)
			if err != nil {
				t.Error(err)
				return
			}
			res.Body.Close()
		})
	}
	until := func(what string, done func(scheduler.Snapshot) bool) {
		t.Helper()
		for began := time.Now(); !done(s.Snapshot()); time.Sleep(time.Millisecond) {
			if time.Since(began) > 10*time.Second {
				t.Fatalf("%s: not in 10 s: %+v", what, s.Snapshot())
			}
		}
	}
	get("/report")
	until("the first report runs", func(snap scheduler.Snapshot) bool { return snap.Running == 1 })
	get("/report")
	get("/report")
	until("two reports wait", func(snap scheduler.Snapshot) bool { return snap.Classes[batch].Waiting == 2 })
	get("/click")
	until("the click waits", func(snap scheduler.Snapshot) bool { return snap.Classes[interactive].Waiting == 1 })

	// There is room for two reports.
	res, err := http.Get(server.URL + "/report")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusServiceUnavailable || res.Header.Get("Retry-After") == "" {
		t.Errorf("a report too many gets %s, Retry-After %q", res.Status, res.Header.Get("Retry-After"))
	}
	close(release)
	wg.Wait()
	if got, want := fmt.Sprint(order), "[/report /click /report /report]"; got != want {
		t.Errorf("served %s, want %s", got, want)
	}
}

// A handler that panics gives its slot back.
func TestOrderOutlivesPanics(t *testing.T) {
	s := newScheduler(t)
	h := middleware.Order(s, byPath, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("oops") }))
	func() {
		defer func() { _ = recover() }()
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/click", nil))
	}()
	if n := s.Snapshot().Running; n != 0 {
		t.Errorf("%d slots in use after a panic", n)
	}
}

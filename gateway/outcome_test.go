package gateway

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
	"testing"
	"time"
)

// What durations are learned from shows in what counts as hopeless: after much
// work that took long, a request whose deadline is nearer does not reach the app.
// Work whose duration says nothing about the app teaches nothing.
func TestWhatIsLearnedFrom(t *testing.T) {
	const long, near = 600 * time.Millisecond, 400 * time.Millisecond
	hang := func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-time.After(patience):
		case <-r.Context().Done():
		}
	}
	after := func(status int, contentType string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(long)
			w.Header().Set("Content-Type", contentType)
			w.WriteHeader(status)
			io.WriteString(w, "data: 1\n\n")
		}
	}
	for _, tc := range []struct {
		name    string
		app     http.HandlerFunc
		leave   bool // the clients leave after a while
		learned bool
	}{
		{"success", after(200, "text/plain"), false, true},
		{"a mistake of the client", after(404, "text/plain"), false, true},
		{"an error of the app", after(500, "text/plain"), false, false},
		{"a stream", after(200, "Text/Event-Stream; charset=utf-8"), false, false},
		{"no answer in time", hang, false, true},
		{"clients that left", hang, true, false},
		{"half an answer", func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(long)
			w.Header().Set("Content-Length", "10")
			io.WriteString(w, "half")
		}, false, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			timeout := long
			if tc.leave {
				timeout = patience
			}
			reached := make(chan struct{}, 1)
			app := serveApp(t, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/near" {
					reached <- struct{}{}
					return
				}
				tc.app(w, r)
			})
			if tc.name != "no answer in time" {
				timeout = patience
			}
			g := start(t, fmt.Sprintf(`upstreams: {app: {servers: [$APP], timeout: %s, limit: {max: 32}}}`, timeout), app)
			var all sync.WaitGroup
			for range 24 {
				all.Go(func() {
					ctx, cancel := context.WithTimeout(context.Background(), patience)
					defer cancel()
					if tc.leave {
						ctx, cancel = context.WithTimeout(ctx, long)
						defer cancel()
					}
					req, err := http.NewRequestWithContext(ctx, "GET", g.url("/"), nil)
					if err != nil {
						panic(err)
					}
					if resp, err := client(t).Do(req); err == nil {
						io.Copy(io.Discard, resp.Body)
						resp.Body.Close()
					}
				})
			}
			all.Wait()
			eventually(t, "all slots are free", func() bool { return g.running() == 0 })
			f := g.get("/near", fmt.Sprintf("Latency-Deadline: %d", time.Now().Add(near).UnixMilli()))
			if tc.learned {
				wantRefusal(t, f, http.StatusGatewayTimeout, "deadline")
			}
			if got := len(reached) == 1; got == tc.learned {
				t.Errorf("the request with a near deadline reached the app: %v", got)
			}
		})
	}
}

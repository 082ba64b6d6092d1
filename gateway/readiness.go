package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
)

// The parts of readiness that who asks may leave out.
const (
	partUpstreams = "upstreams"
	partQueues    = "queues"
)

// readyz tells whether new requests will be served. What is named in exclude is not
// looked at: a load balancer that sends a gateway nothing while one broker is away
// keeps pages from their app, too.
func (g *Gateway) readyz(w http.ResponseWriter, r *http.Request) {
	parts := []string{partQueues, partUpstreams}
	excluded := r.URL.Query()["exclude"]
	for _, name := range excluded {
		if !slices.Contains(parts, name) {
			http.Error(w, fmt.Sprintf("exclude=%s: there is no such part to leave out; want one of: %s, and exclude= once for each",
				name, strings.Join(parts, ", ")), http.StatusBadRequest)
			return
		}
	}
	problems := g.problems(excluded...)
	status := http.StatusOK
	if len(problems) > 0 {
		status = http.StatusServiceUnavailable
	}
	writeJSON(w, status, map[string]any{"ready": len(problems) == 0, "problems": problems})
}

// problems are why new requests will not be served: draining, or an upstream, a broker
// or a store for jobs that can't be reached, but for the parts that are excluded. All
// are asked at once: one that hangs takes the time of no other.
func (g *Gateway) problems(excluded ...string) []string {
	var asking sync.WaitGroup
	var mu sync.Mutex
	problems := []string{}
	ask := func(what, name string, answer func() error) {
		asking.Go(func() {
			err := answer()
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				problems = append(problems, fmt.Sprintf("%s %s: %v", what, name, err))
			}
		})
	}
	if !slices.Contains(excluded, partUpstreams) {
		for name, u := range g.present.Load().upstreams {
			ask("upstream", name, func() error { return u.reached.get(g.cutOff, u.reachable) })
		}
	}
	if !slices.Contains(excluded, partQueues) {
		for name, q := range g.queues {
			ask("queue", name, func() error { return g.readingOf(q).err })
		}
	}
	asking.Wait()
	slices.Sort(problems)
	if g.draining.Load() {
		problems = slices.Insert(problems, 0, "draining")
	}
	return problems
}

// reachable connects to a server of the upstream; one that answers is enough. Where
// servers are checked, those that failed do not count.
func (u *upstream) reachable(ctx context.Context) error {
	var errs []error
	known := u.standings()
	for i, s := range u.servers {
		if u.health != nil && known[i].standing == serverDown {
			errs = append(errs, known[i].why)
			continue
		}
		err := s.knock(ctx)
		if err == nil {
			return nil
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

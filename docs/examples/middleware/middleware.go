// Package middleware shows how a Go service orders its own requests by latency
// class, without any gateway in front of it. Copy it and change it.
package middleware

import (
	"errors"
	"math"
	"net/http"
	"strconv"

	"overtake/scheduler"
)

// Order lets next serve requests as the scheduler's slots come free for them: the
// most urgent first, and those that can't be served in time not at all. Work says
// what class and flow a request has.
func Order(s *scheduler.Scheduler, work func(*http.Request) scheduler.Work, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		lease, err := s.Acquire(r.Context(), work(r))
		var shed *scheduler.ShedError
		if errors.As(err, &shed) {
			w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(shed.RetryAfter.Seconds()))))
			http.Error(w, shed.Reason.String(), http.StatusServiceUnavailable)
			return
		} else if err != nil {
			return // the client left
		}
		outcome := scheduler.Unmeasured // if next panics or the client leaves
		defer func() { lease.ReleaseAs(outcome) }()
		next.ServeHTTP(w, r)
		if r.Context().Err() == nil {
			outcome = scheduler.Done
		}
	})
}

package loadgen

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// keepSlowest is how many of the slowest requests a class remembers.
const keepSlowest = 10

// slowest remembers the slowest successes. It is not safe for concurrent use.
type slowest struct {
	requests []slowRequest // in no order
	least    int           // index of the fastest of them, once it is full
}

type slowRequest struct {
	traceParent, method, target string
	intended                    time.Duration
	latency, service, queue     time.Duration
}

// add considers a success. It is cheap for all that are not among the slowest.
func (s *slowest) add(c *Call, latency, service, queue time.Duration) {
	if len(s.requests) == keepSlowest && latency <= s.requests[s.least].latency {
		return
	}
	r := slowRequest{
		// A copy of its own: it shares memory with the id.
		traceParent: strings.Clone(c.TraceParent), intended: c.intended,
		latency: latency, service: service, queue: max(queue, 0),
	}
	if c.Request != nil {
		r.method, r.target = c.Request.Method, cmp.Or(c.Class.ShownPath, c.Request.Target)
	}
	if len(s.requests) < keepSlowest {
		s.requests = append(s.requests, r)
	} else {
		s.requests[s.least] = r
	}
	for i := range s.requests {
		if s.requests[i].latency < s.requests[s.least].latency {
			s.least = i
		}
	}
}

// result returns them for the report, the slowest first. from is the end of the
// warm-up, jaeger the base URL for links, if not empty.
func (s *slowest) result(from time.Duration, jaeger string) []SlowRequest {
	sorted := slices.SortedFunc(slices.Values(s.requests), func(a, b slowRequest) int {
		return cmp.Or(-cmp.Compare(a.latency, b.latency), cmp.Compare(a.intended, b.intended))
	})
	result := make([]SlowRequest, 0, len(sorted))
	for _, r := range sorted {
		slow := SlowRequest{
			TraceID: traceID(r.traceParent), Sampled: strings.HasSuffix(r.traceParent, "-01"), Request: strings.TrimSpace(r.method + " " + r.target),
			At:      round3((r.intended - from).Seconds()),
			Latency: millis(r.latency), Service: millis(r.service), Queue: millis(r.queue),
		}
		// Only what was asked to be recorded can be looked up: the flag sampled of
		// W3C Trace Context.
		if jaeger != "" && slow.TraceID != "" && slow.Sampled {
			slow.URL = strings.TrimSuffix(jaeger, "/") + "/trace/" + slow.TraceID
		}
		result = append(result, slow)
	}
	return result
}

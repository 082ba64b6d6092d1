package jaegerquery

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/url"
	"slices"
	"strconv"
	"time"

	"overtake/tracing"
)

const (
	// leastPage is how many traces a search asks for at least: enough to choose
	// from, few enough for any storage.
	leastPage = 200
	// mostSteps bounds the searches of one service.
	mostSteps = 16
)

// Query says which traces are wanted.
type Query struct {
	Class      string // of one of the spans; "" for any
	Start, End time.Time
	Most       int // how many of the slowest are wanted, at least 1
}

// Found is what Jaeger has for a Query.
type Found struct {
	// Traces has the slowest ones, among others and in no order.
	Traces []Trace
	// Services are those that have spans of Overtake, Known is all that Jaeger has.
	Services, Known []string
	// Cut are the services in which not all traces were looked at.
	Cut []Cut
}

// Cut says which traces of a service were not looked at, as there are too many.
type Cut struct {
	Service string
	Page    int // how many traces one search returns at most
	// Least: traces with a span of the service that is at least this long were
	// all looked at, of the others only the newest; zero: of all.
	Least time.Duration
}

// Slowest looks for the slowest traces of a class.
func (c *Client) Slowest(ctx context.Context, q Query) (found Found, err error) {
	if found.Services, found.Known, err = c.services(ctx); err != nil {
		return found, err
	}
	seen := map[tracing.TraceID]bool{}
	for _, service := range found.Services {
		cut, err := c.slowestOf(ctx, q, service, func(t Trace) {
			if !seen[t.ID] {
				seen[t.ID] = true
				found.Traces = append(found.Traces, t)
			}
		})
		if err != nil {
			return found, err
		}
		if cut != nil {
			found.Cut = append(found.Cut, *cut)
		}
	}
	return found, nil
}

// slowestOf looks in one service, and says what it left out. It looks for the least
// duration with which an answer is not full and yet has as many traces as wanted.
func (c *Client) slowestOf(ctx context.Context, q Query, service string, add func(Trace)) (*Cut, error) {
	page := max(leastPage, 10*q.Most)
	cut := &Cut{Service: service, Page: page}
	// With full, an answer is full; with cut.Least, if it is not zero, it is not.
	full, least := time.Duration(-1), time.Duration(0)
	for range mostSteps {
		traces, err := c.search(ctx, q, service, page, least)
		if err != nil {
			return nil, err
		}
		for _, t := range traces {
			add(t)
		}
		switch {
		case len(traces) < page && least == 0:
			return nil, nil
		case len(traces) < page:
			cut.Least = least
			if len(traces) >= q.Most {
				return cut, nil
			}
			least = between(full, least)
		case cut.Least > 0:
			full, least = least, between(least, cut.Least)
		default: // the newest traces may be quick ones, hence at least fourfold
			full, least = least, max(longest(traces, service, q.Class, q.Most), 4*least, time.Microsecond)
		}
		if least <= full || least == cut.Least {
			break // Jaeger knows nothing shorter than a microsecond
		}
	}
	return cut, nil
}

// between is the geometric mean of two durations in whole microseconds.
func between(a, b time.Duration) time.Duration {
	mean := math.Sqrt(max(float64(a), float64(time.Microsecond)) * float64(b))
	return time.Duration(mean).Truncate(time.Microsecond)
}

// search asks for at most page traces with a span of the service that lasts at
// least as long.
func (c *Client) search(ctx context.Context, q Query, service string, page int, least time.Duration) ([]Trace, error) {
	query := url.Values{
		"service": {service},
		"start":   {strconv.FormatInt(q.Start.UnixMicro(), 10)},
		"end":     {strconv.FormatInt(q.End.UnixMicro(), 10)},
		"limit":   {strconv.Itoa(page)},
	}
	if q.Class != "" {
		tags, err := json.Marshal(map[string]string{ClassKey: q.Class})
		if err != nil {
			return nil, fmt.Errorf("jaeger: class %q: %w", q.Class, err)
		}
		query.Set("tags", string(tags))
	}
	if least > 0 {
		query.Set("minDuration", least.String())
	}
	return c.traces(ctx, query, "api", "traces")
}

// longest returns how long the longest span of the service and class is in the
// n-th slowest of traces.
func longest(traces []Trace, service, class string, n int) time.Duration {
	durations := make([]time.Duration, len(traces))
	for i := range traces {
		for j := range traces[i].Spans {
			s := &traces[i].Spans[j]
			if s.Service == service && (class == "" || s.Text(ClassKey) == class) {
				durations[i] = max(durations[i], s.End.Sub(s.Start))
			}
		}
	}
	slices.Sort(durations)
	return durations[len(durations)-n]
}

package gateway

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"

	"overtake/gateway/console"
	"overtake/tracing"
	"overtake/tracing/jaegerquery"
)

// mostTraceHops is how many spans of a trace the console shows.
const mostTraceHops = 500

// traceOf asks Jaeger for a trace.
func (g *Gateway) traceOf(ctx context.Context, text string) (any, error) {
	base := g.Config().Tracing.Query
	if base == "" {
		return nil, &console.Error{Status: http.StatusNotFound, Text: "where Jaeger can be asked is not configured; set tracing.query, for example to http://127.0.0.1:16686"}
	}
	id, err := jaegerquery.ParseID(text)
	if err != nil {
		return nil, &console.Error{Status: http.StatusBadRequest, Text: err.Error()}
	}
	client, err := jaegerquery.New(base)
	if err != nil {
		return nil, err
	}
	trace, err := client.Trace(ctx, id)
	if errors.Is(err, jaegerquery.ErrNotFound) {
		return nil, &console.Error{Status: http.StatusNotFound, Text: err.Error() + "; spans come to Jaeger some seconds after the request, if it was recorded"}
	}
	if err != nil {
		return nil, err
	}
	return traceForConsole(&trace, client.Link(id)), nil
}

// traceForConsole lays the spans of a trace out in the order of their begins, each with
// how many spans it is below.
func traceForConsole(t *jaegerquery.Trace, link string) console.Trace {
	shown := console.Trace{TraceID: t.ID.String(), Link: link, Hops: []console.TraceHop{}}
	parents := make(map[tracing.SpanID]tracing.SpanID, len(t.Spans))
	for i := range t.Spans {
		parents[t.Spans[i].ID] = t.Spans[i].Parent
	}
	depth := func(id tracing.SpanID) (n int) {
		for parent, ok := parents[id]; ok && n < len(t.Spans); parent, ok = parents[parent] { // a circle is possible in what others send
			if _, known := parents[parent]; !known {
				break
			}
			n++
		}
		return n
	}
	spans := spansInOrder(t.Spans)
	if len(spans) == 0 {
		return shown
	}
	began, end := spans[0].Start, spans[0].End
	for i, s := range spans {
		if s.End.After(end) {
			end = s.End
		}
		if i >= mostTraceHops {
			shown.Left++
			continue
		}
		shown.Hops = append(shown.Hops, console.TraceHop{
			Service: cutOff(s.Service, mostText), Name: cutOff(s.Name, mostText), Class: cutOff(s.Text(jaegerquery.ClassKey), mostText), Depth: depth(s.ID),
			StartMillis: millis(s.Start.Sub(began)), Millis: millis(s.End.Sub(s.Start)), Error: cutOff(s.Failure, mostText),
		})
	}
	shown.Start, shown.TotalMillis = began.UnixMilli(), millis(end.Sub(began))
	return shown
}

// spansInOrder returns the spans by their begin; of those that begin together, the
// longer is first.
func spansInOrder(spans []jaegerquery.Span) []*jaegerquery.Span {
	all := make([]*jaegerquery.Span, len(spans))
	for i := range spans {
		all[i] = &spans[i]
	}
	slices.SortStableFunc(all, func(a, b *jaegerquery.Span) int {
		return cmp.Or(a.Start.Compare(b.Start), b.End.Compare(a.End))
	})
	return all
}

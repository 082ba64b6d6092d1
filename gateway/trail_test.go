package gateway

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"overtake/tracing"
)

// notOurs are lines that look much like the trail's, and are not.
const notOurs = "uberctx-User: 7;a=%20\r\nUBERCTX-latency.classy: interactive\r\njaeger-debug-id: d-1\r\njaeger-baggage: a=1, b = 2\r\n" +
	"X-B3: 1\r\nb3-id: 1\r\nX-B3-TraceId2: 1\r\ntrace-parent: 00-1\r\ntraceparent2: \xc3\xa4\xff\r\nX-Cloud-Trace-Context: 1/2;o=1\r\n" +
	"X-Amzn-Trace-Id: Root=1-2-3\r\nsw8: 1-a-b\r\nX-Datadog-Trace-Id: 1\r\nx-datadog-trace-id: 2\r\nOt-Tracer-Spanid: 1\r\n" +
	"X-Request-Ids:  a ,  b\r\nX-Correlation-Id: \"c\r\nx-envoy-upstream-rq-timeout-ms: 7\r\nTimeout: 1\r\nPriority: u=1, i\r\nX-Empty:\r\n"

// sortedLines are the lines without the space that HTTP allows around values.
func sortedLines(text string) []string {
	all := strings.Split(strings.TrimSuffix(text, "\r\n"), "\r\n")
	for i, line := range all {
		name, value, _ := strings.Cut(line, ":")
		all[i] = name + ":" + strings.Trim(value, " ")
	}
	slices.Sort(all)
	return all
}

// foreign are the lines of a head that neither the trail nor the gateway writes.
func foreign(head string) []string {
	return slices.DeleteFunc(sortedLines(strings.Join(lines(head), "\r\n")), func(line string) bool {
		name, _, _ := strings.Cut(line, ":")
		return stampedOnAll(name) || rewritten(name) || ofDelivery(name) || name == "Via" || name == "Content-Length"
	})
}

func stampedOnAll(name string) bool {
	trail := tracing.Trail{Propagate: tracing.AllFormats}
	return trail.Owns(name, "")
}

// What is not the trail's passes byte for byte, also through a queue.
func TestWhatIsNotOursPasses(t *testing.T) {
	want := sortedLines(notOurs)
	if got := foreign(forwarded(t, "", "GET / HTTP/1.1\r\nHost: a\r\n"+notOurs+"\r\n")); !slices.Equal(got, want) {
		t.Errorf("the app got\n%q\nwant\n%q", got, want)
	}
	if got := foreign(delivered(t, notOurs)); !slices.Equal(got, want) {
		t.Errorf("delivered was\n%q\nwant\n%q", got, want)
	}
}

// delivered sends a job with the lines through a queue and returns the head that
// the app got.
func delivered(t *testing.T, lines string) string {
	t.Helper()
	app := serveRaw(t)
	seen := app.answering(okNoBody)
	q := newFakeQueue()
	g := start(t, jobsTo, app.url(), q.open())
	p := g.dial()
	p.send("POST /jobs/1 HTTP/1.1\r\nHost: a\r\n" + lines + "Content-Length: 0\r\n\r\n")
	p.response("POST")
	q.settlement(t, 1)
	return seen.all()[0]
}

// trailOf checks that all formats name one trace, span and class, and returns the
// trace and whether it is sampled.
func trailOf(t *testing.T, head, class string) (trace string, sampled bool) {
	t.Helper()
	parent := values(head, "traceparent")
	if len(parent) != 1 || !traceparentRE.MatchString(parent[0]) {
		t.Fatalf("traceparent %q in\n%s", parent, head)
	}
	parts := traceparentRE.FindStringSubmatch(parent[0])
	state := parts[3][1:]
	wantFields(t, head, map[string][]string{
		"b3":            {parts[1] + "-" + parts[2] + "-" + state},
		"X-B3-TraceId":  {parts[1]},
		"X-B3-SpanId":   {parts[2]},
		"X-B3-Sampled":  {state},
		"uber-trace-id": {parts[1] + ":" + parts[2] + ":0:" + state},
		"Latency-Class": {class}, "uberctx-latency.class": {class},
	})
	for _, line := range lines(head) {
		name, _, _ := strings.Cut(line, ":")
		if strings.ContainsAny(name, "%_") || slices.Contains([]string{"X-B3-ParentSpanId", "X-B3-Flags", "UBER-TRACE-ID"}, name) {
			t.Errorf("%q survived", line)
		}
	}
	return parts[1], state == "1"
}

// An app that knows only one of the formats is in the trace that came in any of
// them, also behind a queue.
func TestEveryFormatContinuesTheTrace(t *testing.T) {
	const trace, span = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
	for name, sent := range map[string]string{
		"W3C":      "traceparent: 00-" + trace + "-" + span + "-01\r\n",
		"Jaeger":   "UBER-TRACE-ID: " + trace[1:] + "%3A" + span + "%3a0%3A3\r\n",
		"B3":       "B3: " + trace + "-" + span + "-d-" + span + "\r\n",
		"B3 multi": "x-b3-traceid: " + trace + "\r\nx-b3-spanid: " + span + "\r\nX-B3-ParentSpanId: " + span + "\r\nX-B3-Flags: 1\r\n",
	} {
		sent += "UberCtx-Latency.Class: interactive\r\nuberctx-latency%2eclass: interactive\r\nUberctx_Latency.class: x\r\n" +
			"jaeger-baggage: latency.class=interactive\r\nX-Request-ID: r-1\r\n"
		for _, head := range []string{forwarded(t, "", "GET / HTTP/1.1\r\nHost: a\r\n"+sent+"\r\n"), delivered(t, sent)} {
			if got, sampled := trailOf(t, head, "standard"); got != trace || !sampled {
				t.Errorf("%s: trace %s, sampled %v", name, got, sampled)
			}
			wantFields(t, head, map[string][]string{"jaeger-baggage": nil})
			if id := values(head, "x-request-id"); len(id) != 1 || id[0] == "r-1" {
				t.Errorf("%s: request id %q of a stranger", name, id)
			}
		}
	}
	head := forwarded(t, "", "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	if got, _ := trailOf(t, head, "standard"); !slices.Equal(values(head, "x-request-id"), []string{got}) {
		t.Errorf("request id %q in trace %s that begins here", values(head, "x-request-id"), got)
	}
}

// A format that is not stamped passes as it came.
func TestFormatsThatAreNotStampedPass(t *testing.T) {
	received := fields{
		{"b3", "0"}, {"X-B3-Sampled", "1"}, {"X_B3_Flags", "1"}, {"uber-trace-id", "1:2:3:1"}, {"traceparent", "x"},
		{"uberctx-latency.class", "x"}, {"Latency-Class", "x"},
	}
	got := string(appendEndToEnd(nil, received, connectionOptions(received), new(tracing.Trail), false))
	if want := "b3: 0\r\nX-B3-Sampled: 1\r\nX_B3_Flags: 1\r\nuber-trace-id: 1:2:3:1\r\n"; got != want {
		t.Errorf("passed on is %q, want %q", got, want)
	}
}

var (
	grpcTimeoutRE  = regexp.MustCompile(`^[0-9]{7,8}u$`)
	envoyTimeoutRE = regexp.MustCompile(`^[0-9]{4,5}$`)
)

// Timeouts are deadlines, and the app gets what remains of them.
func TestTimeoutsAreDeadlines(t *testing.T) {
	head := forwarded(t, "", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\ngrpc-timeout: 90S\r\nX-Envoy-Expected-Rq-Timeout-Ms: 60000\r\n\r\n")
	for name, want := range map[string]*regexp.Regexp{
		"grpc-timeout": grpcTimeoutRE, "x-envoy-expected-rq-timeout-ms": envoyTimeoutRE, "Latency-Deadline": regexp.MustCompile(`^[0-9]{13}$`),
	} {
		if got := values(head, name); len(got) != 1 || !want.MatchString(got[0]) || got[0] >= "60000000u" && name == "grpc-timeout" {
			t.Errorf("%s: %q", name, got)
		}
	}
	app := serveRaw(t)
	seen := app.answering(okNoBody)
	g := start(t, "", app.url())
	wantRefusal(t, g.get("/", "grpc-timeout: 0n"), 504, reasonDeadline)
	if n := len(seen.all()); n != 0 {
		t.Errorf("the app got %d requests whose deadline had passed", n)
	}
}

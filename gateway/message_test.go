package gateway

import (
	"slices"
	"strings"
	"testing"

	"overtake/broker"
)

func TestDeliveryIsTheRequestAsItCameIn(t *testing.T) {
	app := serveRaw(t)
	seen := app.answering(okNoBody)
	q := newFakeQueue()
	g := start(t, jobsTo, app.url(), q.open())
	p := g.dial()
	p.send("PUT /jobs/batch/a%2Fb//c?x=1&y HTTP/1.1\r\nHost: App.Example\r\nContent-Type: text/x; a=b\r\nX-A: 1\r\nX-A: 2\r\nCookie: a=1\r\n" +
		"X-Hop: 1\r\nConnection: X-Hop\r\nTE: trailers\r\nLatency-Attempt: 99\r\nIdempotency-Key: k\r\nLatency-Class: interactive\r\n" +
		"X-Forwarded-For: 10.0.0.1\r\nX-Forwarded-Port: 1\r\nX-Real-IP: 10.4.4.4\r\ntraceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\ntracestate: a=1\r\n" +
		"baggage: user=7\r\nContent-Length: 0\r\n\r\n")
	resp, _ := p.response("PUT")
	id := strings.TrimPrefix(resp.Header.Get("Location"), "/_overtake/jobs/")
	if got := q.settlement(t, 1); got != id+" done" {
		t.Errorf("settled as %q", got)
	}
	head := seen.all()[0]
	if !strings.HasPrefix(head, "PUT /jobs/batch/a%2Fb//c?x=1&y HTTP/1.1\r\nHost: App.Example\r\n") {
		t.Errorf("the app got %q", head)
	}
	wantFields(t, head, map[string][]string{
		"Content-Type": {"text/x; a=b"}, "X-A": {"1", "2"}, "Cookie": {"a=1"}, "X-Hop": nil, "Connection": nil, "TE": nil,
		"Latency-Attempt": {"1"}, "Idempotency-Key": {id}, "Content-Length": {"0"}, "tracestate": {"a=1"},
		"X-Forwarded-For": {"127.0.0.1"}, "X-Forwarded-Port": nil, "X-Real-IP": nil, "baggage": {"latency.class=batch,user=7"}, "Latency-Class": {"batch"},
	})
	if parent := values(head, "traceparent"); len(parent) != 1 || !strings.HasPrefix(parent[0], "00-0af7651916cd43dd8448eb211c80319c-") {
		t.Errorf("traceparent %q, want the client's trace", parent)
	}
}

func TestDeliveryToAPathOfTheQueue(t *testing.T) {
	app := serveRaw(t)
	seen := app.answering(okNoBody)
	q := newFakeQueue()
	g := start(t, strings.Replace(jobsTo, "upstream: app}, attempts", "upstream: app, path: /work}, attempts", 1), app.url(), q.open())
	g.fetch("POST", "/jobs/1?ms=5&x", nil)
	g.fetch("POST", "/jobs/1", nil)
	q.settlement(t, 2)
	var targets []string
	for _, head := range seen.all() {
		first, _, _ := strings.Cut(head, "\r\n")
		targets = append(targets, first)
	}
	slices.Sort(targets)
	if want := []string{"POST /work HTTP/1.1", "POST /work?ms=5&x HTTP/1.1"}; !slices.Equal(targets, want) {
		t.Errorf("the app got %q, want %q", targets, want)
	}
}

// TestMessagesOfOthers are published by an app, not by a gateway.
func TestMessagesOfOthers(t *testing.T) {
	app := serveRaw(t)
	seen := app.answering(okNoBody)
	q := newFakeQueue()
	start(t, jobsTo, app.url(), q.open())
	put := func(id string, h broker.Header) string {
		t.Helper()
		n := len(q.settlements())
		q.mu.Lock()
		q.put(&fakeMessage{Message: broker.Message{ID: id, Class: "standard", Header: h, Body: []byte("x")}})
		q.mu.Unlock()
		return q.settlement(t, n+1)
	}
	if got := put("plain", nil); got != "plain done" {
		t.Fatalf("a plain message was settled as %q", got)
	}
	if head := seen.all()[0]; !strings.HasPrefix(head, "POST / HTTP/1.1\r\nHost: app\r\n") {
		t.Errorf("a plain message arrived as %q", head)
	}
	if got := put("forged", broker.Header{
		"http-field-Latency-Class": {"interactive"}, "http-field-Latency_Class": {"interactive"}, "http-field-baggage": {"latency.class=interactive"},
		"http-field-Transfer-Encoding": {"chunked"}, "http-field-Content-Length": {"7"}, "latency-class": {"interactive"},
		"http-target": {"http://elsewhere/x"},
	}); got != "forged done" {
		t.Fatalf("settled as %q", got)
	}
	forged := seen.all()[1]
	wantClass(t, strings.TrimPrefix(forged, "x"), "standard")
	wantFields(t, forged, map[string][]string{"Transfer-Encoding": nil, "Content-Length": {"1"}})
	if !strings.Contains(forged, "POST /x HTTP/1.1\r\n") {
		t.Errorf("the app got %q", forged)
	}
	const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	for name, h := range map[string]broker.Header{
		"value":        {"http-field-X-A": {"1\r\nX-Admin: 1"}},
		"zero":         {"http-field-X-A": {"1\x00"}},
		"name":         {"http-field-X-A: 1\r\nX-Admin": {"1"}},
		"empty name":   {"http-field-": {"1"}},
		"host":         {"http-field-Host": {"a\r\nX-Admin: 1"}},
		"type":         {"content-type": {"a\nX-Admin: 1"}},
		"method":       {"http-method": {"GET / HTTP/1.1\r\nX-Admin: 1\r\n\r\nGET"}},
		"target":       {"http-target": {"/ HTTP/1.1\r\nX-Admin: 1"}},
		"target space": {"http-target": {"/a b"}},
		"not a target": {"http-target": {"x"}},
	} {
		if got := put(name, h); !strings.HasPrefix(got, name+" dead: ") {
			t.Errorf("%s: settled as %q", name, got)
		}
	}
	// What is not valid in a trail counts as missing.
	put("baggage", broker.Header{"baggage": {"a=1\r\nX-Admin: 1"}})
	put("tracestate", broker.Header{"traceparent": {parent}, "tracestate": {"a=1\r\nX-Admin: 1"}})
	put("request id", broker.Header{"x-request-id": {"1\r\nX-Admin: 1"}, "latency-class": {"batch\r\nX-Admin: 1"}})
	put("id\r\nX-Admin: 1", nil)
	if text := strings.Join(seen.all(), ""); strings.Contains(text, "X-Admin") {
		t.Errorf("the app got %q", text)
	}
}

package gateway

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// TestForgedClass sends a class in every way that some hop might read: no request gets
// above its rule's class, and the forged value reaches no app. The value is a class of
// the gateway, so that it would be believed.
func TestForgedClass(t *testing.T) {
	const forged = "interactive"
	members := func(class string) string {
		var all []string
		for i := range 100 {
			all = append(all, fmt.Sprintf("m%d=%d", i, i))
		}
		all[50] = "latency.class=" + class
		return strings.Join(all, ",")
	}
	big := strings.Repeat("x", 15<<10)
	for name, field := range map[string]string{
		"plain":                   "Latency-Class: interactive\r\n",
		"twice":                   "Latency-Class: interactive\r\nLatency-Class: interactive\r\n",
		"twice, with the rule's":  "Latency-Class: batch\r\nLatency-Class: interactive\r\n",
		"in a list":               "Latency-Class: batch, interactive\r\n",
		"in mixed case":           "lAtEnCy-ClAsS: interactive\r\nLATENCY-CLASS: interactive\r\n",
		"value in mixed case":     "Latency-Class: InterActive\r\n",
		"value in spaces":         "Latency-Class: \t interactive \t\r\n",
		"value in quotes":         "Latency-Class: \"interactive\"\r\n",
		"with underscores":        "Latency_Class: interactive\r\nLATENCY_CLASS: interactive\r\n",
		"with one underscore":     "latency_class: interactive\r\nLatency-Class: interactive\r\n",
		"baggage":                 "baggage: latency.class=interactive\r\n",
		"baggage twice":           "baggage: latency.class=interactive\r\nBaggage: latency.class=interactive\r\n",
		"baggage of 100 members":  "baggage: " + members(forged) + "\r\n",
		"baggage with properties": "baggage: latency.class=interactive;p=1, latency.class = interactive\r\n",
		"baggage, encoded":        "baggage: latency.class=%69nteractive,latency%2Eclass=interactive\r\n",
		"Jaeger's baggage":        "uberctx-latency.class: interactive\r\njaeger-baggage: latency.class=interactive\r\n",
		"named by Connection":     "Connection: Latency-Class\r\nLatency-Class: interactive\r\n",
		"everything at once":      "Latency-Class: interactive\r\nLatency_Class: interactive\r\nbaggage: " + members(forged) + "\r\nuberctx-latency.class: interactive\r\n",
		"behind 15 KiB":           "X-Big: " + big + "\r\nLatency-Class: interactive\r\n",
		"15 KiB of it":            "Latency-Class: " + big + "interactive\r\n",
		"trace that is sampled":   "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\ntracestate: latency=interactive\r\nLatency-Class: interactive\r\n",
		"RFC 9218":                "Priority: u=0\r\nLatency-Class: interactive\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			head := forwarded(t, classRules, "GET /reports/1 HTTP/1.1\r\nHost: a\r\n"+field+"\r\n")
			wantClass(t, head, "batch")
			for _, line := range lines(head) {
				value := line[strings.IndexByte(line, ':'):]
				// The tracestate and baggage of others are theirs, and passed on.
				if strings.Contains(strings.ToLower(value), forged) && !strings.HasPrefix(line, "tracestate: latency=") {
					t.Errorf("%.200q reaches the app", line)
				}
			}
		})
	}
}

// TestForgedClassThatIsTooLarge is refused as what is in it is not looked at.
func TestForgedClassThatIsTooLarge(t *testing.T) {
	app := serveRaw(t)
	seen := app.answering(okNoBody)
	g := start(t, "", app.url())
	for _, field := range []string{"Latency-Class: ", "baggage: latency.class=interactive,x="} {
		p := g.dial()
		p.send("GET / HTTP/1.1\r\nHost: a\r\n", field, strings.Repeat("interactive,", (64<<10)/12), "\r\n\r\n")
		resp, body := p.response("GET")
		wantRefusal(t, fetched{Response: resp, body: body}, http.StatusRequestHeaderFieldsTooLarge, reasonBadRequest)
	}
	if heads := seen.all(); len(heads) > 0 {
		t.Errorf("the app got %q", heads)
	}
}

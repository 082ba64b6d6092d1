package gateway

import (
	"bufio"
	"fmt"
	"net/netip"
	"net/url"
	"strings"

	"github.com/valyala/fasthttp"

	"overtake/classifier"
	"overtake/gateway/config"
	"overtake/tracing"
)

// Question is a request to explain.
type Question struct {
	Method string
	URL    string   // absolute, or a path
	Header []string // lines, "Name: value"
	// Source is the client's address; the zero Addr is a client that nobody
	// trusts.
	Source netip.Addr
}

// Explanation tells what a gateway would do with a request, and why.
type Explanation struct {
	classifier.Explanation
	// Classes are all classes, to name those of the decision and the trials.
	Classes classifier.Classes
	// Claimed is the class that the request came with, "" for none.
	Claimed string
	// Trusted is whether the source's class is believed.
	Trusted bool
	// Route is the position of the route taken in the configuration, -1 for
	// none.
	Route int
	// Upstream or Queue is what the route leads to.
	Upstream, Queue string
}

// Explain decides about a request by the code that serves requests.
func Explain(cfg *config.Config, q Question) (Explanation, error) {
	classes, c, err := newClassifier(cfg)
	if err != nil {
		return Explanation{}, err
	}
	var ctx fasthttp.RequestCtx
	if err := q.read(&ctx.Request); err != nil {
		return Explanation{}, err
	}
	f, err := fields(nil).read(&ctx.Request.Header)
	if err != nil {
		return Explanation{}, fmt.Errorf("gateway: explain: not a request that would be served: %w", err)
	}
	view := viewOf(&ctx, &viewFields{fields: f, uri: ctx.Request.URI()}, q.Source)
	e := Explanation{Classes: classes, Claimed: tracing.Extract(f).Class, Route: -1}
	for _, l := range cfg.Listeners {
		e.Trusted = e.Trusted || trusts(l.Trust, q.Source)
	}
	claim := classifier.Claim{Trusted: e.Trusted}
	claim.Class, claim.Present = classes.Lookup(e.Claimed)
	e.Explanation = c.Explain(&view, claim)
	for i, r := range cfg.Routes {
		matcher, err := classifier.Compile(r.Match.Spec())
		if err != nil {
			return e, fmt.Errorf("gateway: routes[%d]: %w", i, err)
		}
		if matcher.Matches(&view) {
			e.Route, e.Upstream, e.Queue = i, r.Upstream, r.Queue
			break
		}
	}
	return e, nil
}

// read parses the question as a request from the wire would be.
func (q Question) read(req *fasthttp.Request) error {
	u, err := url.Parse(q.URL)
	if err != nil {
		return fmt.Errorf("gateway: explain: %w", err)
	}
	host := u.Host
	if host == "" {
		host = "localhost"
	}
	var text strings.Builder
	fmt.Fprintf(&text, "%s %s HTTP/1.1\r\nHost: %s\r\n", strings.ToUpper(q.Method), u.RequestURI(), host)
	for _, line := range q.Header {
		if !strings.Contains(line, ":") {
			return fmt.Errorf("gateway: explain: header %q: want 'Name: value'", line)
		}
		if name, value, _ := strings.Cut(line, ":"); strings.EqualFold(strings.TrimSpace(name), "Host") {
			return fmt.Errorf("gateway: explain: header %q: give the host in the URL: http://%s/", line, strings.TrimSpace(value))
		}
		text.WriteString(line + "\r\n")
	}
	text.WriteString("\r\n")
	req.Header.DisableNormalizing()
	if err := req.Header.Read(bufio.NewReaderSize(strings.NewReader(text.String()), headerBytes)); err != nil {
		return fmt.Errorf("gateway: explain: not a request that would be served: %w", err)
	}
	return nil
}

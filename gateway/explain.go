package gateway

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"time"

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
	// Listener is the name of the listener that it comes to; "" for any that takes
	// requests from outside, or where there are none, the app's own calls.
	Listener string
}

// Explanation tells what a gateway would do with a request, and why.
type Explanation struct {
	classifier.Explanation
	// Classes are all classes, to name those of the decision and the trials.
	Classes classifier.Classes
	// Claimed is the class that the request came with, "" for none; Unknown, that no
	// class is called so.
	Claimed string
	Unknown bool
	// Outbound is whether it is a call of the app. Then the class is what a call
	// gets of which nothing is known: a running gateway goes by provenance first.
	Outbound bool
	// Address is where a call goes that no route leads on; "" for nowhere, or
	// where its connection was going before it was redirected.
	Address string
	// Trusted is whether the source's class is believed.
	Trusted bool
	// Flow is whose request it is: the value of the flow's header, or else the
	// client's address. It is "" where no header says whose requests are.
	Flow string
	// Route is the position of the route taken in the configuration, -1 for
	// none.
	Route int
	// Upstream or Queue is what the route leads to.
	Upstream, Queue string
}

// Explain decides about a request by the code that serves requests.
func Explain(cfg *config.Config, q Question) (Explanation, error) {
	d, err := newDecider(cfg, nil)
	if err != nil {
		return Explanation{}, err
	}
	listeners, err := q.listeners(cfg)
	if err != nil {
		return Explanation{}, err
	}
	role := listeners[0].Role
	var ctx fasthttp.RequestCtx
	f, err := q.read(&ctx, role)
	if err != nil {
		return Explanation{}, fmt.Errorf("gateway: explain: not a request that would be served: %w", err)
	}
	view := viewOf(&ctx, &viewFields{fields: f}, q.Source)
	var trail tracing.Trail
	trail.Extract(f, time.Now())
	e := Explanation{Classes: d.classes, Claimed: trail.Class, Outbound: role == config.Outbound}
	e.Unknown = e.Claimed != "" && !d.claim(&trail, false).Present
	if name := cfg.Flow.Header; name != "" {
		e.Flow = "the client's address"
		if key, ok := f.lookup(name); ok {
			e.Flow = fmt.Sprintf("%q", key)
		}
	}
	for _, l := range listeners {
		e.Trusted = e.Trusted || contains(l.Trust, q.Source)
	}
	if e.Outbound {
		e.Trusted = false
		e.Decision = d.decideCall(&view, d.claim(&trail, false), 0, false)
		if e.Route = -1; !ctx.IsConnect() { // routes do not concern tunnels
			e.Route = d.routeCall(&view)
		}
		switch _, absolute := strings.CutPrefix(q.URL, "http://"); {
		case ctx.IsConnect():
			e.Address, err = dialAddress(q.URL, "")
		case absolute && e.Route < 0:
			e.Address, err = dialAddress(alias(ctx.Host()), "80")
		}
	} else {
		e.Explanation = d.classifier.Explain(&view, d.claim(&trail, e.Trusted))
		e.Route = d.route(&view)
	}
	if e.Route >= 0 {
		e.Upstream, e.Queue = cfg.Routes[e.Route].Upstream, cfg.Routes[e.Route].Queue
	}
	return e, err
}

// listeners returns those that the request may come to, at least one, which are
// all of the app's calls or none.
func (q Question) listeners(cfg *config.Config) ([]config.Listener, error) {
	var outside []config.Listener
	for _, l := range cfg.Listeners {
		if l.Name == q.Listener {
			return []config.Listener{l}, nil
		}
		if l.Role != config.Outbound {
			outside = append(outside, l)
		}
	}
	switch {
	case q.Listener != "":
		return nil, fmt.Errorf("gateway: explain: no listener is named %q", q.Listener)
	case len(outside) == 0:
		return cfg.Listeners, nil
	}
	return outside, nil
}

// target returns the request's target and its Host. Those of CONNECT are an authority
// (RFC 9112 section 3.2.3), which need not be a URL.
func (q Question) target() (target, host string, err error) {
	if q.Method == fasthttp.MethodConnect {
		_, err := dialAddress(q.URL, "")
		return q.URL, q.URL, err
	}
	u, err := url.Parse(q.URL)
	if err != nil {
		return "", "", err
	}
	return u.RequestURI(), cmp.Or(u.Host, "localhost"), nil
}

// read parses the question as a request from the wire would be.
func (q Question) read(ctx *fasthttp.RequestCtx, role string) (fields, error) {
	target, host, err := q.target()
	switch {
	case err != nil:
		return nil, err
	case !classifier.IsToken(q.Method):
		return nil, fmt.Errorf("method %q: want a name such as GET", q.Method)
	}
	var text strings.Builder
	fmt.Fprintf(&text, "%s %s HTTP/1.1\r\nHost: %s\r\n", q.Method, target, host)
	for _, line := range q.Header {
		name, value, ok := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		switch {
		case !ok || !classifier.IsToken(name) || strings.ContainsAny(value, lineBreaks):
			return nil, fmt.Errorf("header %q: want 'Name: value'", line)
		case strings.EqualFold(name, "Host"):
			return nil, fmt.Errorf("header %q: give the host in the URL: http://%s/", line, value)
		}
		text.WriteString(name + ": " + value + "\r\n")
	}
	text.WriteString("\r\n")
	h := &ctx.Request.Header
	h.DisableNormalizing()
	if err := h.Read(bufio.NewReaderSize(strings.NewReader(text.String()), text.Len()+1)); err != nil {
		return nil, errors.New("it can't be parsed as HTTP/1.1")
	}
	f, err := fields(nil).read(h)
	if err != nil {
		return nil, err
	}
	return f, acceptable(ctx, f, role)
}

package gateway

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/valyala/fasthttp"

	"overtake/classifier"
)

// call serves a request of the app to somebody else: its class is that of the
// request the app works for, and it goes where a route with hosts says, or where
// the app wanted.
func (g *Gateway) call(ctx *fasthttp.RequestCtx, client *clientConn, r *request, view *classifier.Request) error {
	g.classifyCall(r, view)
	if ctx.IsConnect() {
		return g.connect(ctx, client, r)
	}
	address, err := calledAddress(ctx, client.original)
	if err != nil {
		return err
	}
	if strings.HasPrefix(view.Path, ownPrefix) && r.gen.keepsJobsOf(view) {
		return g.serveOwn(ctx, r, view.Path)
	}
	switch i := r.gen.routeCall(view); {
	case i >= 0:
		r.route, r.upstream, r.queue = i, r.gen.targets[i].upstream, r.gen.targets[i].queue
	case address == "":
		return &failure{reason: reasonNoUpstream, err: errNowhere, detail: remedyNowhere}
	default:
		r.upstream = r.gen.destinations.to(address)
	}
	if r.queue != nil {
		return g.enqueue(ctx, r, r.queue)
	}
	return g.forward(ctx, client, r)
}

// errNowhere is a call that came directly, with a path alone, for a host that no
// route names.
var errNowhere = errors.New("gateway: no route names the call's host, and it came neither by HTTP_PROXY nor redirected")

const remedyNowhere = "No route names this host. Set HTTP_PROXY to this listener, add a route with hosts, or redirect the app's connections here."

// originNone is what is said of a call that no request is known for.
const originNone = "none"

// classifyCall finds the trail, class and flow of an app's call. Rules are for
// those who come from outside.
func (g *Gateway) classifyCall(r *request, view *classifier.Request) {
	r.trail.Extract(r.fields, r.started)
	origin, found := g.provenance.Find(r.started, &r.trail)
	r.origin = originNone
	if found {
		r.origin = origin.By.String()
		r.trail.Inherit(&origin)
	}
	r.decision = r.gen.decideCall(view, r.gen.claim(&r.trail, false), origin.Class, found)
	r.trail.Class = r.gen.classes.Name(r.decision.Class)
	g.begins(r)
	g.metrics.classified.of([2]string{r.decision.Rule, r.trail.Class}).Inc()
	g.console.Hit(r.decision.Rule)
	r.flow = r.gen.flowOf(r.fields, view.Source)
}

// maxLaps is how often a request may pass gateways before that counts as a loop.
const maxLaps = 16

// loops reports whether a request has passed too many gateways, by the Via that
// each of them adds.
func loops(f fields) bool {
	via, _ := f.lookup("Via")
	laps := 0
	for via != "" {
		var hop string
		hop, via, _ = strings.Cut(via, ",")
		_, by, _ := strings.Cut(strings.TrimSpace(hop), " ")
		if strings.EqualFold(strings.TrimSpace(by), "overtake") {
			laps++
		}
	}
	return laps > maxLaps
}

// loop refuses a request that has passed too many gateways.
func (g *Gateway) loop(ctx *fasthttp.RequestCtx, client *clientConn) error {
	ctx.SetConnectionClose() // what follows a CONNECT may be meant for its tunnel
	err := fmt.Errorf("the request passed a gateway more than %d times, says Via; %s", maxLaps, remedyLoop(client))
	g.warnLoop(client, err)
	return &failure{reason: reasonBadRequest, status: fasthttp.StatusLoopDetected, err: err}
}

// remedyLoop says where to look when what was sent on came back.
func remedyLoop(client *clientConn) string {
	if client.original.IsValid() {
		return "exclude the user that the gateway runs as from the redirect"
	}
	return "look for a route or an upstream that leads back"
}

// warnLoop logs a loop, now and then: one that is there goes round for every request.
func (g *Gateway) warnLoop(client *clientConn, err error) {
	g.loops.Do(func() {
		g.log.Warn("a loop, which is refused: "+remedyLoop(client), "listener", client.listener.name, "to", client.original, "error", err)
	})
}

// calledAddress returns where a call goes by itself: to the authority of an
// absolute target, which a client of a forward proxy sends, or else to where its
// connection was going before it was redirected; "" for neither.
func calledAddress(ctx *fasthttp.RequestCtx, original netip.AddrPort) (string, error) {
	target := alias(ctx.Request.Header.RequestURI())
	if target[0] == '/' || target == "*" {
		if original.IsValid() {
			return original.String(), nil
		}
		return "", nil
	}
	scheme, _, _ := strings.Cut(target, "://")
	if !strings.EqualFold(scheme, "http") {
		return "", badCall("%.20q: only http:// can be sent on; https:// goes through CONNECT", scheme+"://")
	}
	return dialAddress(authority(ctx), "80")
}

// dialAddress checks an authority that somebody else wrote and returns it as
// host:port. port is the default, "" for none.
func dialAddress(authority, port string) (string, error) {
	host := authority
	if i := strings.LastIndexByte(authority, ':'); i > strings.LastIndexByte(authority, ']') {
		host, port = authority[:i], authority[i+1:]
	}
	number, err := strconv.ParseUint(port, 10, 16)
	switch {
	case port == "":
		return "", badCall("the authority %.80q has no port", authority)
	case err != nil || number == 0:
		return "", badCall("the authority %.80q has no port from 1 to 65535", authority)
	case strings.Contains(host, "@"):
		return "", badCall("the authority carries credentials; send them in Authorization (RFC 9110 section 4.2.4)")
	case !callable(host):
		return "", badCall("%.80q is neither a host name nor an IP address", host)
	}
	return net.JoinHostPort(strings.ToLower(strings.Trim(host, "[]")), strconv.FormatUint(number, 10)), nil
}

// callable reports whether host is a name, or an address as an authority has it.
func callable(host string) bool {
	if inner, ok := strings.CutPrefix(host, "["); ok {
		inner, closed := strings.CutSuffix(inner, "]")
		addr, err := netip.ParseAddr(inner)
		return closed && err == nil && addr.Is6() && addr.Zone() == ""
	}
	const maxName = 253 // RFC 1035 section 2.3.4, without the dots' lengths
	return host != "" && len(host) <= maxName &&
		strings.Trim(strings.ToLower(host), "abcdefghijklmnopqrstuvwxyz0123456789-._") == ""
}

func badCall(format string, args ...any) error {
	return &failure{reason: reasonBadRequest, err: fmt.Errorf(format, args...)}
}

package gateway

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/valyala/fasthttp"

	"overtake/classifier"
)

// viewFields gives the rules headers and query parameters of a request.
type viewFields struct {
	fields fields
	uri    *fasthttp.URI // set by viewOf
}

// noURI is only read.
var noURI fasthttp.URI

// Header implements classifier.Fields.
func (v *viewFields) Header(name string) (string, bool) { return v.fields.lookup(name) }

// Query implements classifier.Fields.
func (v *viewFields) Query(name string) (string, bool) {
	args := v.uri.QueryArgs()
	if !args.Has(name) {
		return "", false
	}
	return alias(args.Peek(name)), true
}

// viewOf is what the rules see of a request. The path is decoded and without dot
// segments, so that a rule can't be walked around by spelling; what is forwarded
// is the target as it came. Host, path and query are cut out of it as for forwarding:
// fasthttp, which is kept from taking it apart as well, takes the host from the path of
// //a/b, and from one that :// follows.
func viewOf(ctx *fasthttp.RequestCtx, v *viewFields, source netip.Addr) classifier.Request {
	path, query, _ := strings.Cut(originForm(alias(ctx.Request.Header.RequestURI())), "?")
	ctx.Request.SetURI(&noURI)
	v.uri = ctx.Request.URI()
	v.uri.SetHost(authority(ctx))
	v.uri.SetPath(path)
	v.uri.SetQueryString(query)
	size := int64(ctx.Request.Header.ContentLength())
	switch {
	case size == -1: // chunked
	case size < 0:
		size = 0 // no body
	}
	return classifier.Request{
		Method: alias(ctx.Method()), Host: hostname(alias(v.uri.Host())), Path: withoutDot(alias(v.uri.Path())),
		Source: source, BodySize: size, Fields: v,
	}
}

// hostname returns an authority's host without the port.
func hostname(authority string) string {
	if strings.HasPrefix(authority, "[") {
		host, _, _ := strings.Cut(authority[1:], "]")
		return host
	}
	host, _, _ := strings.Cut(authority, ":")
	return host
}

// authority returns the host that the request is for, as it came: from Host, or
// from a target in absolute form, which overrides it (RFC 9112 section 3.2.2).
func authority(ctx *fasthttp.RequestCtx) string {
	authority, _, absolute := splitTarget(alias(ctx.Request.Header.RequestURI()))
	if !absolute {
		return alias(ctx.Request.Header.Host())
	}
	return authority
}

// originForm returns a request target as an origin server gets it (RFC 9112
// section 3.2.1): byte for byte what came, but for a target in absolute form,
// whose authority goes into Host.
func originForm(target string) string {
	_, origin, _ := splitTarget(target)
	return origin
}

// splitTarget cuts the authority off a target in absolute form; others stay whole.
func splitTarget(target string) (authority, origin string, absolute bool) {
	_, rest, absolute := strings.Cut(target, "://")
	if !absolute || target[0] == '/' {
		return "", target, false
	}
	at := strings.IndexAny(rest, "/?")
	switch {
	case at < 0:
		return rest, "/", true
	case rest[at] == '?':
		return rest[:at], "/" + rest[at:], true
	}
	return rest[:at], rest[at:], true
}

// checkTarget refuses a target, and a host, that others may read as another.
func checkTarget(ctx *fasthttp.RequestCtx) error {
	target, host := alias(ctx.Request.Header.RequestURI()), authority(ctx)
	origin := target[0] == '/' || target == "*"
	switch {
	case ctx.IsConnect():
		return nil // connect looks at it
	case strings.Contains(target, "#"):
		return fmt.Errorf("the target %.80q has a fragment (RFC 9112 section 3.2)", target)
	case target == "*" && string(ctx.Method()) != fasthttp.MethodOptions:
		return errors.New("the target * of another method than OPTIONS (RFC 9112 section 3.2.4)")
	case !origin && !isWeb(target):
		return fmt.Errorf("the target %.80q is neither a path nor of http or https", target)
	case host == "" && (!origin || ctx.Request.Header.IsHTTP11()):
		return errors.New("no Host field (RFC 9112 section 3.2)")
	case host != "" && !isAuthority(host):
		return fmt.Errorf("the host %.80q is none, or has two readings (RFC 3986 section 3.2)", host)
	}
	return nil
}

// isWeb reports whether an absolute target is of a scheme that is served.
func isWeb(target string) bool {
	scheme, _, _ := strings.Cut(target, "://")
	return strings.EqualFold(scheme, "http") || strings.EqualFold(scheme, "https")
}

// isAuthority reports whether s is a host, with or without a port, that is read in one
// way: no credentials, list or path, and nothing that some reader would cut it at or
// decode.
func isAuthority(s string) bool {
	host, port := s, ""
	if i := strings.LastIndexByte(s, ':'); i > strings.LastIndexByte(s, ']') {
		host, port = s[:i], s[i+1:]
	}
	if strings.Trim(port, "0123456789") != "" || len(port) > len("65535") {
		return false
	}
	if inner, ok := strings.CutPrefix(host, "["); ok {
		inner, ok = strings.CutSuffix(inner, "]")
		addr, err := netip.ParseAddr(inner)
		return ok && err == nil && addr.Is6() && addr.Zone() == ""
	}
	for i := range len(host) {
		c := host[i] | 0x20
		if (c < 'a' || c > 'z') && (host[i] < '0' || host[i] > '9') && strings.IndexByte("-._~", host[i]) < 0 {
			return false
		}
	}
	return host != ""
}

// withoutDot removes the dot segment at the end of a path, which fasthttp leaves there (RFC
// 3986, section 5.2.4).
func withoutDot(path string) string {
	if strings.HasSuffix(path, "/.") {
		return path[:len(path)-1]
	}
	return path
}

package gateway

import (
	"net/netip"
	"strings"

	"github.com/valyala/fasthttp"

	"overtake/classifier"
)

// viewFields gives the rules headers and query parameters of a request.
type viewFields struct {
	fields fields
	uri    *fasthttp.URI
}

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
// is the target as it came.
func viewOf(ctx *fasthttp.RequestCtx, v *viewFields, source netip.Addr) classifier.Request {
	size := int64(ctx.Request.Header.ContentLength())
	switch {
	case size == -1: // chunked
	case size < 0:
		size = 0 // no body
	}
	return classifier.Request{
		Method: alias(ctx.Method()), Host: hostname(alias(ctx.Host())), Path: alias(v.uri.Path()),
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
	if target := ctx.RequestURI(); target[0] == '/' || string(target) == "*" {
		return alias(ctx.Request.Header.Host())
	}
	return alias(ctx.Host())
}

// originForm returns a request target as an origin server gets it (RFC 9112
// section 3.2.1): byte for byte what came, but for a target in absolute form,
// whose authority goes into Host.
func originForm(target string) string {
	_, rest, absolute := strings.Cut(target, "://")
	if !absolute || target[0] == '/' || target == "*" {
		return target
	}
	at := strings.IndexAny(rest, "/?")
	switch {
	case at < 0:
		return "/"
	case rest[at] == '?':
		return "/" + rest[at:]
	}
	return rest[at:]
}

package gateway

import (
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/valyala/fasthttp"

	"overtake/classifier/strictyaml"
	"overtake/gateway/config"
)

// badRequest answers what fasthttp could not read.
func (g *Gateway) badRequest(ctx *fasthttp.RequestCtx, err error) {
	client := clientOf(ctx.Conn())
	f := &failure{reason: reasonBadRequest, err: errors.New("the request can't be parsed as HTTP/1.1")}
	var small *fasthttp.ErrSmallBuffer
	var timeout net.Error
	switch {
	case errors.As(err, &small):
		f = tooMuchHeader("it is larger than %d bytes", client.settings.limits.HeaderBytes)
	case errors.As(err, &timeout) && timeout.Timeout():
		f = tooSlow("the header, or the beginning of the body, did not come in time")
	}
	client.answerBy = time.Time{} // that of the request before
	class := g.present.Load().defaultClass
	refuse(ctx, f, "", class)
	client.mark(g.sockets, class)
	client.linger.Store(true) // the rest of the header may still be on its way
	g.unserved(client.listener.name, f.code())
	g.access.unread(client, f.code(), f.reason)
	g.log.Debug("refused", "reason", f.reason, "client", client.addr, "error", err)
}

// excessive refuses a request that is more than the listener's limits allow, as
// far as its header tells.
func excessive(h *fasthttp.RequestHeader, f fields, limits *config.ListenerLimits) *failure {
	if len(f) > limits.HeaderFields {
		return tooMuchHeader("it has %d fields, and %d are allowed", len(f), limits.HeaderFields)
	}
	return tooLong(h, limits)
}

// tooLong refuses a body that is said to be longer than the limits allow.
func tooLong(h *fasthttp.RequestHeader, limits *config.ListenerLimits) *failure {
	if most := limits.BodyBytes; most > 0 && int64(h.ContentLength()) > int64(most) {
		return tooLarge(most)
	}
	return nil
}

func tooMuchHeader(format string, args ...any) *failure {
	return &failure{
		reason: reasonBadRequest, status: fasthttp.StatusRequestHeaderFieldsTooLarge,
		err: fmt.Errorf("the header is too large: "+format, args...),
	}
}

func tooLarge(most strictyaml.Size) *failure {
	return &failure{
		reason: reasonBadRequest, status: fasthttp.StatusRequestEntityTooLarge,
		err: fmt.Errorf("the body is larger than %d bytes", most),
	}
}

func tooSlow(why string) *failure {
	return &failure{reason: reasonBadRequest, status: fasthttp.StatusRequestTimeout, err: errors.New(why)}
}

package gateway

import (
	"bytes"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"overtake/broker"
	"overtake/classifier"
	"overtake/gateway/config"
	"overtake/tracing"
)

// Message headers in which a request travels through a queue, beside those of
// the contract.
const (
	messageMethod = "http-method"
	messageTarget = "http-target"
	// messageField is the prefix of the request's own header fields.
	messageField = "http-field-"
)

// messageFields returns a message's header as a tracing.Carrier to read from.
func messageFields(h broker.Header) fields {
	f := make(fields, 0, len(h))
	for name, values := range h {
		for _, value := range values {
			f = append(f, field{name, value})
		}
	}
	return f
}

// stampedMessage is a message's header as a tracing.Carrier to stamp: message
// headers have a case, and the contract's are lower.
type stampedMessage struct{ header broker.Header }

// Len implements tracing.Carrier.
func (stampedMessage) Len() int { return 0 }

// Field implements tracing.Carrier.
func (stampedMessage) Field(int) (name, value string) {
	panic("gateway: stamped messages are write-only")
}

// Set implements tracing.Carrier.
func (s stampedMessage) Set(name, value string) {
	s.header.Set(strings.ToLower(name), strings.Clone(value))
}

// Del implements tracing.Carrier.
func (s stampedMessage) Del(name string) { delete(s.header, strings.ToLower(name)) }

// messageHeader packs the request's header, for its delivery to be "the request
// as it came in".
func (g *Gateway) messageHeader(ctx *fasthttp.RequestCtx, r *request) broker.Header {
	h := make(broker.Header, len(r.fields)+8)
	client, options := clientOf(ctx.Conn()), connectionOptions(r.fields)
	for _, f := range r.fields {
		if endsHere(f, options, &r.trail, r.trusted || client.listener.role == config.Outbound) || strings.EqualFold(f.name, "Idempotency-Key") {
			continue
		}
		name := messageField + f.name
		h[name] = append(h[name], strings.Clone(f.value))
	}
	h.Set(messageMethod, string(ctx.Method()))
	h.Set(messageTarget, strings.Clone(originForm(alias(ctx.RequestURI()))))
	host := strings.Clone(authority(ctx))
	h.Set(messageField+"Host", host)
	if contentType := ctx.Request.Header.ContentType(); len(contentType) > 0 {
		h.Set(broker.HeaderContentType, string(contentType))
	}
	via := forwardedFor{client: client.addr, host: host, tls: ctx.IsTLS()}
	if r.trusted {
		via.received = r.fields
	}
	via.each(func(name, value string) { h.Set(messageField+name, strings.Clone(value)) })
	r.trail.StampMessage(stampedMessage{h})
	return h
}

// outbound is the message as the request that it came in as.
func (c *courier) outbound(h *handling) (*outbound, error) {
	d, trail := h.Delivery, &h.trail
	method, target := d.Header.Get(messageMethod), d.Header.Get(messageTarget)
	if method == "" {
		method = fasthttp.MethodPost // published by an app, not by a gateway
	}
	target, err := c.target(target)
	if err != nil {
		return nil, err
	}
	if !classifier.IsToken(method) {
		return nil, fmt.Errorf("the message's method %q is not one", method)
	}
	head := append([]byte(nil), method+" "+target+" HTTP/1.1\r\n"...)
	host := d.Header.Get(messageField + "Host")
	if host == "" {
		host = c.q.deliverTo
	}
	if head, err = appendChecked(head, "Host", host); err != nil {
		return nil, err
	}
	if head, err = c.appendFields(head, d, trail); err != nil {
		return nil, err
	}
	head = appendField(head, "Via", "1.1 overtake")
	head = appendField(head, "Latency-Attempt", strconv.Itoa(d.Attempt))
	if head, err = appendChecked(head, "Idempotency-Key", d.ID); err != nil {
		return nil, err
	}
	stamped := stampedFields{head: head}
	trail.Stamp(&stamped, time.Now())
	return &outbound{
		class:  c.class,
		head:   append(stamped.head, "Content-Length: "+strconv.Itoa(len(d.Body))+"\r\n\r\n"...),
		body:   bytes.NewReader(d.Body),
		length: int64(len(d.Body)), bodyless: method == fasthttp.MethodHead,
		timeout: h.slot.upstream.timeout, deadline: h.slot.upstream.enforced(trail.Deadline),
	}, nil
}

// appendFields appends the fields of the original request.
func (c *courier) appendFields(head []byte, d *broker.Delivery, trail *tracing.Trail) ([]byte, error) {
	var err error
	if contentType := d.Header.Get(broker.HeaderContentType); contentType != "" {
		if head, err = appendChecked(head, "Content-Type", contentType); err != nil {
			return nil, err
		}
	}
	for key, values := range d.Header {
		name, ok := strings.CutPrefix(key, messageField)
		if !ok || hopByHop(name) || ofDelivery(name) {
			continue
		}
		for _, value := range values {
			if trail.Owns(name, value) {
				continue
			}
			if head, err = appendChecked(head, name, value); err != nil {
				return nil, err
			}
		}
	}
	return head, nil
}

// ofDelivery reports whether outbound writes the field itself.
func ofDelivery(name string) bool {
	return tracing.Spells(name, "Host") || tracing.Spells(name, "Content-Type") ||
		tracing.Spells(name, "Latency-Attempt") || tracing.Spells(name, "Idempotency-Key")
}

// lineBreaks would end a field's value.
const lineBreaks = "\r\n\x00"

// appendChecked appends a field that may come from anybody who can publish: a
// line break in it must not become another field, or a second request.
func appendChecked(head []byte, name, value string) ([]byte, error) {
	if !classifier.IsToken(name) || strings.ContainsAny(value, lineBreaks) {
		return nil, fmt.Errorf("the message's field %q can't be an HTTP header field", name)
	}
	return appendField(head, name, value), nil
}

// target is the message's target with the queue's own path, if it has one; the
// query stays.
func (c *courier) target(target string) (string, error) {
	if target == "" {
		target = "/"
	}
	u, err := url.ParseRequestURI(target)
	if err != nil || strings.ContainsAny(target, " \r\n") {
		return "", fmt.Errorf("the message's target %q is not one", target)
	}
	if c.q.path == "" {
		return originForm(target), nil
	}
	if u.RawQuery != "" {
		return c.q.path + "?" + u.RawQuery, nil
	}
	return c.q.path, nil
}

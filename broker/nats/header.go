package nats

import (
	"fmt"
	"strings"

	natsgo "github.com/nats-io/nats.go"

	"overtake/broker"
)

const (
	headerMsgID = natsgo.MsgIdHdr // "Nats-Msg-Id"
	// headerID carries the message's ID where Nats-Msg-Id has to differ from
	// it, so that a message which comes to a stream for the second time is
	// not taken for a repetition; see [Queue.storeDead].
	headerID = "overtake-id"
	// escapePrefix marks a header name of the application that the server or
	// its client would otherwise act upon.
	escapePrefix = "overtake-escaped-"
)

// encodeHeader returns the header of m as it goes to the server, with the
// class and the ID in it. Names that NATS acts upon are escaped, because they
// may come from anybody who can send an HTTP request: "Nats-Expected-…" makes
// the server refuse the message, and a message that has "Status" and no body
// is taken by the client for one of the server's own, and swallowed.
func encodeHeader(m *broker.Message) natsgo.Header {
	h := make(natsgo.Header, len(m.Header)+2)
	for name, values := range m.Header {
		if reserved(name) {
			name = escapePrefix + name
		}
		h[name] = values
	}
	h[broker.HeaderClass] = []string{m.Class}
	h[headerMsgID] = []string{m.ID}
	return h
}

// decodeHeader undoes encodeHeader.
func decodeHeader(h natsgo.Header) (id string, _ broker.Header) {
	out := make(broker.Header, len(h))
	for name, values := range h {
		if original, ok := strings.CutPrefix(name, escapePrefix); ok {
			name = original
		} else if reserved(name) {
			continue // the server's
		}
		out[name] = values
	}
	if id := h.Get(headerID); id != "" {
		return id, out
	}
	return h.Get(headerMsgID), out
}

// reserved reports whether a header name means something to NATS or to this
// package. The comparison ignores case, for the servers that did.
func reserved(name string) bool {
	lower := strings.ToLower(name)
	return lower == "status" || lower == headerID ||
		strings.HasPrefix(lower, "nats-") || strings.HasPrefix(lower, escapePrefix)
}

// foreignID is the ID of a message that somebody else published without one.
func foreignID(stream string, seq uint64) string { return fmt.Sprintf("%s-%d", stream, seq) }

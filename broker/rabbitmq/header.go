package rabbitmq

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"overtake/broker"
)

// Headers of this package's own. Numbers are 64 bit integers.
const (
	headerAttempts  = "overtake-attempts"  // deliveries before this stay in the lane
	headerPublished = "overtake-published" // when it was first stored, unix milliseconds
	headerDied      = "overtake-died"      // when it became a dead letter, unix milliseconds
	// escapePrefix marks a header name of the application that the server or
	// this package would otherwise act upon.
	escapePrefix = "overtake-escaped-"
)

// The server counts deliveries in one of these, by its version.
const (
	headerDeliveries   = "x-delivery-count"
	headerAcquisitions = "x-acquired-count"
)

// maxShort bounds what AMQP calls a short string, such as the name of a header;
// maxName leaves room to escape it.
const (
	maxShort = 255
	maxName  = maxShort - len(escapePrefix)
)

// newPublishing returns m as it goes to the server.
func (q *Queue) newPublishing(m *broker.Message) amqp.Publishing {
	now := time.Now()
	h := encodeHeader(m)
	h[headerPublished] = now.UnixMilli()
	p := amqp.Publishing{
		Headers:      h,
		DeliveryMode: amqp.Persistent,
		Priority:     q.rank(m.Class),
		MessageId:    m.ID,
		Timestamp:    now,
		Body:         m.Body,
	}
	setProperties(&p, m.Header)
	return p
}

// encodeHeader returns the header of m as a table, with the class in it. Names
// that RabbitMQ acts upon are escaped, because they may come from anybody who can
// send an HTTP request: "CC" would route a copy, or close the channel.
func encodeHeader(m *broker.Message) amqp.Table {
	h := make(amqp.Table, len(m.Header)+2)
	for name, values := range m.Header {
		if reserved(name) {
			name = escapePrefix + name
		}
		switch len(values) {
		case 0:
		case 1:
			h[name] = values[0]
		default:
			list := make([]any, len(values))
			for i, v := range values {
				list[i] = v
			}
			h[name] = list
		}
	}
	h[broker.HeaderClass] = m.Class
	return h
}

// decodeHeader undoes encodeHeader. Tables may come from anybody who can publish,
// with values of any type, which are written out.
func decodeHeader(table amqp.Table) broker.Header {
	out := make(broker.Header, len(table))
	for name, value := range table {
		if original, ok := strings.CutPrefix(name, escapePrefix); ok {
			name = original
		} else if reserved(name) {
			continue // the server's, or ours
		}
		if list, ok := value.([]any); ok {
			values := make([]string, len(list))
			for i, v := range list {
				values[i] = format(v)
			}
			out[name] = values
			continue
		}
		out[name] = []string{format(value)}
	}
	return out
}

// format writes a value of a table as text.
func format(value any) string {
	switch v := value.(type) {
	case nil:
		return ""
	case string:
		return v
	case []byte:
		return string(v)
	case time.Time:
		return v.UTC().Format(time.RFC3339)
	case amqp.Decimal:
		return strconv.FormatFloat(float64(v.Value), 'f', -1, 64) + "e-" + strconv.Itoa(int(v.Scale))
	}
	return fmt.Sprint(value)
}

// reserved reports whether a header name means something to RabbitMQ or to this
// package. The comparison ignores case, which RabbitMQ does not.
func reserved(name string) bool {
	lower := strings.ToLower(name)
	switch lower {
	case "cc", "bcc", "x-delay", headerDeliveries, headerAcquisitions,
		headerAttempts, headerPublished, headerDied:
		return true
	}
	for _, prefix := range []string{"x-death", "x-first-death-", "x-last-death-", "x-opt-", "x-stream-", escapePrefix} {
		if strings.HasPrefix(lower, prefix) {
			return true
		}
	}
	return false
}

// number returns a header's number, or 0. The server and other clients write them
// in every size.
func number(table amqp.Table, name string) int64 {
	switch v := table[name].(type) {
	case int64:
		return v
	case int32:
		return int64(v)
	case int16:
		return int64(v)
	case int8:
		return int64(v)
	case int:
		return int64(v)
	case byte:
		return int64(v)
	case uint16:
		return int64(v)
	case uint32:
		return int64(v)
	}
	return 0
}

// copyOf returns the message of a delivery for publishing it again, without what
// the server wrote into it.
func copyOf(d *amqp.Delivery) amqp.Publishing {
	h := maps.Clone(d.Headers)
	if h == nil {
		h = make(amqp.Table)
	}
	for name := range h {
		if reserved(name) && !strings.HasPrefix(name, escapePrefix) && name != headerPublished {
			delete(h, name)
		}
	}
	return amqp.Publishing{
		Headers: h, DeliveryMode: amqp.Persistent, Priority: d.Priority, MessageId: d.MessageId,
		ContentType: d.ContentType, ContentEncoding: d.ContentEncoding, CorrelationId: d.CorrelationId,
		ReplyTo: d.ReplyTo, Timestamp: d.Timestamp, Type: d.Type, AppId: d.AppId, Body: d.Body,
	}
}

// attempts returns how often a message was delivered before. The headers may come
// from anybody who can publish, so it is bounded: no count is negative, or
// overflows.
func attempts(d *amqp.Delivery) int {
	const most = math.MaxInt32
	return int(min(max(number(d.Headers, headerAttempts), 0), most)) + returns(d)
}

// returns is how often a message came back during this stay in its lane: quorum
// queues count, classic ones only know whether it did.
func returns(d *amqp.Delivery) int {
	n := max(number(d.Headers, headerDeliveries), number(d.Headers, headerAcquisitions), 0)
	if n == 0 && d.Redelivered {
		n = 1
	}
	return int(min(n, math.MaxInt32))
}

// mostHeader bounds the header of a copy. Other publishers may fill a frame, and the
// server closes the connection for a header that is larger.
const mostHeader = maxHeader + room/2

// shrink leaves out the largest values of h until it fits.
func shrink(h amqp.Table) {
	names := slices.SortedFunc(maps.Keys(h), func(a, b string) int { return cmp.Compare(sizeOf(h[b]), sizeOf(h[a])) })
	for over := sizeOf(h) - mostHeader; over > 0; names = names[1:] {
		over -= len(names[0]) + sizeOf(h[names[0]])
		delete(h, names[0])
	}
}

// sizeOf returns how many bytes a value takes in a table at most.
func sizeOf(value any) int {
	const fixed, counted = 9, 5 // with the type, and with the length
	n := counted
	switch v := value.(type) {
	case string:
		n += len(v)
	case []byte:
		n += len(v)
	case []any:
		for _, item := range v {
			n += sizeOf(item)
		}
	case amqp.Table:
		for name, item := range v {
			n += 1 + len(name) + sizeOf(item)
		}
	default:
		return fixed
	}
	return n
}

// published returns when a message was first stored, which is never in the future.
func published(d *amqp.Delivery) time.Time {
	if t := pastTime(d.Headers, headerPublished); !t.IsZero() {
		return t
	}
	now := time.Now()
	if s := d.Timestamp.Unix(); s > 0 && s <= now.Unix() {
		return d.Timestamp
	}
	return now // published by somebody else, who did not say
}

// pastTime returns a time in the past from a header with unix milliseconds, or zero.
func pastTime(table amqp.Table, name string) time.Time {
	if ms := number(table, name); ms > 0 && ms <= time.Now().UnixMilli() {
		return time.UnixMilli(ms)
	}
	return time.Time{}
}

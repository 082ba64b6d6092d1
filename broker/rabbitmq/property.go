package rabbitmq

import (
	"strconv"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"overtake/broker"
)

// directReply is the address of replies without a queue. The server takes it for
// a demand on the publisher's channel, which it closes if there is no consumer.
const directReply = "amq.rabbitmq.reply-to"

// property is a property with the header that stands for it.
type property struct {
	header string
	field  *string
}

func publishingProperties(p *amqp.Publishing) []property {
	return []property{
		{broker.HeaderContentType, &p.ContentType},
		{broker.HeaderContentEncoding, &p.ContentEncoding},
		{broker.HeaderCorrelationID, &p.CorrelationId},
		{broker.HeaderReplyTo, &p.ReplyTo},
		{broker.HeaderType, &p.Type},
		{broker.HeaderAppID, &p.AppId},
	}
}

func deliveryProperties(d *amqp.Delivery) []property {
	return []property{
		{broker.HeaderContentType, &d.ContentType},
		{broker.HeaderContentEncoding, &d.ContentEncoding},
		{broker.HeaderCorrelationID, &d.CorrelationId},
		{broker.HeaderReplyTo, &d.ReplyTo},
		{broker.HeaderType, &d.Type},
		{broker.HeaderAppID, &d.AppId},
		{broker.HeaderUserID, &d.UserId},
	}
}

// setProperties sets the properties of p that h has, as far as they fit. The
// header has them all the same.
func setProperties(p *amqp.Publishing, h broker.Header) {
	for _, property := range publishingProperties(p) {
		if v := h.Get(property.header); len(v) <= maxShort {
			*property.field = v
		}
	}
	if p.ReplyTo == directReply {
		p.ReplyTo = ""
	}
	if ms, err := strconv.ParseInt(h.Get(broker.HeaderTimestamp), 10, 64); err == nil && ms > 0 {
		p.Timestamp = time.UnixMilli(ms)
	}
}

// readProperties adds the properties of d to h, unless it has headers of these
// names.
func readProperties(d *amqp.Delivery, h broker.Header) {
	add := func(name, value string) {
		if _, ok := h[name]; !ok && value != "" {
			h.Set(name, value)
		}
	}
	for _, property := range deliveryProperties(d) {
		add(property.header, *property.field)
	}
	if !d.Timestamp.IsZero() {
		add(broker.HeaderTimestamp, strconv.FormatInt(d.Timestamp.UnixMilli(), 10))
	}
	if d.Priority > 0 {
		add(broker.HeaderPriority, strconv.Itoa(int(d.Priority)))
	}
}

package relay

import (
	"strings"

	"overtake/broker"
	"overtake/classifier"
)

// Method is what rules see as the method of every message.
const Method = "MESSAGE"

// View is what rules see of a message: [Method], a path that is a slash and the
// routing key or subject, dots and all, the size of the body, and the headers, among
// them the properties of AMQP. These have the names that package broker gives
// them; priority, type and timestamp also mean message-priority and so on, if there
// is no header of that name. There is no host, source or query.
func View(t *broker.Taken) classifier.Request {
	return classifier.Request{
		Method: Method, Path: "/" + t.Address, BodySize: int64(len(t.Body)), Fields: fields(t.Header),
	}
}

// fields are the headers of a message, in any case of their names.
type fields broker.Header

// Header implements classifier.Fields.
func (f fields) Header(name string) (string, bool) {
	if value, ok := f.lookup(name); ok {
		return value, true
	}
	return f.lookup("message-" + name)
}

func (f fields) lookup(name string) (string, bool) {
	if values, ok := f[strings.ToLower(name)]; ok {
		return strings.Join(values, ", "), true
	}
	for own, values := range f {
		if strings.EqualFold(own, name) {
			return strings.Join(values, ", "), true
		}
	}
	return "", false
}

// Query implements classifier.Fields.
func (fields) Query(string) (string, bool) { return "", false }

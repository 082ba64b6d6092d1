package config

import (
	"crypto/tls"
	"strings"

	"overtake/classifier/strictyaml"
)

// validateRabbitMQ checks what only a broker of type rabbitmq has.
func (v validator) validateRabbitMQ(path string, b Broker) {
	t := b.TLS
	if t == nil {
		return
	}
	path += ".tls"
	if strings.HasPrefix(b.URL, "amqp://") {
		v.Problem(path, "write the url with amqps://", "has no effect without encryption")
	}
	readable := true
	for _, file := range []struct{ key, name string }{{"ca", t.CA}, {"cert", t.Cert}, {"key", t.Key}} {
		if file.name == "" {
			continue
		}
		if _, err := ReadFile(file.name); err != nil {
			v.Wrong(strictyaml.Join(path, file.key), file.name, "can't be read: "+cause(err), "")
			readable = false
		}
	}
	switch {
	case (t.Cert == "") != (t.Key == ""):
		v.Problem(path, "name both, or neither", "a certificate and its key belong together")
	case t.Cert != "" && readable:
		if _, err := tls.LoadX509KeyPair(t.Cert, t.Key); err != nil {
			v.Problem(path, "", "not a certificate and its key: %v", err)
		}
	}
}

// validateRabbitMQQueue checks what only a queue on such a broker has.
func (v validator) validateRabbitMQQueue(path string, q Queue) {
	if v.Brokers[q.Broker].Type != "rabbitmq" {
		for _, key := range []string{"queue_type", "lane_bytes"} {
			if v.Given(path + "." + key) {
				v.Problem(path+"."+key, "remove it", "is for queues on a rabbitmq broker")
			}
		}
		return
	}
	v.oneOf(path+".queue_type", q.QueueType, "a type of queue", "quorum", "classic")
	if q.LaneBytes < leastLane {
		v.Problem(path+".lane_bytes", "want "+leastLane.String()+" or more", "%s is too small", q.LaneBytes)
	}
}

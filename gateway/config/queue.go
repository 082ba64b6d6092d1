package config

import (
	"time"

	"overtake/classifier/strictyaml"
)

// Broker is one message broker.
type Broker struct {
	// Type is nats or rabbitmq. Required.
	Type string `yaml:"type,omitempty"`
	// Embedded runs the NATS server inside this process. Default: false.
	Embedded bool `yaml:"embedded,omitempty"`
	// Dir is the directory with the embedded server's messages. Default:
	// ./overtake-data.
	Dir string `yaml:"dir,omitempty"`
	// URL is where a broker that is not embedded listens:
	// nats://user:password@host:port or tls://host:port,
	// amqp://user:password@host:port/vhost, or amqps://. Required, or Embedded, or
	// URLs.
	URL string `yaml:"url,omitempty"`
	// URLs are several servers of one NATS cluster, instead of URL. Default: none.
	URLs []string `yaml:"urls,omitempty"`
	// TLS is for a broker by URL, and makes encryption a must for NATS; with
	// Listen, it is the embedded server's. Default: the URL's scheme says.
	TLS *BrokerTLS `yaml:"tls,omitempty"`
	// Credentials is the path of a NATS credentials file: a user's JWT and seed.
	// Default: none.
	Credentials string `yaml:"credentials,omitempty"`
	// NKey is the path of a file with the seed of a NATS user. Default: none.
	NKey string `yaml:"nkey,omitempty"`
	// Token is the token that a NATS server asks for; with Listen, the one that
	// the embedded server asks others for. Write "${NAME}" to keep it out of the
	// file. Default: none.
	Token Secret `yaml:"token,omitempty"`
	// Replicas is how many servers of a NATS cluster keep each message, 1 to 5.
	// Default: 1.
	Replicas int `yaml:"replicas,omitempty"`
	// Sync says when the embedded server's files are flushed to the disk: always
	// (before each confirmation) or interval (every two minutes, so that a crash
	// of the operating system can lose what came last). Default: interval.
	Sync string `yaml:"sync,omitempty"`
	// Listen is HOST:PORT where others can connect to the embedded server. It
	// needs Token where it is not on loopback. Default: nowhere.
	Listen string `yaml:"listen,omitempty"`
	// Memory bounds what others keep in the embedded server's memory; queues are
	// on disk. Default: 64MiB.
	Memory strictyaml.Size `yaml:"memory,omitempty"`
	// MaxBytes bounds the disk that the queues on a NATS broker take, at least
	// 1MiB. It is divided evenly among their lanes, after a quarter for the
	// results of jobs if the broker keeps any. Default: 1GiB.
	MaxBytes strictyaml.Size `yaml:"max_bytes,omitempty"`
}

// BrokerTLS names the files of one end of connections to a broker.
type BrokerTLS struct {
	// CA is the path of a PEM file: the authorities that the other end's
	// certificate must be from. Default: for a broker by URL those of the system;
	// an embedded broker asks others for no certificate.
	CA string `yaml:"ca,omitempty"`
	// Cert is the path of a PEM file: this end's certificate and its chain. Default:
	// none; the embedded server's Listen with TLS takes one.
	Cert string `yaml:"cert,omitempty"`
	// Key is the path of the PEM file with the certificate's key. Required with
	// Cert.
	Key string `yaml:"key,omitempty"`
}

// Queue is one message queue with a lane per class. Its name is 1 to 32 of
// a-z, 0-9 and '-', as it becomes part of the names of streams and exchanges.
type Queue struct {
	// Broker is the name of the broker that keeps the messages. Default: the
	// only one, or local.
	Broker string `yaml:"broker,omitempty"`
	// Deliver says where the messages go. Default: nowhere; they wait for a
	// consumer elsewhere.
	Deliver *Deliver `yaml:"deliver,omitempty"`
	// Attempts is how often a message is delivered before it is dead, 1 to 100.
	// Default: 5.
	Attempts int `yaml:"attempts,omitempty"`
	// Strategy is lanes (one queue per class) or native (the broker's own
	// priorities). Default: lanes.
	Strategy string `yaml:"strategy,omitempty"`
	// QueueType is quorum (replicated) or classic, for a rabbitmq broker. Default:
	// quorum, but classic with the strategy native: quorum queues have two
	// priorities from RabbitMQ 4.0 on, served 2 to 1, and 32 strict ones from 4.3.
	QueueType string `yaml:"queue_type,omitempty"`
	// LaneBytes bounds each lane on a rabbitmq broker, at least 64KiB; a message
	// counts at least 1KiB. RabbitMQ can't change it for a queue that exists.
	// Default: 256MiB.
	LaneBytes strictyaml.Size `yaml:"lane_bytes,omitempty"`
	// Dead are the statuses of the app's answer after which a message is dead at
	// once: numbers, such as 501, and classes, such as 4xx. All others but 2xx
	// are tried again, and so are 429 and 503 unless their numbers are here.
	// Default: [3xx, 4xx].
	Dead []Status `yaml:"dead"`
	// Results is the name of the nats broker that keeps the states and answers
	// of the jobs. Default: the queue's own, or the only nats broker there is.
	Results string `yaml:"results,omitempty"`
	// KeepResults is how long a job is known after its end, 10s to 168h; when
	// disk gets scarce, for less. Default: 1h.
	KeepResults time.Duration `yaml:"keep_results,omitempty"`
	// MaxAnswer is the largest answer that is kept, 1KiB to 1GiB, and no more than
	// half of what the results' broker has for answers. Default: 64MiB.
	MaxAnswer strictyaml.Size `yaml:"max_answer,omitempty"`
	// MaxBody is the largest request body the queue takes, 1B to 7MiB.
	// Default: 1MiB.
	MaxBody strictyaml.Size `yaml:"max_body,omitempty"`
}

// Deliver says where the messages of a queue go.
type Deliver struct {
	// Upstream is the name of the upstream. Default: the only one.
	Upstream string `yaml:"upstream,omitempty"`
	// Path replaces the path of the original request. Default: the original one.
	Path string `yaml:"path,omitempty"`
}

// OneLane reports whether a queue has all classes in one lane: with the priorities of
// RabbitMQ. On NATS, native is lanes.
func (c *Config) OneLane(queue string) bool {
	q := c.Queues[queue]
	return q.Strategy == "native" && c.Brokers[q.Broker].Type == "rabbitmq"
}

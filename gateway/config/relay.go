package config

// Relay moves messages from an existing queue, stream or subject into the lanes of
// a queue. Rules give them their class: the path is a slash and the routing key or
// subject, the method MESSAGE, and the headers are those of the message and its
// properties.
type Relay struct {
	// Name is the relay in logs, and on a NATS server the consumer
	// overtake-relay-NAME, which remembers how far a stream has been moved; 1 to
	// 32 of a-z, 0-9 and '-'. Default: relay-1, relay-2 and so on.
	Name string `yaml:"name,omitempty"`
	// From is where the messages are. Required.
	From RelayFrom `yaml:"from,omitempty"`
	// Queue is the name of the queue whose lanes they go into. Default: the only
	// one.
	Queue string `yaml:"queue,omitempty"`
	// Trust believes the latency-class that a message came with. Otherwise, that
	// can only make it less urgent than the rules do. Default: false.
	Trust bool `yaml:"trust,omitempty"`
	// Window is how many messages are sent and not confirmed at most, 1 to 1000;
	// three times as many are in hand, in memory. Default: 512.
	Window int `yaml:"window,omitempty"`
}

// RelayFrom is where a relay takes messages.
type RelayFrom struct {
	// Broker is the name of the broker. Default: the only one.
	Broker string `yaml:"broker,omitempty"`
	// Queue is an existing queue on a rabbitmq broker. Required with such
	// a broker.
	Queue string `yaml:"queue,omitempty"`
	// Stream is an existing stream on a nats broker. Required with such a
	// broker, or a Subject.
	Stream string `yaml:"stream,omitempty"`
	// Subject chooses messages of the stream; it may have wildcards. Without a
	// stream, it is subscribed to, and what is published while no relay runs is
	// lost. Default: all of the stream.
	Subject string `yaml:"subject,omitempty"`
	// Group is the queue group for a subject without a stream: of the relays in
	// it, one gets each message. Default: overtake.
	Group string `yaml:"group,omitempty"`
}

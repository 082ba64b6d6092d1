package config

import (
	"maps"
	"slices"
	"strings"

	"overtake/classifier/strictyaml"
)

func (v validator) validateRelays() {
	names := map[string]string{}
	brokers, queues := slices.Sorted(maps.Keys(v.Brokers)), slices.Sorted(maps.Keys(v.Queues))
	for i, r := range v.Relays {
		path := strictyaml.Item("relays", i)
		v.name(path+".name", r.Name)
		v.unique(names, path+".name", path, r.Name)
		v.reference(path+".queue", "queue", r.Queue, queues, "queues")
		v.reference(path+".from.broker", "broker", r.From.Broker, brokers, "brokers")
		v.within(path+".window", r.Window, 1, 1000)
		switch v.Brokers[r.From.Broker].Type {
		case "rabbitmq":
			v.refuseKeys(path+".from", "is for a broker of type nats", "stream", "subject", "group")
			if r.From.Queue == "" {
				v.Problem(path+".from", "add queue: NAME", "names no queue")
			}
		case "nats":
			v.validateRelayNATS(path+".from", r.From)
		}
		if q, ok := v.Queues[r.Queue]; ok && q.Broker == r.From.Broker && r.takesFrom(q) {
			v.Problem(path+".from", "name the queue that was there before", "takes from a part of queue %s, and its messages would go in circles", r.Queue)
		}
	}
}

func (v validator) validateRelayNATS(path string, from RelayFrom) {
	v.refuseKeys(path, "is for a broker of type rabbitmq; streams are named with stream", "queue")
	switch {
	case from.Stream == "" && from.Subject == "":
		v.Problem(path, "add stream: NAME, or subject: NAME for what is in no stream", "names neither a stream nor a subject")
	case from.Stream != "":
		v.refuseKeys(path, "is for a subject without a stream", "group")
	case strings.ContainsAny(from.Group, " \t"):
		v.Wrong(path+".group", from.Group, "is not the name of a group", "write overtake")
	}
	if strings.ContainsAny(from.Stream, " \t.*>/\\") {
		v.Wrong(path+".stream", from.Stream, "is not the name of a stream", "subjects are named with subject")
	}
	if slices.Contains(strings.Split(from.Subject, "."), "") && from.Subject != "" || strings.ContainsAny(from.Subject, " \t") {
		v.Wrong(path+".subject", from.Subject, "is not a subject", `write orders.eu or "orders.>"`)
	}
}

// takesFrom reports whether the relay takes from a part of the queue q that it moves
// to. An existing queue of the same name is none, unless it has all classes in it.
func (r Relay) takesFrom(q Queue) bool {
	return q.Strategy == "native" && r.From.Queue == r.Queue || strings.HasPrefix(r.From.Queue, r.Queue+".") ||
		strings.HasPrefix(r.From.Stream, r.Queue+"_") || strings.HasPrefix(r.From.Subject, r.Queue+".") ||
		r.From.Stream == "" && slices.Contains([]string{">", "*.>", "*.*"}, r.From.Subject) // every lane's
}

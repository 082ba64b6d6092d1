package config

import (
	"maps"
	"slices"

	"overtake/classifier/strictyaml"
)

// This file is what the configuration can say and this version does not do.
// Where ignoring it would be dangerous it is a problem, otherwise a warning.
// As a part is built, its lines here go.

const notAvailable = "not available in this version"

// unavailable reports all of it.
func (v validator) unavailable() {
	for _, name := range slices.Sorted(maps.Keys(v.Queues)) {
		path, q := strictyaml.Join("queues", name), v.Queues[name]
		if q.Strategy == "native" && v.Brokers[q.Broker].Type != "rabbitmq" {
			v.Warn(path+".strategy", "native is %s; in effect is lanes", notAvailable)
		}
	}
}

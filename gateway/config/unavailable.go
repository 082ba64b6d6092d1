package config

import (
	"maps"
	"slices"
)

// This file is what the configuration can say and this version does not do.
// Where ignoring it would be dangerous it is a problem, otherwise a warning.
// As a part is built, its lines here go.

const notAvailable = "not available in this version"

// unavailable reports all of it.
func (v validator) unavailable() {
	for _, name := range slices.Sorted(maps.Keys(v.Upstreams)) {
		path, u := join("upstreams", name), v.Upstreams[name]
		if u.Health != nil {
			v.warn(path+".health", "%s; servers are only checked after a connection to them has failed", notAvailable)
		}
		if u.Retry != nil {
			v.warn(path+".retry", "%s; only a request whose connection could not be made is tried on another server", notAvailable)
		}
	}
	v.unavailableBrokers()
}

func (v validator) unavailableBrokers() {
	for _, name := range slices.Sorted(maps.Keys(v.Queues)) {
		path, q := join("queues", name), v.Queues[name]
		if q.Strategy == "native" && v.Brokers[q.Broker].Type != "rabbitmq" {
			v.warn(path+".strategy", "native is %s; in effect is lanes", notAvailable)
		}
	}
}

// noTLSToUpstream refuses an https:// server.
func (v validator) noTLSToUpstream(path string) {
	v.problem(path, "write http://HOST:PORT", "https is %s", notAvailable)
}

package config

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"overtake/classifier/strictyaml"
)

// has says whether there is a listener with the role.
func (v validator) has(role string) bool {
	return slices.ContainsFunc(v.Listeners, func(l Listener) bool { return l.Role == role })
}

// validateRoles checks what inbound and outbound listeners need to be of use.
func (v validator) validateRoles() {
	for i, l := range v.Listeners {
		path := strictyaml.Item("listeners", i)
		switch l.Role {
		case Inbound:
			if len(v.Routes) == 0 && !v.Broken("routes") && !v.Broken("upstreams") {
				v.Problem(path, `add upstreams: {app: {servers: ["http://127.0.0.1:9000"]}}`, "leads to no app: there is no route and no upstream")
			}
		case Outbound:
			v.validateOutbound(path, l)
		}
	}
}

func (v validator) validateOutbound(path string, l Listener) {
	if l.TLS != nil {
		v.Problem(path+".tls", "remove it", "an app speaks plain HTTP to its sidecar; what is encrypted passes as it is")
	}
	if v.Given(path + ".trust") {
		v.Warn(path+".trust", "lets the app see Latency-Class and Server-Timing, and does not let it raise a class")
	}
	if host, _, ok := splitAddress(l.Address); ok && !local(host) {
		v.Warn(path+".address", "whoever reaches it can call what this host can; write 127.0.0.1 or [::1] for the host")
	}
	if !v.has(Inbound) && !v.has(Ingress) {
		v.Warn(path, "without an inbound listener nothing is known of the app's calls: each gets the default class or what it asks for below that")
	}
	if v.has(Inbound) || v.has(Ingress) {
		return
	}
	for i, r := range v.Routes {
		if len(r.Match.Hosts) == 0 && v.Given("routes") {
			v.Warn(strictyaml.Item("routes", i), "has no effect: an outbound listener follows only routes that name hosts")
		}
	}
}

// local says whether only this host can connect to an address.
func local(host string) bool {
	addr, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return host == "localhost" || err == nil && addr.IsLoopback()
}

func (v validator) validateProvenance() {
	v.within("provenance.max", v.Provenance.Max, 1, 10_000_000)
	if v.Provenance.Keep < time.Second {
		v.Problem("provenance.keep", "want 1s or more", "%s is too short", v.Provenance.Keep)
	}
	if v.Given("provenance") && !v.has(Outbound) {
		v.Warn("provenance", "has no effect without an outbound listener")
	}
}

package config

import (
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"
)

// The defaults that appear in more than one place.
const (
	defaultAddress  = ":8080"
	defaultAdmin    = "127.0.0.1:9901"
	defaultUpstream = "app"
	defaultBroker   = "local"
)

// defaultClasses are the classes of a configuration without any, and the
// defaults of classes that carry one of their names.
var defaultClasses = []Class{
	{Name: "interactive", MaxWait: time.Second, Objective: 25 * time.Millisecond, Reserve: Reserve{Auto: true}},
	{Name: "standard", MaxWait: 10 * time.Second, Floor: 1000},
	{Name: "batch", MaxWait: 30 * time.Second, Floor: 500},
}

// fillDefaults gives every value that was not given its default.
func fillDefaults(c *Config, src *source) {
	if len(c.Listeners) == 0 {
		c.Listeners = []Listener{{Address: defaultAddress}}
	}
	roles := map[string]bool{}
	for i := range c.Listeners {
		l := &c.Listeners[i]
		defaultListener(l, src, i, !roles[l.Role])
		roles[l.Role] = true
	}
	setDefault(src, "admin", &c.Admin, defaultAdmin)
	if len(c.Classes) == 0 {
		c.Classes = slices.Clone(defaultClasses)
	}
	for i := range c.Classes {
		defaultClass(&c.Classes[i], src, item("classes", i))
	}
	setDefault(src, "default_class", &c.DefaultClass, middleClass(c.Classes))
	for i := range c.Rules {
		setDefault(src, item("rules", i)+".name", &c.Rules[i].Name, fmt.Sprintf("rule-%d", i+1))
	}
	for name, u := range c.Upstreams {
		defaultUpstreamParts(&u, src, join("upstreams", name))
		c.Upstreams[name] = u
	}
	if len(c.Routes) == 0 && len(c.Upstreams) == 1 {
		c.Routes = []Route{{Upstream: onlyName(c.Upstreams)}}
	}
	if len(c.Queues) > 0 && len(c.Brokers) == 0 && !src.isBroken("brokers") {
		c.Brokers = map[string]Broker{defaultBroker: {Type: "nats", Embedded: true}}
	}
	for name, b := range c.Brokers {
		if b.Type == "nats" {
			defaultNATS(&b, src, join("brokers", name))
			c.Brokers[name] = b
		}
	}
	for name, q := range c.Queues {
		defaultQueue(&q, src, join("queues", name), c)
		c.Queues[name] = q
	}
	for i := range c.Relays {
		defaultRelay(&c.Relays[i], src, i, c)
	}
	defaultTracing(&c.Tracing, src)
	defaultAccessLog(&c.AccessLog, src)
	setDefault(src, "provenance.max", &c.Provenance.Max, 1_000_000)
	setDefault(src, "provenance.keep", &c.Provenance.Keep, time.Minute)
	setDefault(src, "expose", &c.Expose, "trusted")
	setDefault(src, "drain_timeout", &c.DrainTimeout, 30*time.Second)
}

func defaultTracing(t *Tracing, src *source) {
	setDefault(src, "tracing.exporter", &t.Exporter, "none")
	setDefault(src, "tracing.sample", &t.Sample, 0.01)
	setDefault(src, "tracing.propagate", &t.Propagate, []string{"b3", "b3multi", "jaeger"})
	if t.Exporter != "otlp" {
		return
	}
	protocol := "http"
	if u, err := url.Parse(t.Endpoint); err == nil && u.Port() == "4317" {
		protocol = "grpc" // its registered port
	}
	setDefault(src, "tracing.protocol", &t.Protocol, protocol)
}

func defaultNATS(b *Broker, src *source, path string) {
	setDefault(src, path+".max_bytes", &b.MaxBytes, 1<<30)
	if !b.Embedded {
		setDefault(src, path+".replicas", &b.Replicas, 1)
		return
	}
	setDefault(src, path+".dir", &b.Dir, "./overtake-data")
	setDefault(src, path+".sync", &b.Sync, "interval")
	setDefault(src, path+".memory", &b.Memory, 64<<20)
}

// peers are the networks that other hops are in: loopback, private (RFC 1918, RFC
// 4193, and RFC 6598, which clouds give to pods) and link-local.
var peers = []netip.Prefix{
	netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128"),
	netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("172.16.0.0/12"), netip.MustParsePrefix("192.168.0.0/16"),
	netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("fc00::/7"),
	netip.MustParsePrefix("169.254.0.0/16"), netip.MustParsePrefix("fe80::/10"),
}

func defaultClass(c *Class, src *source, path string) {
	d := Class{MaxWait: 10 * time.Second}
	if i := slices.IndexFunc(defaultClasses, func(d Class) bool { return d.Name == c.Name }); i >= 0 {
		d = defaultClasses[i]
	}
	setDefault(src, path+".objective", &c.Objective, d.Objective)
	if c.Objective > 0 {
		setDefault(src, path+".reserve", &c.Reserve, d.Reserve)
		setDefault(src, path+".overload", &c.Overload, "newest_first")
	}
	setDefault(src, path+".floor", &c.Floor, d.Floor)
	setDefault(src, path+".max_wait", &c.MaxWait, d.MaxWait)
	setDefault(src, path+".max_waiting", &c.MaxWaiting, 1000)
	setDefault(src, path+".max_waiting_bytes", &c.MaxWaitingBytes, 64<<20)
}

// middleClass chooses the class of requests that nothing is known about:
// standard, or what stands where standard would.
func middleClass(classes []Class) string {
	if slices.ContainsFunc(classes, func(c Class) bool { return c.Name == "standard" }) {
		return "standard"
	}
	return classes[len(classes)/2].Name
}

func defaultUpstreamParts(u *Upstream, src *source, path string) {
	for i, server := range u.Servers {
		u.Servers[i] = strings.TrimSuffix(server, "/")
	}
	setDefault(src, path+".timeout", &u.Timeout, 30*time.Second)
	defaultLimit(&u.Limit, src, path+".limit")
	if u.Health != nil {
		setDefault(src, path+".health.path", &u.Health.Path, "/")
		setDefault(src, path+".health.interval", &u.Health.Interval, 2*time.Second)
		setDefault(src, path+".health.timeout", &u.Health.Timeout, 2*time.Second)
		setDefault(src, path+".health.failures", &u.Health.Failures, 3)
		setDefault(src, path+".health.successes", &u.Health.Successes, 2)
	}
	setDefault(src, path+".eject.failures", &u.Eject.Failures, 5)
	setDefault(src, path+".eject.for", &u.Eject.For, 10*time.Second)
	setDefault(src, path+".eject.ramp", &u.Eject.Ramp, 10*time.Second)
	if u.Retry != nil {
		setDefault(src, path+".retry.attempts", &u.Retry.Attempts, 2)
		setDefault(src, path+".retry.budget", &u.Retry.Budget, 1000)
	}
}

func defaultLimit(l *Limit, src *source, path string) {
	mode := "adaptive"
	if src.given(path+".max") && !src.given(path+".initial") && !src.given(path+".min") {
		mode = "fixed" // max alone is the limit
	}
	setDefault(src, path+".mode", &l.Mode, mode)
	switch l.Mode {
	case "fixed":
		setDefault(src, path+".max", &l.Max, 64)
	case "adaptive":
		setDefault(src, path+".max", &l.Max, max(512, l.Initial, l.Min))
		least := min(2, l.Max)
		if src.given(path + ".initial") {
			least = min(least, l.Initial)
		}
		setDefault(src, path+".min", &l.Min, max(1, least))
		setDefault(src, path+".initial", &l.Initial, max(min(16, l.Max), l.Min))
	}
}

func defaultQueue(q *Queue, src *source, path string, c *Config) {
	broker := defaultBroker
	if len(c.Brokers) == 1 {
		broker = onlyName(c.Brokers)
	}
	setDefault(src, path+".broker", &q.Broker, broker)
	setDefault(src, path+".attempts", &q.Attempts, 5)
	setDefault(src, path+".strategy", &q.Strategy, "lanes")
	setDefault(src, path+".max_body", &q.MaxBody, 1<<20)
	if c.Brokers[q.Broker].Type == "rabbitmq" {
		kind := "quorum"
		if q.Strategy == "native" {
			kind = "classic"
		}
		setDefault(src, path+".queue_type", &q.QueueType, kind)
		setDefault(src, path+".lane_bytes", &q.LaneBytes, 256<<20)
	}
	setDefault(src, path+".dead", &q.Dead, []Status{"3xx", "4xx"})
	setDefault(src, path+".results", &q.Results, resultsBroker(q.Broker, c))
	setDefault(src, path+".keep_results", &q.KeepResults, time.Hour)
	setDefault(src, path+".max_answer", &q.MaxAnswer, 64<<20)
	if q.Deliver != nil && len(c.Upstreams) == 1 {
		setDefault(src, path+".deliver.upstream", &q.Deliver.Upstream, onlyName(c.Upstreams))
	}
}

func defaultRelay(r *Relay, src *source, i int, c *Config) {
	path := item("relays", i)
	setDefault(src, path+".name", &r.Name, fmt.Sprintf("relay-%d", i+1))
	setDefault(src, path+".window", &r.Window, 512)
	if len(c.Queues) == 1 {
		setDefault(src, path+".queue", &r.Queue, onlyName(c.Queues))
	}
	if len(c.Brokers) == 1 {
		setDefault(src, path+".from.broker", &r.From.Broker, onlyName(c.Brokers))
	}
	if r.From.Stream == "" && r.From.Subject != "" {
		setDefault(src, path+".from.group", &r.From.Group, "overtake")
	}
}

// onlyName returns the name of the only element of m.
func onlyName[T any](m map[string]T) string {
	return slices.Collect(maps.Keys(m))[0]
}

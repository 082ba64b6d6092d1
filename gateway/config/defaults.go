package config

import (
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"overtake/classifier/strictyaml"
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
func fillDefaults(c *Config, src *strictyaml.Source) {
	if len(c.Listeners) == 0 {
		c.Listeners = []Listener{{Address: defaultAddress}}
	}
	roles := map[string]bool{}
	for i := range c.Listeners {
		l := &c.Listeners[i]
		defaultListener(l, src, i, !roles[l.Role])
		roles[l.Role] = true
	}
	strictyaml.SetDefault(src, "admin", &c.Admin, defaultAdmin)
	if len(c.Classes) == 0 {
		c.Classes = slices.Clone(defaultClasses)
	}
	for i := range c.Classes {
		defaultClass(&c.Classes[i], src, strictyaml.Item("classes", i))
	}
	strictyaml.SetDefault(src, "default_class", &c.DefaultClass, middleClass(c.Classes))
	for i := range c.Rules {
		strictyaml.SetDefault(src, strictyaml.Item("rules", i)+".name", &c.Rules[i].Name, fmt.Sprintf("rule-%d", i+1))
	}
	for name, u := range c.Upstreams {
		defaultUpstreamParts(&u, src, strictyaml.Join("upstreams", name))
		c.Upstreams[name] = u
	}
	if len(c.Routes) == 0 && len(c.Upstreams) == 1 {
		c.Routes = []Route{{Upstream: onlyName(c.Upstreams)}}
	}
	if len(c.Queues) > 0 && len(c.Brokers) == 0 && !src.Broken("brokers") {
		c.Brokers = map[string]Broker{defaultBroker: {Type: "nats", Embedded: true}}
	}
	for name, b := range c.Brokers {
		if b.Type == "nats" {
			defaultNATS(&b, src, strictyaml.Join("brokers", name))
			c.Brokers[name] = b
		}
	}
	for name, q := range c.Queues {
		defaultQueue(&q, src, strictyaml.Join("queues", name), c)
		c.Queues[name] = q
	}
	for i := range c.Relays {
		defaultRelay(&c.Relays[i], src, i, c)
	}
	defaultTracing(&c.Tracing, src)
	defaultAccessLog(&c.AccessLog, src)
	strictyaml.SetDefault(src, "provenance.max", &c.Provenance.Max, 1_000_000)
	strictyaml.SetDefault(src, "provenance.keep", &c.Provenance.Keep, time.Minute)
	strictyaml.SetDefault(src, "expose", &c.Expose, "trusted")
	strictyaml.SetDefault(src, "drain_timeout", &c.DrainTimeout, 30*time.Second)
}

func defaultTracing(t *Tracing, src *strictyaml.Source) {
	strictyaml.SetDefault(src, "tracing.exporter", &t.Exporter, "none")
	strictyaml.SetDefault(src, "tracing.sample", &t.Sample, 0.01)
	strictyaml.SetDefault(src, "tracing.propagate", &t.Propagate, []string{"b3", "b3multi", "jaeger"})
	if t.Exporter != "otlp" {
		return
	}
	protocol := "http"
	if u, err := url.Parse(t.Endpoint); err == nil && u.Port() == "4317" {
		protocol = "grpc" // its registered port
	}
	strictyaml.SetDefault(src, "tracing.protocol", &t.Protocol, protocol)
}

func defaultNATS(b *Broker, src *strictyaml.Source, path string) {
	strictyaml.SetDefault(src, path+".max_bytes", &b.MaxBytes, 1<<30)
	if !b.Embedded {
		strictyaml.SetDefault(src, path+".replicas", &b.Replicas, 1)
		return
	}
	strictyaml.SetDefault(src, path+".dir", &b.Dir, "./overtake-data")
	strictyaml.SetDefault(src, path+".sync", &b.Sync, "interval")
	strictyaml.SetDefault(src, path+".memory", &b.Memory, 64<<20)
}

// peers are the networks that other hops are in: loopback, private (RFC 1918, RFC
// 4193, and RFC 6598, which clouds give to pods) and link-local.
var peers = []netip.Prefix{
	netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128"),
	netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("172.16.0.0/12"), netip.MustParsePrefix("192.168.0.0/16"),
	netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("fc00::/7"),
	netip.MustParsePrefix("169.254.0.0/16"), netip.MustParsePrefix("fe80::/10"),
}

func defaultClass(c *Class, src *strictyaml.Source, path string) {
	d := Class{MaxWait: 10 * time.Second}
	if i := slices.IndexFunc(defaultClasses, func(d Class) bool { return d.Name == c.Name }); i >= 0 {
		d = defaultClasses[i]
	}
	strictyaml.SetDefault(src, path+".objective", &c.Objective, d.Objective)
	if c.Objective > 0 {
		strictyaml.SetDefault(src, path+".reserve", &c.Reserve, d.Reserve)
		strictyaml.SetDefault(src, path+".overload", &c.Overload, "newest_first")
	}
	strictyaml.SetDefault(src, path+".floor", &c.Floor, d.Floor)
	strictyaml.SetDefault(src, path+".max_wait", &c.MaxWait, d.MaxWait)
	strictyaml.SetDefault(src, path+".max_waiting", &c.MaxWaiting, 1000)
	strictyaml.SetDefault(src, path+".max_waiting_bytes", &c.MaxWaitingBytes, 64<<20)
}

// middleClass chooses the class of requests that nothing is known about:
// standard, or what stands where standard would.
func middleClass(classes []Class) string {
	if slices.ContainsFunc(classes, func(c Class) bool { return c.Name == "standard" }) {
		return "standard"
	}
	return classes[len(classes)/2].Name
}

func defaultUpstreamParts(u *Upstream, src *strictyaml.Source, path string) {
	for i, server := range u.Servers {
		u.Servers[i] = strings.TrimSuffix(server, "/")
	}
	strictyaml.SetDefault(src, path+".timeout", &u.Timeout, 30*time.Second)
	defaultLimit(&u.Limit, src, path+".limit")
	if u.Health != nil {
		strictyaml.SetDefault(src, path+".health.path", &u.Health.Path, "/")
		strictyaml.SetDefault(src, path+".health.interval", &u.Health.Interval, 2*time.Second)
		strictyaml.SetDefault(src, path+".health.timeout", &u.Health.Timeout, 2*time.Second)
		strictyaml.SetDefault(src, path+".health.failures", &u.Health.Failures, 3)
		strictyaml.SetDefault(src, path+".health.successes", &u.Health.Successes, 2)
	}
	strictyaml.SetDefault(src, path+".eject.failures", &u.Eject.Failures, 5)
	strictyaml.SetDefault(src, path+".eject.for", &u.Eject.For, 10*time.Second)
	strictyaml.SetDefault(src, path+".eject.ramp", &u.Eject.Ramp, 10*time.Second)
	if u.Retry != nil {
		strictyaml.SetDefault(src, path+".retry.attempts", &u.Retry.Attempts, 2)
		strictyaml.SetDefault(src, path+".retry.budget", &u.Retry.Budget, 1000)
	}
}

func defaultLimit(l *Limit, src *strictyaml.Source, path string) {
	mode := "adaptive"
	if src.Given(path+".max") && !src.Given(path+".initial") && !src.Given(path+".min") {
		mode = "fixed" // max alone is the limit
	}
	strictyaml.SetDefault(src, path+".mode", &l.Mode, mode)
	switch l.Mode {
	case "fixed":
		strictyaml.SetDefault(src, path+".max", &l.Max, 64)
	case "adaptive":
		strictyaml.SetDefault(src, path+".max", &l.Max, max(512, l.Initial, l.Min))
		least := min(2, l.Max)
		if src.Given(path + ".initial") {
			least = min(least, l.Initial)
		}
		strictyaml.SetDefault(src, path+".min", &l.Min, max(1, least))
		strictyaml.SetDefault(src, path+".initial", &l.Initial, max(min(16, l.Max), l.Min))
	}
}

func defaultQueue(q *Queue, src *strictyaml.Source, path string, c *Config) {
	broker := defaultBroker
	if len(c.Brokers) == 1 {
		broker = onlyName(c.Brokers)
	}
	strictyaml.SetDefault(src, path+".broker", &q.Broker, broker)
	strictyaml.SetDefault(src, path+".attempts", &q.Attempts, 5)
	strictyaml.SetDefault(src, path+".strategy", &q.Strategy, "lanes")
	strictyaml.SetDefault(src, path+".max_body", &q.MaxBody, 1<<20)
	if c.Brokers[q.Broker].Type == "rabbitmq" {
		kind := "quorum"
		if q.Strategy == "native" {
			kind = "classic"
		}
		strictyaml.SetDefault(src, path+".queue_type", &q.QueueType, kind)
		strictyaml.SetDefault(src, path+".lane_bytes", &q.LaneBytes, 256<<20)
	}
	strictyaml.SetDefault(src, path+".dead", &q.Dead, []Status{"3xx", "4xx"})
	strictyaml.SetDefault(src, path+".results", &q.Results, resultsBroker(q.Broker, c))
	strictyaml.SetDefault(src, path+".keep_results", &q.KeepResults, time.Hour)
	strictyaml.SetDefault(src, path+".max_answer", &q.MaxAnswer, 64<<20)
	if q.Deliver != nil && len(c.Upstreams) == 1 {
		strictyaml.SetDefault(src, path+".deliver.upstream", &q.Deliver.Upstream, onlyName(c.Upstreams))
	}
}

func defaultRelay(r *Relay, src *strictyaml.Source, i int, c *Config) {
	path := strictyaml.Item("relays", i)
	strictyaml.SetDefault(src, path+".name", &r.Name, fmt.Sprintf("relay-%d", i+1))
	strictyaml.SetDefault(src, path+".window", &r.Window, 512)
	if len(c.Queues) == 1 {
		strictyaml.SetDefault(src, path+".queue", &r.Queue, onlyName(c.Queues))
	}
	if len(c.Brokers) == 1 {
		strictyaml.SetDefault(src, path+".from.broker", &r.From.Broker, onlyName(c.Brokers))
	}
	if r.From.Stream == "" && r.From.Subject != "" {
		strictyaml.SetDefault(src, path+".from.group", &r.From.Group, "overtake")
	}
}

// onlyName returns the name of the only element of m.
func onlyName[T any](m map[string]T) string {
	return slices.Collect(maps.Keys(m))[0]
}

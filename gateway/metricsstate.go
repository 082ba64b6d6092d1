package gateway

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"overtake/scheduler"
	"overtake/tracing"
)

// stateCollector reads what schedulers and lanes know at the time of a scrape.
type stateCollector struct{ g *Gateway }

var (
	descInflight  = desc("overtake_inflight", "Slots in use.", "upstream", "class")
	descLimit     = desc("overtake_limit", "Slots of all servers in use.", "upstream")
	descLimitMin  = desc("overtake_limit_min", "The least that an adaptive limit can be with the servers in use.", "upstream")
	descObjective = desc("overtake_objective_seconds", "The wanted p99 of the time that a class waits for slots.", "class")
	descReady     = desc("overtake_ready", "1 if new requests and jobs will be served, as far as is known, else 0.")
	descQueueUp   = desc("overtake_queue_up", "Whether a queue's broker takes messages and tells the states of jobs: 1 or 0.", "queue")
	descReserve   = desc("overtake_reserve", "Slots kept from less urgent classes; may be a fraction.", "upstream", "class")
	descWaiting   = desc("overtake_waiting", "Requests and lanes that wait for a slot.", "upstream", "class")
	descServerUp  = desc("overtake_server_up", "Whether a server gets requests: 1, or 0 while it is down or ejected.", "upstream", "server")
	descRetries   = desc("overtake_retries_total", "Requests that failed on one server, by what became of them on another.", "upstream", "result")
	descShed      = desc("overtake_shed_total", "Requests refused by the scheduler.", "upstream", "class", "reason")
	descOvertakes = desc("overtake_overtakes_total", "Dispatches before something that came earlier.", "upstream", "class")
	descRefused   = desc("overtake_socket_refused_total", "Times that a socket did not get what its class says.", "option")
	descSpans     = desc("overtake_spans_total", "Spans of this process, by what became of them.", "result")
	descOrigins   = desc("overtake_provenance_entries", "Requests that are remembered for the calls of the app.")
	descCalls     = desc("overtake_provenance_calls_total", "Calls of the app, by what told for which request they are.", "found_by")
	descForgotten = desc("overtake_provenance_evicted_total", "Requests that were forgotten before their time, for lack of room.")
	descUnlogged  = desc("overtake_access_log_dropped_total", "Lines of the access log that were lost: the file or stream took them too slowly, or not at all.")
	descExpiry    = desc("overtake_certificate_expiry_timestamp_seconds", "When a certificate that a listener shows expires, in Unix time.", "listener", "certificate")
	descDepth     = desc("overtake_lane_depth", "Messages that wait in a lane.", "queue", "class")
)

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, labels, nil)
}

// Describe implements prometheus.Collector.
func (s stateCollector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		descInflight, descLimit, descLimitMin, descObjective, descReady, descQueueUp, descReserve, descWaiting, descServerUp, descRetries, descShed,
		descOvertakes, descRefused, descSpans, descOrigins, descCalls, descForgotten, descUnlogged, descExpiry, descDepth,
	} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (s stateCollector) Collect(out chan<- prometheus.Metric) {
	gen := s.g.present.Load()
	for _, class := range gen.config.Classes {
		if class.Objective > 0 {
			gauge(out, descObjective, class.Objective.Seconds(), class.Name)
		}
	}
	for _, u := range gen.upstreams {
		u.collect(out, gen)
	}
	for _, l := range s.g.listeners {
		if c := l.settings.Load().certificates; c != nil {
			for file, leaf := range c.leaves() {
				gauge(out, descExpiry, float64(leaf.NotAfter.Unix()), l.name, strings.ToValidUTF8(file, "\uFFFD")) // a path may be any bytes
			}
		}
	}
	s.counters(out)
	s.readiness(out, gen)
}

// A gauge and a count of the moment.
func gauge(out chan<- prometheus.Metric, d *prometheus.Desc, v float64, labels ...string) {
	out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
}

func count(out chan<- prometheus.Metric, d *prometheus.Desc, v uint64, labels ...string) {
	out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
}

// oneIf is how a gauge says yes or no.
func oneIf(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}

// collect tells what the upstream's scheduler and servers know.
func (u *upstream) collect(out chan<- prometheus.Metric, gen *generation) {
	snap := u.scheduler.Snapshot()
	gauge(out, descLimit, float64(snap.Limit), u.name)
	if l := gen.config.Upstreams[u.name].Limit; l.Mode == "adaptive" && l.Min < l.Max {
		least := 0
		for i := range snap.Servers {
			if !snap.Servers[i].Down {
				least += l.Min
			}
		}
		gauge(out, descLimitMin, float64(least), u.name)
	}
	for i, h := range u.standings() {
		gauge(out, descServerUp, oneIf(h.serves()), u.name, u.servers[i].name)
	}
	for result := range numRetryResults {
		count(out, descRetries, u.retries[result].Load(), u.name, result.String())
	}
	for i, class := range gen.classes.Names() {
		c := &snap.Classes[i]
		gauge(out, descInflight, float64(c.Running), u.name, class)
		gauge(out, descReserve, c.Reserve, u.name, class)
		gauge(out, descWaiting, float64(c.Waiting), u.name, class)
		count(out, descOvertakes, c.Overtakes, u.name, class)
		for _, reason := range scheduler.Reasons() {
			count(out, descShed, c.ShedBy(reason), u.name, class, reason.String())
		}
	}
}

// counters tells what others than the metrics count.
func (s stateCollector) counters(out chan<- prometheus.Metric) {
	for option, n := range s.g.sockets.Refused() {
		count(out, descRefused, n, option)
	}
	if s.g.tracer != nil {
		stats := s.g.tracer.Stats()
		count(out, descSpans, stats.Exported, "exported")
		count(out, descSpans, stats.Dropped, "dropped")
		count(out, descSpans, stats.Failed, "failed")
	}
	if s.g.access != nil {
		count(out, descUnlogged, s.g.access.dropped())
	}
	if s.g.provenance != nil {
		stats := s.g.provenance.Stats(time.Now())
		gauge(out, descOrigins, float64(stats.Entries))
		count(out, descForgotten, stats.Evicted)
		count(out, descCalls, stats.Missed, originNone)
		for key, n := range stats.Found {
			count(out, descCalls, n, tracing.ProvenanceKey(key).String())
		}
	}
}

// readiness asks the brokers, all at once: one that hangs takes the time of no other.
// Servers are not asked but by /readyz: what is known of them goes for each scrape.
func (s stateCollector) readiness(out chan<- prometheus.Metric, gen *generation) {
	var asking sync.WaitGroup
	var problems atomic.Int32
	if s.g.draining.Load() {
		problems.Add(1)
	}
	for _, u := range gen.upstreams {
		if !slices.ContainsFunc(u.standings(), func(h health) bool { return h.standing != serverDown }) {
			problems.Add(1)
		}
	}
	for _, q := range s.g.queues {
		asking.Go(func() {
			said := s.g.readingOf(q)
			for class, n := range said.depths {
				gauge(out, descDepth, float64(n), q.name, class)
			}
			if said.err != nil {
				problems.Add(1)
				s.g.log.Debug("a queue does not serve", "queue", q.name, "error", said.err)
			}
			gauge(out, descQueueUp, oneIf(said.err == nil), q.name)
		})
	}
	asking.Wait()
	gauge(out, descReady, oneIf(problems.Load() == 0))
}

package gateway

import (
	"context"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"overtake/gateway/config"
	"overtake/scheduler"
	"overtake/tracing"
)

// metrics are those of the contract. Labels are bounded by the configuration,
// never by what clients send.
type metrics struct {
	registry    *prometheus.Registry
	requests    *series[answered, prometheus.Counter]
	seconds     *series[string, prometheus.Observer]
	queueWait   *series[[2]string, prometheus.Observer]
	deliveries  *prometheus.CounterVec
	messageWait *prometheus.HistogramVec
	classified  *series[[2]string, prometheus.Counter]
	turnedAway  *prometheus.CounterVec
	dryRuns     *prometheus.CounterVec
	exprErrors  *prometheus.CounterVec

	reloads      *prometheus.CounterVec
	reloadedWell prometheus.Gauge
	reloadedAt   prometheus.Gauge
}

// answered is what overtake_requests_total tells apart.
type answered struct {
	listener, class string
	status          int
}

// waitBuckets reach from what a waiting time is when nothing waits to the
// longest max_wait, a factor of two apart.
var waitBuckets = prometheus.ExponentialBuckets(0.0005, 2, 18)

func newMetrics(g *Gateway) *metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	histogram := func(name, help string, labels ...string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: waitBuckets}, labels)
	}
	requests := counter("overtake_requests_total", "Requests answered.", "listener", "class", "code")
	seconds := histogram("overtake_request_seconds", "Time from a request's header to the end of its answer.", "class")
	queueWait := histogram("overtake_queue_wait_seconds", "Time a request waited for a slot.", "upstream", "class")
	classified := counter("overtake_classified_total", "Decisions, by the rule that made them.", "rule", "class")
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: newSeries(requests.MetricVec, func(a answered) prometheus.Counter {
			return requests.WithLabelValues(a.listener, a.class, strconv.Itoa(a.status))
		}),
		seconds:     newSeries(seconds.MetricVec, func(class string) prometheus.Observer { return seconds.WithLabelValues(class) }),
		queueWait:   newSeries(queueWait.MetricVec, func(of [2]string) prometheus.Observer { return queueWait.WithLabelValues(of[:]...) }),
		deliveries:  counter("overtake_deliveries_total", "Deliveries of messages, by what became of them.", "queue", "class", "result"),
		messageWait: histogram("overtake_message_wait_seconds", "Time a message waited from its publication to its dispatch.", "queue", "class"),
		classified:  newSeries(classified.MetricVec, func(by [2]string) prometheus.Counter { return classified.WithLabelValues(by[:]...) }),
		turnedAway:  counter("overtake_connections_refused_total", "Connections of clients that got no request served.", "listener", "cause"),
		dryRuns:     counter("overtake_rule_dry_run_total", "Decisions that rules in dry run would have made.", "rule", "class"),
		exprErrors:  counter("overtake_expr_errors_total", "Expressions of rules and routes that could not be evaluated, which counts as false.", "rule"),
		reloads:     counter("overtake_reloads_total", "Times that the configuration was read again, by what became of it.", "result"),
		reloadedWell: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "overtake_config_last_reload_successful", Help: "1 if what was read last is in effect, else 0.",
		}),
		reloadedAt: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "overtake_config_last_reload_success_timestamp_seconds", Help: "When the configuration in effect was read.",
		}),
	}
	m.reloads.WithLabelValues(reloadFailed)
	m.reloads.WithLabelValues(reloadDone)
	m.registry.MustRegister(m.requests, m.seconds, m.queueWait, m.deliveries, m.messageWait, m.classified, m.dryRuns, m.exprErrors, m.turnedAway,
		m.reloads, m.reloadedWell, m.reloadedAt,
		stateCollector{g}, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func (m *metrics) finished(listener, class string, status int, took time.Duration) {
	m.requests.of(answered{listener, class, status}).Inc()
	m.seconds.of(class).Observe(took.Seconds())
}

// DryRun implements classifier.Observer.
func (m *metrics) DryRun(rule, class string) { m.dryRuns.WithLabelValues(rule, class).Inc() }

// ExprFailed implements classifier.Observer.
func (m *metrics) ExprFailed(rule string) { m.exprErrors.WithLabelValues(rule).Inc() }

func (m *metrics) waited(upstream, class string, d time.Duration) {
	m.queueWait.of([2]string{upstream, class}).Observe(d.Seconds())
}

func (m *metrics) messageWaited(queue, class string, d time.Duration) {
	m.messageWait.WithLabelValues(queue, class).Observe(d.Seconds())
}

// The results of a reload.
const (
	reloadDone   = "success"
	reloadFailed = "failure"
)

// configured notes that a configuration is in effect since at.
func (m *metrics) configured(at time.Time) {
	m.reloadedWell.Set(1)
	m.reloadedAt.Set(float64(at.UnixMilli()) / 1000)
}

// forget drops what was counted under names of a configuration that are not in the
// present one.
func (m *metrics) forget(old, present *config.Config) {
	for name := range old.Upstreams {
		if _, ok := present.Upstreams[name]; !ok {
			m.queueWait.forget(prometheus.Labels{"upstream": name})
		}
	}
	gone := make(map[string]bool)
	for _, rule := range rulesOfMetrics(old) {
		gone[rule] = true
	}
	for _, rule := range rulesOfMetrics(present) {
		delete(gone, rule)
	}
	for rule := range gone {
		labels := prometheus.Labels{"rule": rule}
		m.classified.forget(labels)
		m.dryRuns.DeletePartialMatch(labels)
		m.exprErrors.DeletePartialMatch(labels)
	}
}

// rulesOfMetrics are the rules of a configuration, and the routes, as they are
// called where their expressions fail.
func rulesOfMetrics(cfg *config.Config) (names []string) {
	for _, r := range cfg.Rules {
		names = append(names, r.Name)
	}
	for i := range cfg.Routes {
		names = append(names, routeName(i))
	}
	return names
}

// stateCollector reads what schedulers and lanes know at the time of a scrape.
type stateCollector struct{ g *Gateway }

var (
	descInflight  = desc("overtake_inflight", "Slots in use.", "upstream", "class")
	descLimit     = desc("overtake_limit", "Slots of all servers in use.", "upstream")
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
	descDepth     = desc("overtake_lane_depth", "Messages that wait in a lane.", "queue", "class")
)

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, labels, nil)
}

// Describe implements prometheus.Collector.
func (s stateCollector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		descInflight, descLimit, descReserve, descWaiting, descServerUp, descRetries, descShed, descOvertakes, descRefused, descSpans, descOrigins, descCalls, descForgotten, descUnlogged, descDepth,
	} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (s stateCollector) Collect(out chan<- prometheus.Metric) {
	fraction := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	gauge := func(d *prometheus.Desc, v int, labels ...string) { fraction(d, float64(v), labels...) }
	count := func(d *prometheus.Desc, v uint64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	gen := s.g.present.Load()
	for name, u := range gen.upstreams {
		snap := u.scheduler.Snapshot()
		gauge(descLimit, snap.Limit, name)
		for i, h := range u.standings() {
			up := 0
			if h.serves() {
				up = 1
			}
			gauge(descServerUp, up, name, u.servers[i].name)
		}
		for result := range numRetryResults {
			count(descRetries, u.retries[result].Load(), name, result.String())
		}
		for i, class := range gen.classes.Names() {
			c := &snap.Classes[i]
			gauge(descInflight, c.Running, name, class)
			fraction(descReserve, c.Reserve, name, class)
			gauge(descWaiting, c.Waiting, name, class)
			count(descOvertakes, c.Overtakes, name, class)
			for _, reason := range scheduler.Reasons() {
				count(descShed, c.ShedBy(reason), name, class, reason.String())
			}
		}
	}
	for option, n := range s.g.sockets.Refused() {
		count(descRefused, n, option)
	}
	if s.g.tracer != nil {
		stats := s.g.tracer.Stats()
		count(descSpans, stats.Exported, "exported")
		count(descSpans, stats.Dropped, "dropped")
		count(descSpans, stats.Failed, "failed")
	}
	if s.g.access != nil {
		count(descUnlogged, s.g.access.dropped())
	}
	if s.g.provenance != nil {
		stats := s.g.provenance.Stats(time.Now())
		gauge(descOrigins, stats.Entries)
		count(descForgotten, stats.Evicted)
		count(descCalls, stats.Missed, originNone)
		for key, n := range stats.Found {
			count(descCalls, n, tracing.ProvenanceKey(key).String())
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), depthPatience)
	defer cancel()
	for name, q := range s.g.queues {
		depths, err := q.Depths(ctx)
		if err != nil {
			s.g.log.Debug("lane depths unknown", "queue", name, "error", err)
			continue
		}
		for class, n := range depths {
			gauge(descDepth, n, name, class)
		}
	}
}

// depthPatience is how long a scrape or a readiness check waits for the broker.
const depthPatience = 2 * time.Second

package gateway

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"overtake/gateway/config"
)

// metrics are those of the contract. Labels are bounded by the configuration,
// never by what clients send.
type metrics struct {
	registry    *prometheus.Registry
	requests    *series[answered, prometheus.Counter]
	failures    *series[failed, prometheus.Counter]
	seconds     *timings[string]
	queueWait   *timings[[2]string]
	deliveries  *prometheus.CounterVec
	jobsRefused *prometheus.CounterVec
	messageWait *timings[[2]string]
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

// failed is what overtake_request_failures_total tells apart.
type failed struct{ upstream, class, reason string }

func newMetrics(g *Gateway, version string) *metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	gauge := func(name, help string, labels prometheus.Labels) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help, ConstLabels: labels})
	}
	pair := func(of [2]string) []string { return of[:] }
	requests := counter("overtake_requests_total", "Requests answered.", "listener", "class", "code")
	failures := counter("overtake_request_failures_total", "Requests that did not get the app's whole answer, by why.", "upstream", "class", "reason")
	classified := counter("overtake_classified_total", "Decisions, by the rule that made them.", "rule", "class")
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: newSeries(requests.MetricVec, func(a answered) prometheus.Counter {
			return requests.WithLabelValues(a.listener, a.class, strconv.Itoa(a.status))
		}),
		failures: newSeries(failures.MetricVec, func(f failed) prometheus.Counter {
			return failures.WithLabelValues(f.upstream, f.class, f.reason)
		}),
		seconds: newTimings("overtake_request_seconds", "Time from a request's header to the end of its answer.",
			func(class string) []string { return []string{class} }, "class"),
		queueWait:   newTimings("overtake_queue_wait_seconds", "Time a request waited for a slot.", pair, "upstream", "class"),
		deliveries:  counter("overtake_deliveries_total", "Deliveries of messages, by what became of them.", "queue", "class", "result"),
		jobsRefused: counter("overtake_jobs_refused_total", "Requests for a queue that did not become jobs, by why.", "queue", "class", "reason"),
		messageWait: newTimings("overtake_message_wait_seconds", "Time a message waited from its publication to its dispatch.", pair, "queue", "class"),
		classified:  newSeries(classified.MetricVec, func(by [2]string) prometheus.Counter { return classified.WithLabelValues(by[:]...) }),
		turnedAway:  counter("overtake_connections_refused_total", "Connections of clients that got no request served.", "listener", "cause"),
		dryRuns:     counter("overtake_rule_dry_run_total", "Decisions that rules in dry run would have made.", "rule", "class"),
		exprErrors:  counter("overtake_expr_errors_total", "Expressions of rules and routes that could not be evaluated, which counts as false.", "rule"),
		reloads:     counter("overtake_reloads_total", "Times that the configuration was read again, by what became of it.", "result"),

		reloadedWell: gauge("overtake_config_last_reload_successful", "1 if what was read last is in effect, else 0.", nil),
		reloadedAt:   gauge("overtake_config_last_reload_success_timestamp_seconds", "When the configuration in effect was read.", nil),
	}
	build := gauge("overtake_build_info", "1, with the version of the program.", prometheus.Labels{"version": version})
	build.Set(1)
	m.registry.MustRegister(m.requests, m.failures, m.seconds, m.queueWait, m.deliveries, m.jobsRefused, m.messageWait, m.classified, m.dryRuns, m.exprErrors,
		m.turnedAway, m.reloads, m.reloadedWell, m.reloadedAt, build,
		stateCollector{g}, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// begin has counters say 0 whose first increase is worth an alert: to Prometheus, one
// that appears with a 1 has not increased.
func (m *metrics) begin(cfg *config.Config) {
	for _, result := range []string{reloadFailed, reloadDone} {
		m.reloads.WithLabelValues(result)
	}
	for _, l := range cfg.Listeners {
		for _, cause := range causes {
			m.turnedAway.WithLabelValues(l.Name, cause)
		}
	}
	for queue := range cfg.Queues {
		for _, class := range cfg.Classes {
			for _, result := range deliveryResults {
				m.deliveries.WithLabelValues(queue, class.Name, result)
			}
			for _, reason := range []string{reasonQueueFull, reasonBrokerUnavailable} {
				m.jobsRefused.WithLabelValues(queue, class.Name, reason)
			}
		}
	}
}

func (m *metrics) finished(listener, class string, status int, took time.Duration) {
	m.requests.of(answered{listener, class, status}).Inc()
	m.seconds.of(class).observe(took)
}

// unserved counts what was refused before anything was known of it.
func (m *metrics) unserved(listener string, status int) {
	m.finished(listener, "", status, 0)
	m.failures.of(failed{reason: reasonBadRequest}).Inc()
}

// failed counts a request that did not get the app's whole answer. Where the app calls
// is not in its configuration, and would be a label without bounds.
func (m *metrics) failed(r *request, class, reason string) {
	f := failed{class: class, reason: reason}
	if r.upstream != nil && !r.upstream.unrouted {
		f.upstream = r.upstream.name
	}
	m.failures.of(f).Inc()
}

// recorded names the trace of a request, which was recorded, where its times were
// counted.
func (m *metrics) recorded(now time.Time, class string, r *request) {
	m.seconds.of(class).recorded(r.trail.TraceID, now.Sub(r.started), now)
	if r.counted {
		m.queueWait.of([2]string{r.upstream.name, class}).recorded(r.trail.TraceID, r.wait, now)
	}
}

// DryRun implements classifier.Observer.
func (m *metrics) DryRun(rule, class string) { m.dryRuns.WithLabelValues(rule, class).Inc() }

// ExprFailed implements classifier.Observer.
func (m *metrics) ExprFailed(rule string) { m.exprErrors.WithLabelValues(rule).Inc() }

func (m *metrics) waited(upstream, class string, d time.Duration) {
	m.queueWait.of([2]string{upstream, class}).observe(d)
}

func (m *metrics) messageWaited(queue, class string, d time.Duration) {
	m.messageWait.of([2]string{queue, class}).observe(d)
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
			labels := prometheus.Labels{"upstream": name}
			m.queueWait.forget(labels, func(k [2]string) bool { return k[0] == name })
			m.failures.forget(labels, func(f failed) bool { return f.upstream == name })
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
		m.classified.forget(labels, func(by [2]string) bool { return by[0] == rule })
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

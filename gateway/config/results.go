package config

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"overtake/classifier/strictyaml"
)

// resultsBroker is where the results of a queue on the named broker are kept by
// default; "" when there is no nats broker, or a choice.
func resultsBroker(broker string, c *Config) string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(c.Brokers)) {
		if c.Brokers[name].Type == "nats" {
			all = append(all, name)
		}
	}
	if slices.Contains(all, broker) {
		return broker
	}
	if len(all) == 1 {
		return all[0]
	}
	return ""
}

// KeepsResults says whether a broker keeps the results of any queue.
func (c *Config) KeepsResults(broker string) bool {
	for _, q := range c.Queues {
		if q.Results == broker {
			return true
		}
	}
	return false
}

// LongestKept is how long a broker keeps results for the queue that wants it
// longest.
func (c *Config) LongestKept(broker string) (longest time.Duration) {
	for _, q := range c.Queues {
		if q.Results == broker {
			longest = max(longest, q.KeepResults)
		}
	}
	return longest
}

// IsDead says whether an answer with the status makes a message dead.
func (q Queue) IsDead(status int) bool {
	s := strconv.Itoa(status)
	if slices.Contains(q.Dead, Status(s)) {
		return true
	}
	return status != 429 && status != 503 && slices.Contains(q.Dead, Status(s[:1]+"xx"))
}

// String returns the status as it is written.
func (s Status) String() string { return string(s) }

// Wanted implements [strictyaml.Wanter].
func (Status) Wanted() string { return "a status" }

// UnmarshalText reads a number from 300 to 599, or 3xx, 4xx or 5xx.
func (s *Status) UnmarshalText(text []byte) error {
	n, err := strconv.Atoi(strings.Replace(string(text), "xx", "00", 1))
	if err != nil || len(text) != 3 || n < 300 || n > 599 {
		return strictyaml.Mistake{What: "is not a status that can be dead", Hint: "write a number from 300 to 599, or 3xx, 4xx or 5xx"}
	}
	*s = Status(text)
	return nil
}

// validateResults checks what is kept about a queue's jobs.
func (v validator) validateResults(path string, q Queue) {
	switch {
	case q.Results == "" && !v.AnyBroken("brokers"):
		hint := "add one to brokers, such as local: {type: nats, embedded: true}"
		if slices.ContainsFunc(slices.Collect(maps.Values(v.Brokers)), func(b Broker) bool { return b.Type == "nats" }) {
			hint = "name one of the nats brokers in results"
		}
		if _, known := v.Brokers[q.Broker]; known {
			v.Warn(path, "the states and answers of its jobs are kept nowhere, so none can be read, awaited or cancelled; %s", hint)
		}
	case q.Results != "" && v.Given(path+".results"):
		v.reference(path+".results", "broker", q.Results, slices.Sorted(maps.Keys(v.Brokers)), "brokers")
		if b, known := v.Brokers[q.Results]; known && b.Type != "nats" && b.Type != "" {
			v.Wrong(path+".results", q.Results, "is of type "+b.Type, "name a broker of type nats")
		}
	}
	if q.KeepResults < 10*time.Second || q.KeepResults > 7*24*time.Hour {
		v.Problem(path+".keep_results", "want 10s to 168h", "%s is out of range", q.KeepResults)
	}
	if q.MaxAnswer < 1<<10 || q.MaxAnswer > 1<<30 {
		v.Problem(path+".max_answer", "want 1KiB to 1GiB", "%s is out of range", q.MaxAnswer)
	}
}

package config

import (
	"testing"
)

func TestDeadStatuses(t *testing.T) {
	for dead, want := range map[string]map[int]bool{
		"":                                {301: true, 400: true, 404: true, 429: false, 500: false, 503: false, 599: false},
		"dead: []":                        {301: false, 400: false, 404: false, 429: false},
		"dead: [4xx, 501]":                {301: false, 400: true, 429: false, 500: false, 501: true},
		"dead: [5xx]":                     {404: false, 500: true, 503: false, 504: true},
		`dead: ["429", 503]`:              {404: false, 429: true, 503: true, 500: false},
		"dead: [4xx, 429]":                {400: true, 429: true},
		"dead: [3xx, 410, 4xx, 5xx, 503]": {503: true, 429: false},
	} {
		c, err := Parse("overtake.yaml", []byte(`upstreams: {app: {servers: ["http://a:1"]}}
queues: {jobs: {deliver: {}, `+dead+`}}`), lookup)
		if err != nil {
			t.Errorf("%s: %v", dead, err)
			continue
		}
		for status, isDead := range want {
			if got := c.Queues["jobs"].IsDead(status); got != isDead {
				t.Errorf("%s: %d is dead: %v", dead, status, got)
			}
		}
	}
}

func TestResultsBroker(t *testing.T) {
	nats, rabbit := Broker{Type: "nats"}, Broker{Type: "rabbitmq"}
	for _, tc := range []struct {
		brokers map[string]Broker
		own     string
		want    string
	}{
		{map[string]Broker{"a": nats}, "a", "a"},
		{map[string]Broker{"a": nats, "b": nats}, "b", "b"},
		{map[string]Broker{"a": nats, "r": rabbit}, "r", "a"},
		{map[string]Broker{"a": nats, "b": nats, "r": rabbit}, "r", ""},
		{map[string]Broker{"r": rabbit}, "r", ""},
	} {
		if got := resultsBroker(tc.own, &Config{Brokers: tc.brokers}); got != tc.want {
			t.Errorf("of %v on %s: %q, want %q", tc.brokers, tc.own, got, tc.want)
		}
	}
}

package scenario

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"go.uber.org/goleak"

	"overtake/loadgen"
	"overtake/loadgen/arrival"
	"overtake/loadgen/content"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Without a duration, a scenario lasts until the last recorded arrival.
func TestReplayGivesTheDuration(t *testing.T) {
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "calls.csv"), []byte("at\n1\n90\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		text   string
		factor float64
		want   time.Duration
	}{
		{"classes: [{name: a, path: /, replay: {file: calls.csv}}, {name: b, path: /, rate: 1/s}]", 1, 91 * time.Second},
		{"classes: [{name: a, path: /, replay: {file: calls.csv}}, {name: b, path: /, rate: 1/s}]", 2, 45500 * time.Millisecond},
		{"classes: [{name: a, path: /, replay: {file: calls.csv}}]", 0.1, 910 * time.Second},
		{"classes: [{name: a, path: /, replay: {file: calls.csv}}]", 1e-9, 720 * time.Hour},
		{"warmup: 5s\nclasses: [{name: a, path: /, replay: {file: calls.csv, speed: 2x}}]", 1, 46 * time.Second},
		{"warmup: 5s\nclasses: [{name: a, path: /, replay: {file: calls.csv, speed: 2x}}]", 2, 23 * time.Second},
		{"duration: 7s\nclasses: [{name: a, path: /, replay: {file: calls.csv}}]", 2, 7 * time.Second},
		{"phases: [{name: p, duration: 8s}]\nclasses: [{name: a, path: /, replay: {file: calls.csv}}]", 2, 8 * time.Second},
		{"classes: [{name: b, path: /, rate: 1/s}]", 2, 30 * time.Second},
	} {
		s, problems := Read(filepath.Join(folder, "s.yaml"), []byte(c.text), Changes{Rate: c.factor}, nil)
		if len(problems) > 0 || s.Duration != c.want {
			t.Errorf("%s, %v times: %v, %v, want %v", c.text, c.factor, s.Duration, problems, c.want)
		}
	}
}

// A file becomes what it says: times count from the start of the warm-up, so all but
// a steady rate is moved by that.
func TestOpenFile(t *testing.T) {
	folder := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("calls.csv", "at,method,path\n1,GET,/x\n")
	path := write("mine.yaml", `
target: http://127.0.0.1:8080
warmup: 2s
phases:
  - {name: calm, duration: 10s}
  - {name: crowd, duration: 5s, rates: {steady: 3x, ramp: 2x}}
endpoints:
  orders: {amqp: "${RABBITMQ_URL}", queue: orders, hold: 5ms, drain: true}
  events: {nats: "nats://h", subject: e.x, stream: e, consumers: 3}
classes:
  - {name: steady, class: interactive, rate: 600/min, arrivals: constant, path: /a, query: {z: "1", b: x y}, objective: 50ms}
  - {name: ramp, ramp: {from: 10/s, to: 40/s, over: 15s}, path: /, connections: {max: 3, requests: 1}, timeout: 3s}
  - {name: steps, steps: [{rate: 0/s, for: 1s}, {rate: 5/s, for: 1s}], method: POST, path: /, body: {size: 2KiB}}
  - {name: bursts, bursts: {size: 7, every: 5s, first: 1s}, path: /, job: true}
  - {name: replay, replay: {file: calls.csv, speed: 2x}}
  - {name: order, endpoint: orders, rate: 1/s, body: {text: hello}}
  - {name: event, endpoint: events, rate: 1/s, headers: {k: v}}
`)
	s, err := Open(path, Changes{}, lookup)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Validate(); err != nil {
		t.Error(err)
	}
	pieces := func(p ...arrival.Piece) arrival.Plan { return arrival.Plan{Rate: p} }
	steady := pieces(arrival.Piece{Duration: 12 * time.Second, From: 10, To: 10}, arrival.Piece{From: 30, To: 30})
	steady.Spacing = arrival.Constant
	want := loadgen.Scenario{
		Name: "mine", Target: "http://127.0.0.1:8080", Seed: 1, Warmup: 2 * time.Second, Duration: 15 * time.Second,
		Phases: []loadgen.Phase{{Name: "calm", Duration: 10 * time.Second}, {Name: "crowd", Duration: 5 * time.Second}},
		Endpoints: map[string]loadgen.Endpoint{
			"orders": {Kind: "amqp", URL: "amqp://me:hunter2@rabbit:5672", Key: "orders", Queue: "orders", Consumers: 1, Hold: 5 * time.Millisecond, Drain: true},
			"events": {Kind: "nats", URL: "nats://h", Subject: "e.x", Stream: "e", Consumers: 3},
		},
		Classes: []loadgen.Class{
			{Name: "steady", Class: "interactive", Arrivals: steady, Objective: 50 * time.Millisecond,
				Request: content.Spec{Path: "/a", Query: []content.Field{{Name: "b", Value: "x y"}, {Name: "z", Value: "1"}}}},
			{Name: "ramp", Class: "ramp", Timeout: 3 * time.Second, Connections: loadgen.Connections{Max: 3, Requests: 1}, Request: content.Spec{Path: "/"},
				Arrivals: pieces(arrival.Piece{Duration: 2 * time.Second, From: 10, To: 10}, arrival.Piece{Duration: 10 * time.Second, From: 10, To: 30},
					arrival.Piece{Duration: 5 * time.Second, From: 60, To: 80}, arrival.Piece{From: 80, To: 80})},
			{Name: "steps", Class: "steps", Request: content.Spec{Method: "POST", Path: "/", BodyBytes: 2048},
				Arrivals: pieces(arrival.Piece{Duration: 2 * time.Second}, arrival.Piece{Duration: time.Second}, arrival.Piece{Duration: time.Second, From: 5, To: 5})},
			{Name: "bursts", Class: "bursts", Job: true, Request: content.Spec{Path: "/"},
				Arrivals: arrival.Plan{Bursts: arrival.Bursts{Size: 7, First: 3 * time.Second, Every: 5 * time.Second}}},
			{Name: "replay", Class: "replay", Request: content.Spec{Path: "/"}, Arrivals: arrival.Plan{Replay: arrival.Replay{
				Arrivals: []arrival.Arrival{{At: time.Second, Method: "GET", Target: "/x"}}, Start: 2 * time.Second, Speed: 2}}},
			{Name: "order", Class: "order", Endpoint: "orders", Arrivals: arrival.Steady(1), Request: content.Spec{Text: "hello"}},
			{Name: "event", Class: "event", Endpoint: "events", Arrivals: arrival.Steady(1), Request: content.Spec{Fields: []content.Field{{Name: "k", Value: "v"}}}},
		},
	}
	for i := range want.Classes {
		if !reflect.DeepEqual(s.Classes[i], want.Classes[i]) {
			t.Errorf("class %s\ngot  %+v\nwant %+v", want.Classes[i].Name, s.Classes[i], want.Classes[i])
		}
	}
	s.Classes, want.Classes = nil, nil
	if !reflect.DeepEqual(s, want) {
		t.Errorf("got  %+v\nwant %+v", s, want)
	}
	if _, err := Open(write("bad.yaml", "rate: 1"), Changes{}, lookup); err == nil {
		t.Error("a wrong file can be opened")
	}
}

package topology

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
)

// startNATS runs a server until the returned function is called.
func startNATS(t *testing.T, dir string, port int) func() {
	t.Helper()
	s, err := natsserver.NewServer(&natsserver.Options{
		Host: "127.0.0.1", Port: port, JetStream: true, StoreDir: dir, NoSigs: true, NoLog: true,
		JetStreamMaxMemory: 64 << 20, JetStreamMaxStore: 64 << 20,
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("the server is not ready")
	}
	return func() {
		s.Shutdown()
		s.WaitForShutdown()
	}
}

// Messages carry the forwarded headers to a consumer's calls; while the broker is away
// publishes fail and say so, and afterwards both sides go on.
func TestNATS(t *testing.T) {
	var mu sync.Mutex
	var seen []string
	url := recorder(t, func(_ http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, r.Header.Get("X-Request-Id")+r.Header.Get("Latency-Class"))
	})
	dir, port := t.TempDir(), freePorts(t, 1)
	stop := startNATS(t, dir, port)
	var log []string
	r := run(t, parse(t, fmt.Sprintf(`
services:
  front: {endpoints: [{path: /, publish: [{queue: orders.all, broker: local, body: 50KiB, timeout: 5s}]}]}
  worker:
    consumes:
      - {queue: orders.all, broker: local, concurrency: 2, time: 1ms, calls: [{url: "%s/"}]}
brokers: {local: {nats: "nats://127.0.0.1:%d"}}
`, url, port)), Options{Log: func(line string) {
		mu.Lock()
		defer mu.Unlock()
		log = append(log, line)
	}})
	said := func(what string) func() bool {
		return func() bool {
			mu.Lock()
			defer mu.Unlock()
			return strings.Contains(strings.Join(log, "\n"), what)
		}
	}
	r.mustGet("front", "/", "X-Request-Id", "one", "Latency-Class", "batch")
	eventually(t, "the message is consumed", func() bool { return r.stats("worker").Messages == 1 && r.stats("worker").Calls == 1 })
	mu.Lock()
	log = nil
	mu.Unlock()
	stop()
	eventually(t, "the loss is told", said("broker=local state=away"))
	if status, body := r.get("front", "/"); status != 502 || !strings.Contains(body, "publish 1 to queue orders.all at local: the broker is away") {
		t.Errorf("without a broker: %d %s", status, body)
	}
	stop = startNATS(t, dir, port)
	defer func() { stop() }()
	eventually(t, "the return is told", said("broker=local state=connected"))
	r.mustGet("front", "/", "X-Request-Id", "two")
	eventually(t, "the message is consumed", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return strings.Join(seen, " ") == "one two"
	})
	if s := r.stats("front"); s.Published != 2 || s.FailedCalls != 1 {
		t.Errorf("%+v", s)
	}
}

// A broker that is away does not keep services from starting, nor from ending.
func TestStartWithoutBroker(t *testing.T) {
	port := freePorts(t, 1)
	for _, spec := range []string{"nats: nats://127.0.0.1:%d", "amqp: amqp://127.0.0.1:%d"} {
		r := run(t, parse(t, fmt.Sprintf(`
services:
  a: {endpoints: [{path: /, publish: [{queue: q, broker: b, optional: true}]}, {path: /x, publish: [{queue: q, broker: b}]}]}
  w: {consumes: [{queue: q, broker: b}]}
brokers: {b: {`+spec+`}}
`, port)), Options{})
		r.mustGet("a", "/")
		if status, body := r.get("a", "/x"); status != 502 || !strings.Contains(body, "the broker is away") {
			t.Errorf("%d %s", status, body)
		}
	}
}

package amqp

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"
	"go.uber.org/goleak"

	"overtake/broker/rabbitmq/rabbitmqtest"
	"overtake/loadgen"
	"overtake/loadgen/content"
	"overtake/loadgen/inflight/inflighttest"
)

// server is the RabbitMQ of all tests, each of which has a queue of its own.
var server *rabbitmqtest.Server

func TestMain(m *testing.M) {
	flag.Parse()
	if flag.Lookup("test.list").Value.String() != "" { // which needs no server
		os.Exit(m.Run())
	}
	var err error
	if server, err = rabbitmqtest.Start(rabbitmqtest.Config{}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		server.Close()
		os.Exit(code)
	}), goleak.IgnoreCurrent())
}

// broker returns a channel to prepare queues and to look at them.
func broker(t *testing.T) *amqp091.Channel {
	t.Helper()
	conn, err := dial(t.Context(), server.URL(), "test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { hangUp(conn) })
	ch, err := conn.Channel()
	if err != nil {
		t.Fatal(err)
	}
	return ch
}

// declare makes a durable queue with the name of the test and returns its endpoint.
func declare(t *testing.T, ch *amqp091.Channel) loadgen.Endpoint {
	t.Helper()
	queue := strings.ReplaceAll(t.Name(), "/", ".")
	if _, err := ch.QueueDeclare(queue, true, false, false, false, nil); err != nil {
		t.Fatal(err)
	}
	return loadgen.Endpoint{Kind: "amqp", URL: server.URL(), Queue: queue}
}

func open(t *testing.T, e loadgen.Endpoint) loadgen.Sender {
	t.Helper()
	s, err := Open(t.Context(), e, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() }) // once more, if the test did
	return s
}

func waiting(t *testing.T, ch *amqp091.Channel, queue string) int {
	t.Helper()
	q, err := ch.QueueDeclarePassive(queue, true, false, false, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	return q.Messages
}

func TestCallsLastFromPublishToTheEndOfTheWork(t *testing.T) {
	ch := broker(t)
	e := declare(t, ch)
	e.Hold, e.Consumers = 30*time.Millisecond, 50
	s, b := open(t, e), &inflighttest.Book{}
	b.Send(s, "a", 50, time.Millisecond, &content.Request{Filler: 100})
	b.Await(t, "all done", func() bool { return b.Count()["ok"] == 50 })
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	b.Balance(t)
	for i := range 50 {
		if got, _ := b.Of(fmt.Sprintf("a/%d", i)); got.Took < e.Hold {
			t.Errorf("call %d took %v, less than the hold", i, got.Took)
		}
	}
	if n := waiting(t, ch, e.Queue); n != 0 {
		t.Errorf("%d messages are left", n)
	}
}

func TestMessagesCarryWhatTheClassSays(t *testing.T) {
	ch := broker(t)
	e := declare(t, ch)
	// The message goes to two queues, one of which is the test's.
	if err := ch.ExchangeDeclare(e.Queue, "fanout", false, true, false, false, nil); err != nil {
		t.Fatal(err)
	}
	copies, err := ch.QueueDeclare("", false, true, true, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, queue := range []string{e.Queue, copies.Name} {
		if err := ch.QueueBind(queue, "", e.Queue, false, nil); err != nil {
			t.Fatal(err)
		}
	}
	e.Exchange = e.Queue
	s, b := open(t, e), &inflighttest.Book{}
	call := b.Call("a/1", &content.Request{
		Fields: []content.Field{{Name: "Content-Type", Value: "text/plain"}, {Name: "Priority", Value: "7"}, {Name: "X-Tenant", Value: "blue"}},
		Body:   []byte("hello"),
	}, time.Minute)
	call.TraceParent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	s.Send(call)
	b.Send(s, "b", 1, 0, &content.Request{Filler: 3, Fields: []content.Field{{Name: "priority", Value: "u=1"}}})
	b.Await(t, "all done", func() bool { return b.Count()["ok"] == 2 })

	d, ok, err := ch.Get(copies.Name, true)
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	want := amqp091.Table{"X-Tenant": "blue", "traceparent": call.TraceParent}
	if d.MessageId != "a/1" || d.ContentType != "text/plain" || d.Priority != 7 || string(d.Body) != "hello" ||
		d.DeliveryMode != amqp091.Persistent || fmt.Sprint(d.Headers) != fmt.Sprint(want) {
		t.Errorf("%+v", d)
	}
	if d, _, _ = ch.Get(copies.Name, true); d.MessageId != "b/0" || string(d.Body) != "xxx" || d.Headers["priority"] != "u=1" || len(d.Headers) != 1 {
		t.Errorf("%+v", d)
	}
}

// With work for longer than the schedule lasts, latency grows from call to call, and
// what is left at the end is unfinished and taken out of the queue.
func TestOverloadedConsumersMakeLatencyGrow(t *testing.T) {
	ch := broker(t)
	e := declare(t, ch)
	e.Hold, e.Consumers = 20*time.Millisecond, 1
	s, b := open(t, e), &inflighttest.Book{}
	const n = 200
	b.Send(s, "a", n, time.Millisecond, &content.Request{Filler: 10})
	b.Await(t, "some done", func() bool { return b.Count()["ok"] >= 30 })
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	b.Balance(t)
	count := b.Count()
	if count["ok"]+count["unfinished"] != n || count["unfinished"] == 0 {
		t.Errorf("%v", count)
	}
	early, _ := b.Of("a/0")
	late, _ := b.Of("a/29")
	if late.Took < 300*time.Millisecond || late.Took < early.Took {
		t.Errorf("the first took %v, the 30th %v; want 30 x 20 ms but what passed while they came", early.Took, late.Took)
	}
	if n := waiting(t, ch, e.Queue); n != 0 {
		t.Errorf("%d messages are left", n)
	}
}

func TestUnroutableMessagesFail(t *testing.T) {
	e := declare(t, broker(t))
	e.Exchange, e.Key = "amq.direct", "nobody."+e.Queue
	s, b := open(t, e), &inflighttest.Book{}
	b.Send(s, "a", 5, 0, &content.Request{Filler: 10})
	b.Await(t, "all failed", func() bool { return b.Count()["failed unroutable"] == 5 })
}

func TestRefusedMessagesFail(t *testing.T) {
	ch := broker(t)
	e := loadgen.Endpoint{Kind: "amqp", URL: server.URL(), Queue: t.Name()}
	if _, err := ch.QueueDeclare(e.Queue, true, false, false, false, amqp091.Table{"x-max-length": 1, "x-overflow": "reject-publish"}); err != nil {
		t.Fatal(err)
	}
	e.Hold = time.Hour // one is worked on, one waits
	s, b := open(t, e), &inflighttest.Book{}
	b.Send(s, "a", 20, 0, &content.Request{Filler: 10})
	b.Await(t, "refused", func() bool { return b.Count()["failed nacked"] > 0 })
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	b.Balance(t)
}

// A broker that is killed costs what it had not confirmed and what comes while it is
// away; what it had confirmed is done later.
func TestRunsOutliveTheBroker(t *testing.T) {
	e := declare(t, broker(t))
	e.Hold, e.Consumers = 5*time.Millisecond, 2
	s, b := open(t, e), &inflighttest.Book{}
	request := &content.Request{Filler: 100}
	b.Send(s, "before", 300, time.Millisecond, request) // too many for its consumers: some wait
	b.Await(t, "some done", func() bool { return b.Count()["ok"] > 0 })
	server.Kill()
	b.Send(s, "without", 50, time.Millisecond, request)
	b.Await(t, "refusal", func() bool { return b.Count()["failed connect"] > 0 })
	if err := server.Restart(); err != nil {
		t.Fatal(err)
	}
	declare(t, broker(t)) // RabbitMQ may have forgotten a queue that was young when it was killed
	n := 0
	b.Await(t, "a connection", func() bool {
		n++
		id := fmt.Sprintf("again/%d", n)
		s.Send(b.Call(id, request, time.Minute))
		b.Await(t, "its outcome", func() bool { return b.What(id) != "" })
		return b.What(id) == "ok"
	})
	b.Send(s, "after", 50, time.Millisecond, request)
	b.Await(t, "the new ones done", func() bool { return b.What("after/49") == "ok" })
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	b.Balance(t)
	t.Log(b.Count(), len(b.Repeats()), "repeated")
	allowed := []string{"ok", "failed connect", "failed connection", "failed timeout", "unfinished"} // a start may take minutes
	for what := range b.Count() {
		if !slices.Contains(allowed, what) {
			t.Errorf("%q, want one of %q", what, allowed)
		}
	}
}

// A broker that stands still lets calls time out, and holds up neither Send nor, for
// long, Close.
func TestBrokersThatStandStill(t *testing.T) {
	e := declare(t, broker(t))
	s, b := open(t, e), &inflighttest.Book{}
	if err := server.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := server.Signal(syscall.SIGCONT); err != nil {
			t.Error(err)
		}
	}()
	for i := range 30 { // more than fits into the buffers of sockets
		s.Send(b.Call(fmt.Sprintf("a/%d", i), &content.Request{Filler: 1 << 20}, 100*time.Millisecond))
	}
	b.Await(t, "timeouts", func() bool { return b.Count()["failed timeout"] > 20 })
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	b.Balance(t)
}

func TestOpenSaysWhatIsMissing(t *testing.T) {
	ch := broker(t)
	e := declare(t, ch)
	for _, args := range [][]string{
		{"add_user", "writer", "secret"},
		{"set_permissions", "writer", "", ".*", ""},
	} {
		if _, err := server.Ctl(args...); err != nil {
			t.Fatal(err)
		}
	}
	for name, tc := range map[string]struct {
		change func(*loadgen.Endpoint)
		want   []string
	}{
		"no broker":        {func(e *loadgen.Endpoint) { e.URL = "amqp://guest:secret@127.0.0.1:1/" }, []string{"127.0.0.1:1", "refused"}},
		"another protocol": {func(e *loadgen.Endpoint) { e.URL = "http://secret@127.0.0.1:1/" }, []string{"amqp://USER:PASSWORD@HOST:PORT/VHOST"}},
		"wrong password": {func(e *loadgen.Endpoint) { e.URL = strings.Replace(e.URL, "guest:guest", "guest:secret", 1) },
			[]string{server.Addr(), "username or password"}},
		"may not consume": {func(e *loadgen.Endpoint) { e.URL = strings.Replace(e.URL, "guest:guest", "writer:secret", 1) },
			[]string{server.Addr(), "consume from queue", "refused for user"}},
		"queue not named":  {func(e *loadgen.Endpoint) { e.Queue = "" }, []string{"no queue", "`queue`"}},
		"queue missing":    {func(e *loadgen.Endpoint) { e.Queue = "nowhere" }, []string{server.Addr(), `queue "nowhere"`, "declare it"}},
		"exchange missing": {func(e *loadgen.Endpoint) { e.Exchange = "no" }, []string{`exchange "no"`, "declare it", "bind"}},
		"consumers":        {func(e *loadgen.Endpoint) { e.Consumers = 65536 }, []string{"65536", "65535"}},
	} {
		t.Run(name, func(t *testing.T) {
			e := e
			tc.change(&e)
			s, err := Open(t.Context(), e, nil)
			if err == nil {
				_ = s.Close()
				t.Fatal("no error")
			}
			for _, part := range tc.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q, want %q in it", err, part)
				}
			}
			if strings.Contains(err.Error(), "secret") {
				t.Errorf("%q has the password in it", err)
			}
		})
	}
}

func TestQueuesInUseAreLeftAlone(t *testing.T) {
	ch := broker(t)
	e := declare(t, ch)
	if err := ch.Confirm(false); err != nil {
		t.Fatal(err)
	}
	publish := func(id string) {
		t.Helper()
		confirm, err := ch.PublishWithDeferredConfirm("", e.Queue, true, false, amqp091.Publishing{MessageId: id})
		if err != nil || !confirm.Wait() {
			t.Fatal(err)
		}
	}
	publish("precious/1")
	if _, err := Open(t.Context(), e, nil); err == nil || !strings.Contains(err.Error(), "1 messages already") || !strings.Contains(err.Error(), "drain: true") {
		t.Errorf("%v", err)
	}
	if n := waiting(t, ch, e.Queue); n != 1 {
		t.Fatalf("%d messages, want the one that was there", n)
	}
	e.Drain, e.Consumers = true, 2
	s, b := open(t, e), &inflighttest.Book{}
	if n := waiting(t, ch, e.Queue); n != 0 {
		t.Errorf("%d messages, want none", n)
	}
	if _, err := Open(t.Context(), e, nil); err == nil || !strings.Contains(err.Error(), "1 consumers already") {
		t.Errorf("%v", err)
	}
	publish("of somebody else")
	b.Send(s, "a", 20, 0, &content.Request{Filler: 10})
	b.Await(t, "all done", func() bool { return b.Count()["ok"] == 20 })
	if err := s.Close(); err == nil || !strings.Contains(err.Error(), "of somebody else") {
		t.Errorf("closed: %v; want the message that was not of the run", err)
	}
	if d, ok, err := ch.Get(e.Queue, true); err != nil || !ok || d.MessageId != "of somebody else" {
		t.Errorf("the queue has %+v, %v; want the message of somebody else", d, err)
	}
}

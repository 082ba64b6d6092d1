package nats

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"overtake/broker/nats/natstest"
	"overtake/loadgen"
	"overtake/loadgen/content"
	"overtake/loadgen/inflight/inflighttest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// site is a server with a client that prepares streams and looks at them.
type site struct {
	*natstest.Server
	conn *natsgo.Conn
	js   jetstream.JetStream
}

func start(t *testing.T, o natstest.Options) *site {
	t.Helper()
	s := &site{Server: natstest.Start(t, o)}
	l, err := dial(s.URL(), "test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.close)
	s.conn = l.conn
	if s.js, err = jetstream.New(l.conn); err != nil {
		t.Fatal(err)
	}
	return s
}

// stream makes a stream "work" of the subject "work.batch" and returns its endpoint.
func (s *site) stream(t *testing.T, retention jetstream.RetentionPolicy) loadgen.Endpoint {
	t.Helper()
	_, err := s.js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "work", Subjects: []string{"work.>"}, Retention: retention, Discard: jetstream.DiscardNew})
	if err != nil {
		t.Fatal(err)
	}
	return loadgen.Endpoint{Kind: "nats", URL: s.URL(), Subject: "work.batch", Stream: "work"}
}

// state returns how many messages and consumers the stream has.
func (s *site) state(t *testing.T) (messages uint64, consumers int) {
	t.Helper()
	found, err := s.js.Stream(t.Context(), "work")
	if err != nil {
		t.Fatal(err)
	}
	state := found.CachedInfo().State
	return state.Msgs, state.Consumers
}

func (s *site) publish(t *testing.T, id string) {
	t.Helper()
	if _, err := s.js.Publish(t.Context(), "work.batch", []byte("precious"), jetstream.WithMsgID(id)); err != nil {
		t.Fatal(err)
	}
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

func closeClean(t *testing.T, s loadgen.Sender, b *inflighttest.Book) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	b.Balance(t)
}

// kinds are all ways for messages.
var kinds = map[string]func(*testing.T, *site) loadgen.Endpoint{
	"core": func(_ *testing.T, s *site) loadgen.Endpoint {
		return loadgen.Endpoint{Kind: "nats", URL: s.URL(), Subject: "work.batch"}
	},
	"limits":     func(t *testing.T, s *site) loadgen.Endpoint { return s.stream(t, jetstream.LimitsPolicy) },
	"interest":   func(t *testing.T, s *site) loadgen.Endpoint { return s.stream(t, jetstream.InterestPolicy) },
	"work queue": func(t *testing.T, s *site) loadgen.Endpoint { return s.stream(t, jetstream.WorkQueuePolicy) },
}

func TestCallsLastFromPublishToTheEndOfTheWork(t *testing.T) {
	for name, endpoint := range kinds {
		t.Run(name, func(t *testing.T) {
			at := start(t, natstest.Options{})
			e := endpoint(t, at)
			e.Hold, e.Consumers = 30*time.Millisecond, 50
			s, b := open(t, e), &inflighttest.Book{}
			b.Send(s, "a", 50, time.Millisecond, &content.Request{Filler: 100})
			b.Await(t, "all done", func() bool { return b.Count()["ok"] == 50 })
			closeClean(t, s, b)
			for i := range 50 {
				if got, _ := b.Of(fmt.Sprintf("a/%d", i)); got.Took < e.Hold {
					t.Errorf("call %d took %v, less than the hold", i, got.Took)
				}
			}
			if e.Stream == "" {
				return
			}
			messages, consumers := at.state(t)
			if want := map[string]uint64{"limits": 50}[name]; messages != want || consumers != 0 {
				t.Errorf("%d messages and %d consumers are left, want %d and none", messages, consumers, want)
			}
		})
	}
}

func TestMessagesCarryWhatTheClassSays(t *testing.T) {
	at := start(t, natstest.Options{})
	sub, err := at.conn.SubscribeSync("work.batch")
	if err != nil {
		t.Fatal(err)
	}
	if err := at.conn.Flush(); err != nil {
		t.Fatal(err)
	}
	s, b := open(t, kinds["core"](t, at)), &inflighttest.Book{}
	call := b.Call("a/1", &content.Request{Fields: []content.Field{{Name: "content-type", Value: "text/plain"}}, Body: []byte("hello")}, time.Minute)
	call.TraceParent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	s.Send(call)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	m, err := sub.NextMsgWithContext(ctx)
	if err != nil {
		t.Fatal(err)
	}
	want := natsgo.Header{"Nats-Msg-Id": {"a/1"}, "content-type": {"text/plain"}, "traceparent": {call.TraceParent}}
	if string(m.Data) != "hello" || fmt.Sprint(m.Header) != fmt.Sprint(want) {
		t.Errorf("%q with %v", m.Data, m.Header)
	}
	b.Await(t, "all done", func() bool { return b.Count()["ok"] == 1 })
}

// With work for longer than the schedule lasts, latency grows from call to call, and
// what is left at the end is unfinished and taken out of a work queue.
func TestOverloadedConsumersMakeLatencyGrow(t *testing.T) {
	for _, name := range []string{"core", "work queue"} {
		t.Run(name, func(t *testing.T) {
			at := start(t, natstest.Options{})
			e := kinds[name](t, at)
			e.Hold, e.Consumers = 20*time.Millisecond, 1
			s, b := open(t, e), &inflighttest.Book{}
			const n = 200
			b.Send(s, "a", n, time.Millisecond, &content.Request{Filler: 10})
			b.Await(t, "some done", func() bool { return b.Count()["ok"] >= 30 })
			closeClean(t, s, b)
			count := b.Count()
			if count["ok"]+count["unfinished"] != n || count["unfinished"] == 0 {
				t.Errorf("%v", count)
			}
			early, _ := b.Of("a/0")
			late, _ := b.Of("a/29")
			if late.Took < 300*time.Millisecond || late.Took < early.Took {
				t.Errorf("the first took %v, the 30th %v; want 30 x 20 ms but what passed while they came", early.Took, late.Took)
			}
			if e.Stream == "" {
				return
			}
			if messages, consumers := at.state(t); messages != 0 || consumers != 0 {
				t.Errorf("%d messages and %d consumers are left", messages, consumers)
			}
		})
	}
}

func TestFailuresAreNamed(t *testing.T) {
	at := start(t, natstest.Options{Config: "max_payload: 4096"})
	e := at.stream(t, jetstream.WorkQueuePolicy)
	e.Hold = time.Hour
	s, b := open(t, e), &inflighttest.Book{}
	b.Send(s, "large", 1, 0, &content.Request{Filler: 5000})
	b.Send(s, "headers", 1, 0, &content.Request{Filler: 4090})
	b.Await(t, "both failed", func() bool { return b.Count()["failed too large"] == 2 })

	config := func(change func(*jetstream.StreamConfig)) {
		t.Helper()
		found, err := at.js.Stream(t.Context(), "work")
		if err != nil {
			t.Fatal(err)
		}
		c := found.CachedInfo().Config
		change(&c)
		if _, err := at.js.UpdateStream(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	config(func(c *jetstream.StreamConfig) { c.MaxMsgs = 3 })
	b.Send(s, "full", 20, 0, &content.Request{Filler: 10})
	b.Await(t, "refused", func() bool { return b.Count()["failed nacked"] == 17 })
	if err := at.js.DeleteStream(t.Context(), "work"); err != nil {
		t.Fatal(err)
	}
	b.Send(s, "gone", 3, 0, &content.Request{Filler: 10})
	b.Await(t, "all failed", func() bool { return b.Count()["failed unroutable"] == 3 })
	if err := s.Close(); err == nil || !strings.Contains(err.Error(), "stream not found") {
		t.Errorf("closed: %v; want that the stream is gone", err)
	}
	b.Balance(t)
}

// A server that is killed costs what it had not acknowledged and what comes while it
// is away; what it had acknowledged is done later.
func TestRunsOutliveTheServer(t *testing.T) {
	for name, endpoint := range kinds {
		t.Run(name, func(t *testing.T) {
			at := start(t, natstest.Options{})
			e := endpoint(t, at)
			e.Hold, e.Consumers = 5*time.Millisecond, 2
			s, b := open(t, e), &inflighttest.Book{}
			request := &content.Request{Filler: 100}
			b.Send(s, "before", 300, time.Millisecond, request) // too many for its consumers: some wait
			b.Await(t, "some done", func() bool { return b.Count()["ok"] > 0 })
			at.Kill(t)
			b.Send(s, "without", 50, time.Millisecond, request)
			b.Await(t, "refusal", func() bool { return b.Count()["failed connect"] > 0 })
			at.Restart(t)
			for n := 0; ; n++ {
				id := fmt.Sprintf("again/%d", n)
				s.Send(b.Call(id, request, 5*time.Second))
				b.Await(t, "its outcome", func() bool { return b.What(id) != "" })
				if b.What(id) == "ok" {
					break
				}
			}
			b.Send(s, "after", 50, time.Millisecond, request)
			b.Await(t, "the new ones done", func() bool { return b.What("after/49") == "ok" })
			closeClean(t, s, b)
			t.Log(b.Count(), len(b.Repeats()), "repeated")
			allowed := []string{"ok", "failed connect", "failed connection", "failed unroutable", "failed timeout", "unfinished"}
			for what := range b.Count() {
				if !slices.Contains(allowed, what) {
					t.Errorf("%q, want one of %q", what, allowed)
				}
			}
			if name != "work queue" {
				return
			}
			if messages, consumers := at.state(t); messages != 0 || consumers != 0 {
				t.Errorf("%d messages and %d consumers are left", messages, consumers)
			}
		})
	}
}

func TestOpenSaysWhatIsMissing(t *testing.T) {
	at := start(t, natstest.Options{})
	plain := start(t, natstest.Options{NoJetStream: true})
	e := at.stream(t, jetstream.LimitsPolicy)
	for name, tc := range map[string]struct {
		change func(*loadgen.Endpoint)
		want   []string
	}{
		"no server":         {func(e *loadgen.Endpoint) { e.URL = "nats://me:secret@127.0.0.1:1" }, []string{"127.0.0.1:1", "can't be reached"}},
		"another protocol":  {func(e *loadgen.Endpoint) { e.URL = "http://secret@127.0.0.1:1/" }, []string{"nats://HOST:PORT"}},
		"subject not named": {func(e *loadgen.Endpoint) { e.Subject = "" }, []string{`subject ""`, "published to"}},
		"subject not one":   {func(e *loadgen.Endpoint) { e.Subject = "work.*" }, []string{`subject "work.*"`, "wildcards"}},
		"stream missing":    {func(e *loadgen.Endpoint) { e.Stream = "nowhere" }, []string{`stream "nowhere"`, "make it", "work.batch"}},
		"another subject":   {func(e *loadgen.Endpoint) { e.Subject = "play" }, []string{`does not take subject "play"`, "work.>", "add the subject"}},
		"no JetStream":      {func(e *loadgen.Endpoint) { e.URL = plain.URL() }, []string{"leave out `stream`"}},
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

func TestWorkQueuesInUseAreLeftAlone(t *testing.T) {
	at := start(t, natstest.Options{})
	e := at.stream(t, jetstream.WorkQueuePolicy)
	at.publish(t, "precious/1")
	if _, err := Open(t.Context(), e, nil); err == nil || !strings.Contains(err.Error(), "1 messages") || !strings.Contains(err.Error(), "drain: true") {
		t.Errorf("%v", err)
	}
	if messages, _ := at.state(t); messages != 1 {
		t.Fatalf("%d messages, want the one that was there", messages)
	}
	e.Drain, e.Consumers = true, 2
	s, b := open(t, e), &inflighttest.Book{}
	if messages, _ := at.state(t); messages != 0 {
		t.Errorf("%d messages, want none", messages)
	}
	if _, err := Open(t.Context(), e, nil); err == nil || !strings.Contains(err.Error(), "has overtake-loadgen-") || !strings.Contains(err.Error(), "one consumer") {
		t.Errorf("%v", err)
	}
	at.publish(t, "of somebody else")
	b.Send(s, "a", 20, 0, &content.Request{Filler: 10})
	b.Await(t, "all done", func() bool { return b.Count()["ok"] == 20 })
	if err := s.Close(); err == nil || !strings.Contains(err.Error(), "of somebody else") {
		t.Errorf("closed: %v; want the message that was not of the run", err)
	}
	if messages, consumers := at.state(t); messages != 1 || consumers != 0 {
		t.Errorf("%d messages and %d consumers are left, want the message of somebody else", messages, consumers)
	}
}

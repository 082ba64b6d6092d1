//go:build e2e

package main

import (
	"context"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"overtake/broker/rabbitmq"
	"overtake/broker/rabbitmq/rabbitmqtest"
)

// A rabbitPlace is where a fault on RabbitMQ strikes: a server, the proxy in front of
// it, and the log of the clients.
type rabbitPlace struct {
	server *rabbitmqtest.Server
	proxy  *proxy
	ledger *ledger
	log    *witness
}

// A rabbitFault adds a strike and its end to a site, and what the clients say of it.
type rabbitFault func(p *rabbitPlace, s *site)

func rabbitSite(f rabbitFault) func(*testing.T, *ledger) site {
	return func(t *testing.T, l *ledger) site {
		p := &rabbitPlace{server: rabbitForFaults(t), ledger: l, log: &witness{}}
		p.proxy = newProxy(t, p.server.Addr())
		conn, err := rabbitmq.Connect(rabbitmq.ConnConfig{
			URL: strings.Replace(p.server.URL(), p.server.Addr(), p.proxy.address, 1), Logger: p.log.logger(),
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := faultContext(t)
		defer cancel()
		t.Cleanup(func() { closeFor(t, conn.Close) })
		q, err := conn.OpenQueue(ctx, rabbitmq.QueueConfig{Name: "jobs", Classes: faultClasses, GiveBack: time.Second})
		if err != nil {
			t.Fatal(err)
		}
		// A quorum queue of RabbitMQ 3.10 is forgotten when the server is killed before
		// it wrote the tables in which it is; it does that every half second.
		rabbitEval(t, p.server, "[dets:sync(Table) || Table <- dets:all()]")
		s := adapterSite(t, l, q.Publisher(), q.Consumer())
		s.log, s.heal = p.log.take, nothing
		s.stored = func(t *testing.T) map[string]int { return storedInRabbit(t, p.server) }
		f(p, &s)
		return s
	}
}

func rabbitForFaults(t *testing.T) *rabbitmqtest.Server {
	t.Helper()
	server, err := rabbitmqtest.Start(rabbitmqtest.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	return server
}

func closeFor(t *testing.T, end func(context.Context) error) {
	t.Helper()
	ctx, cancel := faultContext(t)
	defer cancel()
	if err := end(ctx); err != nil {
		t.Error(err)
	}
}

func rabbitEval(t *testing.T, s *rabbitmqtest.Server, expression string) string {
	t.Helper()
	value, err := s.Eval(expression)
	if err != nil {
		t.Fatal(err)
	}
	return value
}

var rabbitStored = regexp.MustCompile(`\{<<"jobs\.([^"]+)">>,(\d+)\}`)

// storedInRabbit asks the processes of the queues, as other counts are seconds old.
func storedInRabbit(t *testing.T, s *rabbitmqtest.Server) map[string]int {
	t.Helper()
	queues := rabbitEval(t, s, `[{element(4, amqqueue:get_name(Q)), case amqqueue:get_type(Q) of
		rabbit_quorum_queue -> element(2, ra:consistent_query(amqqueue:get_pid(Q), fun rabbit_fifo:query_messages_total/1));
		_ -> proplists:get_value(messages, rabbit_amqqueue:info(Q, [messages]))
	end} || Q <- rabbit_amqqueue:list()]`)
	stored := map[string]int{}
	for _, m := range rabbitStored.FindAllStringSubmatch(queues, -1) {
		n, err := strconv.Atoi(m[2])
		if err != nil {
			t.Fatal(err)
		}
		stored[m[1]] = n
	}
	return stored
}

func nothing(*testing.T) {}

// rabbitLost is what the clients say when both connections are lost.
var rabbitLost = []string{
	`no connection, trying on.*connection=publishing`, `no connection, trying on.*connection=consuming`,
	`rabbitmq: connected.*connection=publishing`, `rabbitmq: connected.*connection=consuming`,
}

func killRabbit(p *rabbitPlace, s *site) {
	s.strike = func(*testing.T) { p.server.Kill() }
	s.heal = func(t *testing.T) {
		if err := p.server.Restart(); err != nil {
			t.Fatal(err)
		}
	}
	s.said = rabbitLost
}

func cutRabbit(p *rabbitPlace, s *site) { s.strike, s.said = p.proxy.cut, rabbitLost }

func swallowRabbit(p *rabbitPlace, s *site) {
	s.strike, s.heal = p.proxy.swallow, p.proxy.forward
	s.said = []string{`connection=publishing.*i/o timeout`, `connection=consuming.*i/o timeout`}
}

// closeChannels has every channel acknowledge a delivery that there is not, which
// the server answers by closing the channel.
func closeChannels(p *rabbitPlace, s *site) {
	s.strike = func(t *testing.T) {
		closed := rabbitEval(t, p.server, `[begin
			Watch = erlang:monitor(process, P), rabbit_channel:do(P, {'basic.ack', 999999999, false}),
			receive {'DOWN', Watch, _, _, _} -> closed after 10000 -> open end
		end || P <- rabbit_channel:list_local()]`)
		if n := strings.Count(closed, "closed"); n < len(faultClasses)+1 || strings.Contains(closed, "open") {
			t.Errorf("the server says that its channels are %s, want those of the lanes and the publisher closed", closed)
		}
	}
	// What the server sends over a channel right after it closed it makes the client
	// library give up the connection, and then a lane, or both, have that for a reason
	// instead of the unknown delivery tag.
	const why = `(unknown delivery tag 999999999|channel/connection is not open)`
	s.said = []string{why, `lane is not consumed.*queue=jobs.batch`, `lane is not consumed.*queue=jobs.interactive`}
}

// deleteQueues deletes the lanes in one go, so that they are gone before the clients
// know.
func deleteQueues(p *rabbitPlace, s *site) {
	s.strike = func(t *testing.T) {
		gone := rabbitEval(t, p.server, `[begin
			Name = rabbit_misc:r(<<"/">>, queue, N), {ok, Q} = rabbit_amqqueue:lookup(Name),
			{ok, _} = rabbit_amqqueue:delete(Q, false, false, <<"test">>), gone
		end || N <- [<<"jobs.interactive">>, <<"jobs.batch">>]]`)
		if gone != "[gone,gone]" {
			t.Errorf("the server says that its queues are %s, want both gone", gone)
		}
	}
	s.said = []string{`lane is not consumed.*queue=jobs.batch.*was deleted`, `lane is not consumed.*queue=jobs.interactive.*was deleted`}
}

// memoryAlarm ends when the server has told the publisher, and a message was refused.
func memoryAlarm(p *rabbitPlace, s *site) {
	post, number := *s, 0
	s.strike = func(t *testing.T) {
		rabbitEval(t, p.server, "vm_memory_monitor:set_vm_memory_high_watermark(0.00001)")
		eventually(t, "the server says that it takes no messages", func() bool { return p.log.has("active=true") })
		number++
		if p.ledger.post(post, "batch", "alarmed-"+strconv.Itoa(number)) {
			t.Error("a message was confirmed during the alarm")
		}
	}
	s.heal = func(t *testing.T) {
		rabbitEval(t, p.server, "vm_memory_monitor:set_vm_memory_high_watermark(0.4)")
	}
	s.said = []string{`memory or disk alarm.*connection=publishing.*active=true`, `memory or disk alarm.*connection=publishing.*active=false`}
}

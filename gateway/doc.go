// Package gateway is the program between the clients and an app: it gives each
// request its class, waits for a slot of the upstream in class order, and
// forwards; or it puts the request into a queue, whose messages it later
// delivers to the app through the same slots.
//
// The life of a request, and where to read on:
//
//	accept        listener.go, client.go   one client connection, leavers.go watches it
//	              proxyheader.go           who the client is, behind a load balancer
//	              certificates.go          TLS
//	              session.go               from its first byte until it is idle: what fasthttp serves
//	              badrequest.go            what is refused before it is a request
//	classify      decider.go, view.go      rules over a read-only view of the header
//	              explain.go               the same for who asks why, debugexplain.go in JSON
//	trail         fields.go                trace ids, class and deadline are read and stamped
//	route         decider.go               an upstream, or a queue
//	slot          slot.go, upstream.go     the scheduler decides who goes next, and where
//	              retry.go, budget.go      what is sent again, to another server
//	              health.go, minder.go     which servers are up, down, ejected or just back; check.go asks them
//	forward       forward.go, header.go    header rewritten, body streamed
//	              responseheader.go        and the response's
//	              chunks.go, trailer.go    bodies in chunks, and what comes behind them
//	              upgrade.go               a tunnel instead of an answer
//	              exchange.go, answer.go   one request and its response on an upstream connection
//	              pool.go, servertls.go    the connections of a server
//	refuse        refuse.go                503, 504, 502 with a reason
//	log           accesslog.go             a line about each request
//	count         metrics.go, series.go    what is counted, metricsstate.go what is asked at a scrape
//	              metricstiming.go         histograms that name traces
//	sidecar       outbound.go              an app's own call: its class by provenance, where it goes
//	              destinations.go          what no route names
//	              tunnel.go                CONNECT, and TLS that was redirected here
//	queue         enqueue.go, deliver.go   a request waits as a message; message.go packs it
//	jobs          job.go, jobbook.go       what is known of it meanwhile, and after
//	              jobapi.go, replay.go     who asks for it; its answer, kept and replayed
//	reload        generation.go, reload.go another configuration, while requests run
//	              watch.go                 when a file has changed
//
// HTTP/1.1 is served by fasthttp. The upstream side speaks HTTP/1.1 through
// connections of its own, because a request must be cancelled when its client
// leaves, streamed in both directions at once, and never repeated silently:
// fasthttp's client offers none of the three.
//
// # Jobs
//
// A request in a queue is a job. Its record is what its client can see of it:
//
//	              published          claimed            answered 2xx
//	(no record) ------------> queued -------> running ----------------> done
//	                          |    ^            |  |
//	                          |    '------------'  '------------------> failed
//	                          |   retry, app away, |   dead by status,
//	                          |   shutdown         |   attempts, deadline
//	                          '-----> cancelled <--'
//	                             DELETE
//
// done, failed and cancelled are ended: such a record never changes its state, but
// that a failed job whose dead letter was replayed is queued again, once, when the
// message comes. A queued job may also fail, by its deadline. A record changes only by
// compare-and-swap on its revision, so several gateways agree on one order: of a
// claim and a cancellation, one comes first, and the other finds out.
//
// The message and the record are written apart, in an order in which a crash
// between any two steps leaves no lie, and nothing that the next delivery would
// not put right:
//
//  1. The record (queued) is created, then the message is published, then comes
//     the 202. A crash before the message leaves a record whose random id nobody
//     knows. Where an Idempotency-Key makes the id, the record is marked as not
//     published, and short-lived, until the broker has confirmed; who repeats the
//     request meanwhile publishes it as well, under the same message id.
//  2. A message that is delivered is looked up. If its job has ended, the record
//     settles it, and the app does not see it: that is how a job is cancelled
//     while it waits, and how a message comes to its end whose gateway was killed
//     between 5 and 6.
//  3. When it has a slot, it is claimed (running), then sent. A crash from here
//     on leaves a record that says running until the message is delivered again.
//  4. The answer is stored under a new name, as it comes.
//  5. The record is changed to what the answer makes of it, and names the answer.
//     If it has been cancelled meanwhile, it stays so.
//  6. The message is settled by what the record says now.
//
// While the records' store is away, messages that are in hand wait, at 2, 3
// and 5: to deliver a job whose cancellation was answered would be a lie, and to
// settle one whose end nobody can read, a loss. An answer that can't be stored is
// given up, and the record says so: to ask the app again would be worse.
//
// Records of jobs that have not ended live for recordLife, long enough for any
// lane; those of ended jobs as long as the queue keeps results. A cancelled one
// counts as ended here only when its message has been met and settled.
//
// # Reloading
//
// What the gateway makes of one configuration is a generation. All of it is made
// and checked beside the present one, which nothing touches meanwhile; then one
// pointer is exchanged. An error on the way leaves everything as it was: there is no
// generation of half a file.
//
//	in a generation                        stays from the start to the end
//	-------------------------------------  ----------------------------------------
//	rules, routes, flows, trust            sockets that listen, and connections
//	deadlines, who sees what, sampling     names and number of the classes
//	settings of listeners, certificates    queues, brokers, jobs, couriers
//	upstreams: servers, scheduler          metrics, spans, provenance
//	where calls of the app go              who looks for clients that left
//
// Whatever of the right side differs in a new file takes a restart; the file is
// refused as a whole then, and the place named (config.Reloadable).
//
// A piece of work enters the present generation when it begins, and uses that one
// until it leaves it: a request from its header to the end of its answer, a tunnel
// with it, a message from its receipt until it is settled. So a request sees one
// configuration, and a rule that goes does not change a request that is on its way.
// There are two exceptions. A connection keeps the listener's settings that it was
// accepted with, but for whom to trust, since its handshake is over. And a message
// in hand whose app is away goes on with the present generation at each attempt:
// the reload may be what tells where the app is now.
//
// A generation counts who is in it, the gateway included as long as it is the
// present one. When nobody is, it has ended, and cannot be entered any more; what no
// other generation has is closed: upstreams with their connections and probes, and
// the series of upstreams and rules that are gone from the metrics. This is why
// enter is a loop of compare-and-swap, not an addition: between reading the pointer
// and counting, the generation may end.
//
// An upstream goes from one generation to the next if nothing has changed but its
// limit and what classes may do, which its scheduler takes over in place
// (scheduler.Reconfigure): what waits keeps its place, what runs its slot, and the
// adaptive limit what it has found. Any other change, to or from a dry run and in
// the file of authorities included, makes a new upstream with a scheduler of its
// own. The old one serves what had come to it, to its end, beside the new one: until
// then, there is no common order, and the servers that both have may get the sum of
// both limits. To move what waits would keep the order and lose the promise that a
// request sees one configuration.
//
// Files are read after nothing has happened to them for settleTime. They count as
// changed when their content has: so nothing depends on which events a file system
// reports, and a rename, an edit and the swapped link of a ConfigMap are one case.
package gateway

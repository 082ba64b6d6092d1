// Package loadgen drives a mixed workload at a server and says what each
// latency class got: [Run] is the open-loop generator, [Report] what comes of it.
// It knows nothing of the gateway: to it the target is any HTTP/1.1 server, or a
// broker that a [Sender] of another package publishes to.
//
// # How it measures
//
// A closed-loop generator waits for an answer before it sends the next
// request, so it slows down exactly when the system under test does, and the
// requests that would have suffered are never sent (coordinated omission).
// This one is open-loop. Every [Class] has a schedule of its own, computed
// from a seed and from nothing else; a Poisson one is
//
//	intended(n) = intended(n-1) + Exp(1)/rate
//
// At its intended time a request is written to a connection, whatever the earlier
// ones are doing; what is due within a tenth of a millisecond is written together.
// Latency counts from the intended time, also when the generator itself was late;
// service time counts from the real start. The difference between the two starts is
// the generator's lag.
//
// Each class is one goroutine, an event loop that starts its requests and reads their
// answers in between: a class takes no more than one core. Only with TLS, or where there
// is no epoll, goroutines read the connections for it.
//
// What waits is bounded: above MaxOutstanding unanswered requests a class skips
// and counts. Below, a request waits here only for a connection, be it that one
// is just opened or that all that [Connections] allows are in use, and its latency
// counts from the intended start all the same. One that was late by much more than the
// verdict takes may be held, until a connection is idle or for a moment: that is lag. A message is handed over to a
// publisher, whose wait for the broker is in its service time.
//
// A run in which the generator was late by more than a part of the latency,
// skipped, waited for a core, or ran out of sockets or CPU says nothing about the
// target, and its [Verdict] is GENERATOR-BOUND instead of VALID. On Linux,
// schedules sleep on a timerfd; elsewhere timers may fire about a millisecond
// late. Either is part of every latency reported here.
//
// A job class posts work that is answered with 202 and done later; latency is the
// time from the intended start to that moment. The resource in Location is asked
// whether it is done, so that the moment is known as exactly as it is asked. The
// sample app lists what it has finished (/completions), which is exact, but
// compares the clock of the generator with that of the app: both should be one
// machine or well synchronized.
//
// A message counts from its intended publishing until it was consumed and worked
// on, by consumers of the generator: see loadgen/amqp and loadgen/nats. Scenario
// files are read by loadgen/scenario.
//
// # A warning
//
// The generator is a load weapon: it keeps its rate when the target is on its
// knees, opens tens of thousands of connections and never backs off. Aim it
// only at what you own.
package loadgen

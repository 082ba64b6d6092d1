// Package loadgen drives a mixed workload at a server and says what each
// latency class got. It holds the open-loop generator ([Run]), the sample app
// that the load is meant for ([App]), and the reports ([WriteTable],
// [WriteJSON], [WriteHTML], [Compare]). It knows nothing of the gateway: to it
// the target is any HTTP/1.1 server.
//
// # How it measures
//
// A closed-loop generator waits for an answer before it sends the next
// request, so it slows down exactly when the system under test does, and the
// requests that would have suffered are never sent (coordinated omission).
// This one is open-loop. Every [Stream] has a Poisson schedule of its own,
// computed from a seed and from nothing else:
//
//	intended(n) = intended(n-1) + Exp(1)/rate
//
// At its intended time a request starts in its own goroutine, whatever the
// earlier ones are doing. Latency counts from the intended time, also when the
// generator itself was late; service time counts from the real start. The
// difference between the two starts is the generator's lag.
//
// What can't be sent is never queued: above MaxOutstanding unanswered requests
// a stream skips and counts. A run in which the generator was late, skipped, or
// ran out of sockets or CPU says nothing about the target, and its [Verdict] is
// GENERATOR-BOUND instead of VALID. Timers of the Go runtime may fire about a
// millisecond late; that is part of every latency reported here.
//
// A job stream posts work that is answered with 202 and done later. The sample
// app lists what it has finished (/completions); latency is the time from the
// intended start to that moment. It compares the clock of the generator with
// that of the app, so both should be one machine or well synchronized.
//
// # A warning
//
// The generator is a load weapon: it keeps its rate when the target is on its
// knees, opens tens of thousands of connections and never backs off. Aim it
// only at what you own.
package loadgen

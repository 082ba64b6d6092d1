// Package tracing handles the trail: what travels with a request from hop to
// hop. It is the trace context, the latency class, the deadline, the request id
// and the baggage, in the fields
//
//	traceparent, tracestate           W3C Trace Context
//	baggage                           W3C Baggage, with the member latency.class
//	Latency-Class                     the name of the class
//	Latency-Deadline                  unix milliseconds
//	x-request-id                      the request's id
//	uber-trace-id                     Jaeger's trace context
//	uberctx-latency.class             the class as Jaeger's baggage
//	b3                                B3 in one field
//	X-B3-TraceId, -SpanId, -Sampled   B3 in several
//	grpc-timeout                      gRPC's deadline, as what remains of it
//	x-envoy-expected-rq-timeout-ms    Envoy's
//
// [Trail.Extract] reads a trail from a [Carrier], which is the header of a
// request or of a message, and makes what is missing. [Trail.Stamp] writes it for
// the next hop, and [Trail.Owns] tells which received fields it replaces. In
// between, the caller decides what to believe: the class and the deadline that
// Extract returns are what the sender claims.
//
// The class is carried several times. Latency-Class is for hops that know
// Overtake; the others are for apps that know nothing of it, because tracing
// libraries copy baggage from incoming to outgoing requests on their own. For the
// same reason anybody can write it, so every member that some reader could take
// for latency.class is removed on the way in.
//
// An app that passes on a part of the trail only, or nothing of it, is between two
// hops of its own sidecar. [Provenance] remembers what was let in to it, and finds
// for what the app asks of others the request that it belongs to.
//
// One file per format: parsing is strict, a field that is not valid counts as
// missing, and no field makes a request fail.
package tracing

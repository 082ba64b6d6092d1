// Package tracing handles the trail: what travels with a request from hop to
// hop. It is the trace context, the latency class, the deadline and the
// baggage, in the fields
//
//	traceparent, tracestate   W3C Trace Context
//	baggage                   W3C Baggage, with the member latency.class
//	Latency-Class             the name of the class
//	Latency-Deadline          unix milliseconds
//
// [Extract] reads a trail from a [Carrier], which is the header of a request or
// of a message, and makes what is missing. [Trail.Stamp] writes it for the next
// hop. In between, the caller decides what to believe: the class and the
// deadline that Extract returns are what the sender claims.
//
// The class is carried twice. Latency-Class is for hops that know Overtake;
// latency.class is for apps that know nothing of it, because tracing libraries
// copy baggage from incoming to outgoing requests on their own. For the same
// reason anybody can write it, so every member that some reader could take for
// latency.class is removed on the way in.
//
// One file per format: parsing is strict, a field that is not valid counts as
// missing, and no field makes a request fail.
package tracing

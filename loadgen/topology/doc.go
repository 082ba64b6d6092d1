// Package topology runs synthetic applications of many services. A file, the
// graph, says which services there are, what their endpoints cost and whom they
// call; [Start] runs them, or some of them, in this process. Each service is an
// HTTP server of its own on an address of its own, and calls go over real
// connections, so gateways, sidecars and narrow links can be put between any two.
//
// # A request
//
// A service reads the whole request, then waits for one of its workers, first in,
// first out. With the worker it spends the time of the endpoint, asleep or on the
// processor; then, with the endpoint's share of failures, answers 500. Else it makes
// the calls one after the other, those under parallel together, publishes, gives
// the worker back and answers. A service that serves one request per thread works
// like this: it holds the thread while it waits for others.
//
// A call that fails (no answer in time, no connection, a status of 400 and more)
// ends the request with 502 and says which call it was, unless it is optional.
// Nothing is tried again.
//
// # Headers
//
// Services add no headers of their own. Those listed under forward go with each call
// and message as they came, which is what real services do for tracing; all others
// end here. Nothing is made up if a request came without.
//
// # Chance
//
// What the n-th request to an endpoint draws (times, sizes, failures, which calls it
// makes) depends on the graph's seed, the service, the endpoint and n alone.
package topology

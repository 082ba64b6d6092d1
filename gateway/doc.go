// Package gateway is the program between the clients and an app: it gives each
// request its class, waits for a slot of the upstream in class order, and
// forwards; or it puts the request into a queue, whose messages it later
// delivers to the app through the same slots.
//
// The life of a request, and where to read on:
//
//	accept        listener.go, client.go   one client connection, leavers.go watches it
//	classify      decider.go, view.go      rules over a read-only view of the header
//	trail         fields.go                trace ids, class and deadline are read and stamped
//	route         decider.go               an upstream, or a queue
//	slot          slot.go, upstream.go     the scheduler decides who goes next, and where
//	              down.go                  servers that take no connections
//	forward       forward.go, header.go    header rewritten, body streamed
//	              exchange.go, answer.go   one request and its response on an upstream connection
//	refuse        refuse.go                503, 504, 502 with a reason
//	queue         enqueue.go, deliver.go   a request waits as a message; message.go packs it
//
// HTTP/1.1 is served by fasthttp. The upstream side speaks HTTP/1.1 through
// connections of its own, because a request must be cancelled when its client
// leaves, streamed in both directions at once, and never repeated silently:
// fasthttp's client offers none of the three.
package gateway

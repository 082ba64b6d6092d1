// Package amqp sends the calls of a load generator as messages to an AMQP 0-9-1
// broker, such as RabbitMQ, and consumes them again: a call has succeeded at the end
// of the work on its message, so its latency is that from publish to consume, hold
// included. It speaks to the broker by the plain client library, on one connection
// for publishing and one for consuming, because a broker short of memory stops
// reading those that publish.
//
// # Messages
//
// Messages are persistent and mandatory. The call's id is the message id. Of the
// class's fields, content-type becomes that property, and priority, if it is a number
// up to 255, that one; all others, and the call's traceparent, are headers as they
// are spelled. Nothing else is added.
//
// # What becomes of a call
//
//   - ok: worked on, whether its publication was confirmed or not
//   - unroutable: the broker returned it, as no queue takes it
//   - nacked: the broker refused it
//   - connect: there was no connection when its turn to be published came
//   - connection: the connection was lost before it was confirmed. It is not
//     published again, as that would be load that no schedule asked for, and is not
//     counted if it comes in later all the same.
//   - timeout: not worked on within its timeout
//
// What was confirmed outlives a restart of the broker if its queue is durable. A lost
// connection is made again; what is delivered again after that is worked on again and
// counted as repeated.
//
// # The queue
//
// The queue is the run's own while it lasts. [Open] fails where something is in it
// already, or somebody else consumes from it. A message of somebody else that comes
// later is held back until the end, unacknowledged, and then back in the queue; it
// takes up one of the places of the consumers meanwhile, and [loadgen.Sender] says in
// Close that there was one. At the end, the run takes out of the queue what is left of
// its own, without holding it, for ten seconds at most.
//
// Up to 16384 messages wait for their confirmation at a time. What comes when they
// are that many waits in the generator, which its latency includes; so it does while
// the broker is out of memory and reads nothing.
package amqp

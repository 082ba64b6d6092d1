// Package nats sends the calls of a load generator as messages to a NATS server and
// consumes them again: a call has succeeded at the end of the work on its message, so
// its latency is that from publish to consume, hold included. It speaks to the server
// by the plain client library, on one connection for publishing and one for consuming.
//
// # With a stream
//
// Messages are published to the subject and acknowledged by JetStream, asynchronously.
// They are consumed from the stream by a durable pull consumer that is made for the run
// and removed at its end; a generator that was killed leaves it to the server, which
// removes it after five minutes. It acknowledges each message at the end of the work.
//
// In a stream that keeps messages for a while, or as long as somebody is interested,
// the consumer sees what is published from the start of the run on, and takes nothing
// away from others. In a work queue, whoever acknowledges a message removes it, so
// there is one consumer for each subject: the subject is the run's own while it lasts.
// [Open] fails where somebody else consumes it, or something is in there already; a
// message of somebody else that comes later stays in there; and at the end, the run
// takes out what is left of its own, without holding it, for ten seconds at most.
//
// # Without a stream
//
// Messages are published and subscribed to by core NATS. What the consumers are too
// slow for waits in the generator, as in any subscriber. Nothing is confirmed and
// nothing repeated: what a lost connection takes along ends as a timeout, or is
// unfinished.
//
// # Messages
//
// The call's id is the header Nats-Msg-Id; the class's fields and the call's
// traceparent are headers, too, as they are spelled.
//
// # What becomes of a call
//
//   - ok: worked on, whether its publication was acknowledged or not
//   - unroutable: no stream takes the subject, or JetStream does not answer
//   - nacked: the stream refused it, such as when it is full, or did not answer within
//     five seconds
//   - too large: above what the server takes
//   - connect: there was no connection when its turn to be published came
//   - connection: the connection was lost before it was acknowledged. It is not
//     published again, as that would be load that no schedule asked for, and is not
//     counted if it comes in later all the same.
//   - timeout: not worked on within its timeout
//
// A lost connection is made again; what is delivered again after that is worked on
// again and counted as repeated.
package nats

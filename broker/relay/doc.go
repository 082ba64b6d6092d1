// Package relay moves the messages of a plain queue or subject into the lanes of a
// queue with latency classes, on the same broker or another one.
//
// Where the publishers or the exchange in front of a queue can be changed, that
// is better: no relay, no delay. A relay is for what is in the queue already, and
// for publishers that can't be changed.
//
// # Nothing is lost
//
// A [Relay] takes messages from a [broker.Source], gives each one its class,
// publishes it through a [broker.Sender], and tells the source that it is done only
// after the destination has confirmed it. What a relay that dies had in hand
// comes again. The repeat has the same ID, for which the destination stores or
// delivers it once; except for messages that came without an ID and to which the
// source could only give a random one.
//
// # Order and speed
//
// At most Window messages are sent and not confirmed at any time, and three times as
// many are in hand, as the source takes a while to hand out the next. Each class has a goroutine, a mover, that sends the
// messages of its class in the order in which they came, without waiting for one
// to be confirmed before it sends the next. So a class keeps its order as long as
// nothing fails. When something fails, the mover stops sending, waits for the
// outcome of all that it has under way, pauses, and sends what was refused again,
// in order, one by one, and before everything newer. What was sent behind a refused
// message and accepted all the same is then before it: this can happen when a lane
// becomes full or has room for some sizes only, and when a broker goes away.
//
// # A full lane
//
// A lane that is full stops its own mover. The messages of other classes go past
// it, as long as there is room: in the end all that is in hand may be for the full
// lane, and then the relay waits. It can't take more and more, and a message that
// is given back to its source would lose its place there.
//
// # What can't be moved
//
// A message that the destination never takes (it is too large) is stored among
// the dead letters of the queue, with the reason. If it does not fit there either,
// it stays at its source: the relay holds it, says so, and goes on; another process
// gets it when the relay ends.
package relay

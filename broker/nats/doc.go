// Package nats puts queues with latency classes on NATS JetStream: on servers
// elsewhere, or on one inside the process.
//
// # Lanes
//
// JetStream has no message priority, and its priority groups rank consumers,
// not messages. So a queue is one stream per class, its lane, with work-queue
// retention (a message is gone once it is acknowledged) and one durable pull
// consumer. Whoever consumes chooses the lane at the moment it can take a
// message. Little is taken ahead of that, because what has been delivered
// can't be overtaken: each lane has at most one pull request parked at the
// server, for one message, and only while somebody waits in [Consumer.Next].
// While callers keep coming back within a millisecond, the lane asks for what is
// there already, so that at most eight messages of it are delivered and not taken.
//
// Each lane has its own bound in bytes, reserved on the disk, and refuses what
// is over it (the default of JetStream would delete the oldest message). A
// full batch lane therefore takes nothing from an interactive one.
//
// # At least once
//
// [Publisher.Publish] returns after JetStream stored the message; its ID is
// the Nats-Msg-Id, so that publishing again within the dedupe window stores
// nothing. A delivery that is not settled within AckWait comes again. As long
// as its consumer lives, heartbeats put that off.
//
// Done waits until the server confirms the acknowledgement (a "double ack").
// A plain ack is written to a buffer and may die with the process, and then
// work that was reported as done would be done again.
//
// What may come again is what was not confirmed; and not even that, while this
// process still works on it: a server that was killed delivers again what it has
// not written down as delivered, and the lane drops that. It also remembers the last
// messages whose Done was confirmed, for a server that has lost that, below.
//
// Retry waits for the server, too, and is on disk when the server has shut down:
// what a process gives back before it ends comes at once to the next one (within
// about two seconds, when the server looks for what is due), not after AckWait.
//
// Dead letters are ours: a stream's own bound on deliveries would leave the
// message in the lane, unseen by anybody. [Queue] stores a copy in the stream
// <queue>_dead under the same ID, and then acknowledges. A crash between the
// two repeats the first, which the dedupe window of that stream absorbs.
//
// # Looking and steering
//
// [Queue] reads messages by their sequence, which changes nothing. A pause is that
// of the lane's JetStream consumer, with an end in a hundred years; declaring the
// lane again keeps it. A replayed dead letter keeps its ID and goes under a
// Nats-Msg-Id of its own, as the lane may remember the ID.
//
// The folder of an embedded server has a Unix socket, over which another process
// of a user who may use the folder reaches the server ([ConnConfig].Dir).
//
// # Servers elsewhere
//
// [Connect] returns also while no server can be reached, and [Conn.OpenQueue]
// then returns a queue that is declared later; what asks the server fails at
// once with [broker.ErrUnavailable] until there is a connection. A server that
// answers and refuses (credentials, rights, no JetStream) is an error right away.
//
// With [QueueConfig].Replicas 3, a confirmation means that two of three servers
// of a cluster have the message. When the leader of a lane dies, another one
// is chosen within seconds, in which publishes to the lane fail.
//
// # Jobs
//
// [Jobs] keeps what is known of jobs, also for queues on other brokers: their
// records in a key-value bucket, changed by compare-and-swap on the revision,
// and the app's answers in a stream, in parts. The package comment of gateway
// says in which order the two and the message are written.
//
// # What a crash can lose
//
// The server answers after write(2), also to an acknowledgement (it writes that the
// message is removed: nats-server v2.15.2, fileStore.removeMsgFromBlock), so a killed
// process (SIGKILL) loses nothing that was confirmed. A crash of the operating system
// can lose the last two minutes, unless [ServerConfig].SyncAlways, or sync_interval:
// always of a server elsewhere, asks for an fsync before each confirmation. Then
// messages are missing, and some that were done come again, dropped by the processes
// that did them.
//
// A server that could not write to a stream, as the disk was full, takes nothing more
// into it as long as it runs, without a word to publishers. The publisher asks the stream,
// then ([Queue.Ping] says the same); [Server] starts its own anew when there is room.
//
// The server writes down which deliveries are under way at most every 100 ms.
// If it is killed sooner than that after a delivery, the message comes again
// at once and with the same attempt, rather than after AckWait with the next.
package nats

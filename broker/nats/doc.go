// Package nats puts queues with latency classes on NATS JetStream, and can run
// the JetStream server inside the process.
//
// # Lanes
//
// JetStream has no message priority, and its priority groups rank consumers,
// not messages. So a queue is one stream per class, its lane, with work-queue
// retention (a message is gone once it is acknowledged) and one durable pull
// consumer. Whoever consumes chooses the lane at the moment it can take a
// message. Nothing is taken ahead of that, because what has been delivered
// can't be overtaken: each lane has at most one pull request at the server,
// for one message, and only while somebody waits in [Consumer.Next].
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
// work that was reported as done would be done again. The difference is one round
// trip inside the process: on two cores, Next and Done took 45 µs together, and
// Next and a plain ack 27 µs (BenchmarkConsume).
//
// Retry is a plain negative acknowledgement: if it gets lost, the message
// comes after AckWait instead.
//
// Dead letters are ours: a stream's own bound on deliveries would leave the
// message in the lane, unseen by anybody. [Queue] stores a copy in the stream
// <queue>_dead under the same ID, and then acknowledges. A crash between the
// two repeats the first, which the dedupe window of that stream absorbs.
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
// The server answers after write(2), so a killed process (SIGKILL) loses
// nothing that was confirmed. A crash of the operating system can lose the
// last two minutes, unless [ServerConfig].SyncAlways asks for an fsync before
// each confirmation.
//
// The server writes down which deliveries are under way at most every 100 ms.
// If it is killed sooner than that after a delivery, the message comes again
// at once and with the same attempt, rather than after AckWait with the next.
package nats

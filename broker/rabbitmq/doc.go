// Package rabbitmq puts queues with latency classes on RabbitMQ, from 3.10 on.
//
// # Lanes
//
// Quorum queues know no priority before RabbitMQ 4, and whatever a queue has
// delivered can't be overtaken. So a queue here is a direct exchange <queue> and
// one queue <queue>.<class> per class, its lane, bound by the name of the class.
// Whoever consumes chooses the lane at the moment it can take a message.
//
// Each lane has its own bound and refuses what is over it. A full batch lane
// therefore takes nothing from an interactive one. Quorum queues tell a publisher
// that they are full when they are, so a burst may get over the bound.
//
// # Nothing is delivered ahead of its call
//
// AMQP 0-9-1 has no "give me one message" that waits: a consumer gets whatever its
// bound on unsettled deliveries allows, and what is being worked on counts
// towards it. [Consumer] therefore moves the bound with the work: while calls of
// Next come slowly, it opens a consumer on the channel for each call, for one
// message, and closes it before the server could send another. When calls come
// fast, consumers of four messages each stay open, so that the server is at most
// eight messages ahead, and as many as are asked for in 50 ms. Each lane has a
// channel of its own, as delivery tags and failures belong to channels. A lane
// keeps its order for who works on one message after the other; several consumers
// on a channel take turns.
//
// # One queue with priorities
//
// With [QueueConfig].Native all classes are in one queue <queue> with AMQP
// priorities, the most urgent the highest, for those who have other consumers on
// it. Lanes are better: here, a message that was delivered and that nobody asks
// for keeps more urgent ones from coming. Up to eight such messages wait in the
// consumer; then they are given back, again and again every 50 ms, for as long as
// somebody waits for another class. The bound is one for all classes, so a batch
// backlog can refuse an interactive message.
//
// # At least once
//
// [Publisher.Publish] returns after the broker confirmed the message: it is on the
// disks of a majority of the queue's nodes (quorum), or of its node (classic).
// Publishes go over a connection of their own. A server that is short of memory
// or disk stops reading from it, and they fail at once.
//
// Delivery tags mean something on one channel of one connection only. The tag 7
// of a lost connection names another message on the next one, and acknowledging
// that would lose it. So the automatic recovery of the client library, which
// keeps the channel, is not used: a lost connection takes its channels and
// deliveries with it, and settling one of those fails; the message comes again.
//
// AMQP confirms no acknowledgement. Done returns after the server answered a
// request that it read behind the acknowledgement. What is settled while that
// answer is under way goes out together behind it, with one request, and with one
// acknowledgement up to the first message that is still in hand. A server that
// dies within the next moments may deliver the message again.
//
// A message that is held unsettled for longer than the server's consumer_timeout
// (30 minutes) comes again, and with it all that the lane had in hand.
//
// # A server that is away
//
// [Connect] returns before a server is reached, and [Conn.OpenQueue] returns a
// queue that is declared later if none can be; what asks the server fails at once
// with [broker.ErrUnavailable] until there is a connection. A server that answers
// and refuses (credentials, vhost, rights, a queue that differs) is an error of
// OpenQueue. One that closes the connection within the handshake, without a word,
// counts as refusing: that is how RabbitMQ refuses a password.
//
// # Attempts and retries
//
// A quorum queue counts how often a message came back, also when it was delivered
// ahead and nobody had asked for it. A classic one knows only
// whether it did, so every Retry there stores a new copy that carries the count.
//
// A delayed retry is stored in a queue <queue>.<class>.retry.<n>s with a time to
// live, confirmed, and only then acknowledged. When its time is over, the server
// puts it at the end of its lane, and keeps it until the lane has confirmed that.
// Messages leave such a queue in the order in which they came, so one may wait for
// another that came earlier: the queues hold delays of up to 1 s, 2 s, 4 s and so
// on, up to 4096 s, hence never longer than about twice its delay (or 1 s). They
// are declared when they are needed, and are always quorum queues: what expires
// in a classic one is lost if the lane is full at that moment.
//
// A single server of 3.10 that is killed within half a second after it made a
// quorum queue forgets that queue's messages, so a new queue for delays is left
// alone for a second before it is used. [Conn.OpenQueue] does not wait.
//
// Dead letters are stored in <queue>.dead, confirmed, and then acknowledged. A
// crash between the two makes two dead letters of one message.
//
// # Looking and steering
//
// RabbitMQ can neither show a message without delivering it nor pause a queue.
// [Queue.Peek] therefore takes messages over one consumer and closes the channel,
// upon which the server puts them back in order. What is given back by a nack
// goes to the end of a quorum queue, and what was taken by basic.get goes back in
// the order of the consumers that the server makes for each. Either way the
// server has counted a delivery, or has marked the message as redelivered.
//
// A lane is paused while there is a message in the queue <queue>.<class>.paused.
// Each consumer asks for the number of messages there every two seconds, and
// before it opens its lane. With Native, one lane and one queue <queue>.paused stand
// for all classes.
//
// # Repeated messages
//
// RabbitMQ does not recognize a message that is published again. It is stored
// again, and the consumer recognizes it: what repeats a message that it holds, or
// has settled within the dedupe window, is acknowledged unseen. Each process
// remembers for itself, up to 65,536 messages per lane. So a repeated message may
// be worked on twice if several processes consume the lane, or if one was
// restarted in between. Use [broker.Message].ID where that matters.
package rabbitmq

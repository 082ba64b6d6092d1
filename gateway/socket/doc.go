// Package socket tells the kernel of which latency class a connection's packets
// are: it gives sockets the options of their class, before the first packet and each
// time when the class of a connection changes. It works on Linux; elsewhere it says
// once that it does not.
//
// # What the kernel makes of it
//
// Packets of all classes meet in the queue of a device. SO_PRIORITY says to this
// host's queue where a packet belongs (socket(7), tc-pfifo_fast(8), tc-htb(8)); the
// code point in the packet says it to queues of other hosts (RFC 2474; RFC 8622 for
// LE, the one below best effort); SO_MARK says it to this host's routing and
// filters. The others shape a single connection: how it reacts to congestion
// (TCP_CONGESTION), how fast it may be (SO_MAX_PACING_RATE), how much of it waits in
// the kernel, where nothing can overtake it any more (TCP_NOTSENT_LOWAT), and when it
// is given up (TCP_USER_TIMEOUT; tcp(7)).
//
// # In which order
//
// ip(7): IP_TOS sets the priority too, to one of those that Linux derived from the
// types of service of RFC 1349: "when a packet's type of service is changed, so is
// its priority". To those eyes AF21, which asks for low latency, is bulk: priority 2,
// the last band of pfifo_fast; and LE is best effort. IPV6_TCLASS sets none. So that
// both families do the same and what is asked for,
//
//  1. the code point is set first, and the priority after it;
//  2. a class with a code point has a priority even if it names none: 0, as without;
//  3. an IPv6 socket gets IP_TOS as well. It sends IPv4 packets when it is connected
//     to a v4-mapped address (ipv6(7)), and those of a listener on all addresses
//     mostly are. With IP_TOS left out, they would carry no code point.
//
// The octet that holds the code point has two more bits, for explicit congestion
// notification (RFC 3168 section 5). They are the connection's, and stay.
//
// # What changes back
//
// A connection carries requests of different classes. If only what a class names
// were set, an answer of batch could leave with the priority of the interactive one
// before it. So an option that any class names is set for all of them; those that do
// not name it get what a socket has by itself. An option that no class names is never
// touched.
//
// What has not left yet is not marked: the kernel reads the priority and the code
// point of the socket when it sends a packet, not when the program writes. Bytes of
// an earlier answer that are still in the send queue, and what has to be sent again,
// leave as of the present class. A client that waits for each answer before it asks
// for the next never sees this.
//
// # What is refused
//
// A mark, a priority above 6 and some congestion controls take capabilities, and a
// congestion control must be there. [NewSetter] tries everything on sockets of its
// own and reads it back, so that what the kernel refuses, or takes without effect, is
// said when the process starts: once per option, with what to do about it. From then
// on a class has the default of what it can't have, and each socket that goes without
// is counted. What is refused only later, as on sockets of another kind (MPTCP), is
// said and counted in the same way. No connection fails for it.
//
// # What it costs
//
// One system call to know the socket, and then one per option, but two for each code
// point: about half a microsecond each. Callers compare [Setter.Group] with that of the
// last request on the connection, and call nothing as long as it is the same.
package socket

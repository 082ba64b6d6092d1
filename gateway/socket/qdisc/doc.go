// Package qdisc knows the queues of a network device, which Linux calls queueing
// disciplines: it tells in which of them the packets of each latency class wait,
// and builds a tree of them made for the classes. It reads and writes them over
// netlink and exists on Linux only; elsewhere its functions return
// errors.ErrUnsupported.
//
// # Where a class lands
//
// A packet carries what its socket was given: SO_PRIORITY, DSCP and SO_MARK. What
// that does is up to the device. pfifo_fast, prio and, since Linux 6.7, fq look up
// a band by the priority's last four bits in a table that can be read back; mqprio
// does the same with sets of hardware queues; cake goes by DSCP; HTB goes by its
// filters, or by a priority that is the id of one of its classes. fq_codel and the
// like serve all alike, and a noqueue device, such as loopback or veth, keeps no
// queue at all: marks have no effect there. [Tree.Land] answers for all of these
// from what was read, and says so when it can't know.
//
// # The tree it builds
//
//	htb 6f76:                     default: the class that nothing tells apart
//	  6f76:1   rate R             what the device can send
//	    6f76:10 prio 0  the rest  most urgent class
//	    6f76:11 prio 1  its floor
//	    6f76:12 prio 2  its floor least urgent class
//
// HTB serves classes that are below their rate before those that borrow, and in
// both groups the lowest prio first. So the most urgent class is given all of R but
// the floors: it is served first whenever it has something to send, and the others
// share what it leaves, most urgent first, with no less than their floor (1 % at
// least). Every class may use all of R when the others are silent. A leaf is fq
// where the kernel has it, which is fair between connections, else pfifo.
//
// R must not be more than what the link can carry: packets have to wait here, in
// class order, and not in the network card or the next box, which know no class.
//
// The handle 6f76: ("ov") is how the tree is recognised again. All that is in it
// follows from the classes and R, so that building it again is a comparison.
package qdisc

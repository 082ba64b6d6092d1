// Package waterfall shows where the time of a request went: one trace as a
// waterfall of its hops, several as a table.
//
// # What counts as what
//
// A hop is a server or consumer span of Overtake. A request waits while a span
// overtake.queue (for a slot) or overtake.lane (for a consumer) is open; what waits
// in several places at once counts once. Between an attempt to deliver a message and
// the next one is a pause, as far as no span is open then. Waiting, working, pauses
// and the time that nothing covers add up to the whole. A hop's own time is what remains of its span
// without the hops and lanes below it: the one with the most is the slowest.
//
// # Clocks
//
// Hosts disagree about the time. A span of another process that begins before its
// parent, or a server's that begins after the call it answers has ended, can't have
// been so: it is moved, with all below it, into the middle of its parent, or to the
// parent's start if it is longer. What was moved is marked. That changes no
// duration of any span.
package waterfall

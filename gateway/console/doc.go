// Package console is the page on which people watch a gateway: its state as JSON, as a
// stream of events, and the page that shows it.
//
// # What is kept
//
// Of all work that ends, histograms of its wait and its latency are kept by class, in
// steps of 5 seconds for 15 minutes, whether somebody looks or not. A duration falls
// into one of 16 buckets per power of two, from 8 µs to 18 minutes, and a quantile is
// the middle of its bucket: it is wrong by 1/32 at most, 3.1 %. What is shorter counts
// as 0. The longest of all is exact.
//
// In the same steps, how long the servers of each upstream took, and its limit. What
// failed is counted by class, place, reason and status, none of which a client can make
// up, so that there are few. Work that does not fail pays nothing for it.
//
// Of each class and each of the last 15 minutes, the slowest few are kept with their
// hops. What is not among them costs one atomic load.
//
// # Who looks
//
// Once a second the state is encoded, once for all who look, and only while there is
// one. What must be asked of others, as the depths of a broker's queues, is asked in
// the background, every 2 seconds at most, so that one who hangs stalls nobody. A
// stream that is read too slowly is ended, and nobody waits for it.
package console

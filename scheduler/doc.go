// Package scheduler decides which waiting work goes next to a server of
// limited capacity, so that latency-sensitive work overtakes batch work.
//
// It knows slots, classes and flows; it does not know HTTP, messages or any
// other protocol. A Go service can use it alone:
//
//	lease, err := s.Acquire(ctx, scheduler.Work{Class: 0, Flow: maphash.String(seed, tenant)})
//	if err != nil {
//		return err // *ShedError, or the context's cause
//	}
//	defer lease.Release()
//
// The example of [New] has a configuration to begin with; docs/examples/middleware
// is an HTTP middleware to copy.
//
// # Two halves
//
// The core (core.go and one file per policy) is a plain state machine without
// lock, clock, goroutine or I/O: time is an argument. [Scheduler] is the thin
// shell around it, which owns the mutex and the goroutines that wait. Each
// policy can so be tested against a naive model, millions of times, and be run
// in simulated time.
//
// # The order
//
// A slot is the right to one unit of an upstream's concurrency. At most limit
// slots are out. Whenever a slot is free and work waits, pick decides:
//
//  1. Floor. A class with floor f that waits earns 1.1 f of a dispatch with each
//     dispatch of any class. A class that has earned a whole one is owed it and
//     goes first; of several, the one that would be the first to have earned a
//     second. The credit never falls below zero and ends with the wait, so a
//     class is neither punished for what it got nor can it hoard. All floors
//     together are at most 90 % and so earn at most 99 % of the dispatches:
//     earliest deadline first then serves each class before its credit reaches
//     two. A class that waits therefore gets more than 1.1 f n - 2 of any n
//     dispatches, which makes at least 10 of any 10/f, rounded up. The extra
//     tenth is the price of a promise that holds wherever the counting begins.
//     A floor may use reserved slots: it is a promise, the reserve a forecast.
//
//  2. Class order. Otherwise the most urgent waiting class goes, unless the
//     free slots are reserved for classes above it. With limit L, n slots in
//     use, and reserve r_i and m_i slots in use of class i, class k may start
//     while L - n > sum over i < k of max(0, r_i - m_i): a class's running work
//     fills its own reserve, and so do the slots that a probe (below) keeps free
//     for it. There is one order whatever the number of cores, since there is one
//     core behind one lock.
//
//  3. Flows. Inside a class the flows (tenants, clients, queues) take turns,
//     first in, first out inside one flow. A flow that begins to wait has its
//     turn after all that wait already. It is known only while it waits.
//
// # The reserve
//
// A fixed reserve that keeps interactive work from waiting is dear: the slot that
// it keeps free stands idle for most of the time. An automatic one is as large as
// the objective needs, and knows that a slot in use is nearly as good as a free one
// if it will be given back soon:
//
//   - A slot that less urgent work will hold for x more counts as 1 - x/2w of a
//     free one, but not below 0, where w is the objective: fully if it comes free
//     now, half if whoever waits for it just meets the objective. x is not known;
//     its expectation follows from the time for which the slot has been held and
//     the latest durations of its class (their distribution beyond that age). With
//     constant durations this staggers the work; with exponential ones, which have
//     no memory, each slot counts the same and nothing is lost.
//
//   - The reserve r itself is a stochastic approximation (Robbins and Monro 1951)
//     of a quantile: each piece of work moves it by 0.02 x (1 - 0.006) up if it
//     waited for longer than the objective, and by 0.02 x 0.006 down if not. These
//     balance when 6 in 1,000 wait longer, a little less than the 10 that may.
//     After 400 in a row that did not, it comes down faster and faster.
//
//   - What counts as the wait is the time in the waiting room and, up to half of the
//     objective, the time for which the server lets the work wait on, if the limit is
//     adaptive and leaves a queue there (below): (n - N)/X for work dispatched as the
//     n-th of a server that does N at once and completes X per second.
//
//   - Work that waited too long raises r only if that helps: not while no less
//     urgent work had a slot, nor while the reserve was not even filled (anti-windup),
//     as then what is wrong is not its size. And r stays below the slots that the
//     class can use at all, d + 4 sqrt(d) + 2, where d is rate of arrival x mean
//     duration: with Poisson arrivals, the number in service of an unlimited server
//     is Poisson with mean d.
//
//   - While nothing of the class comes, half of r is given back each second.
//
// A probe of the adaptive limit, below, is one more reserve, for a moment and for
// nobody.
//
// # The adaptive limit
//
// A server that does N pieces of work at once gains nothing from more, but for a
// queue inside that knows no classes. The limit of each server is found from what
// it does, by three measurements:
//
//   - S_c, how long work of class c takes without a queue: the mean over the
//     latest pieces dispatched while at most 0.6 of the slots were in use.
//   - R_c, how long it takes when the server is full (0.9 of the slots, or more).
//   - X_c, the rate of completion while it is full.
//
// By Little's law the work that waits inside is Q = sum over c of X_c (R_c - S_c),
// so that N = n - Q when n slots are in use. This holds for a queue and for a
// processor that all share, and for any mix of classes. The target is 1.05 to 1.08
// times N: a queue of that size can be told from none, so that growth of N is
// noticed, and costs little. The estimate's standard error is granted on top, as a
// limit that is too high costs less than one too low.
//
// An epoch has at least 16 samples and twice as many as slots, or as many as the
// variation of the durations needs, within a second. At its end the limit goes a
// part of the way to the target: 0.3, or more the surer the target is, d^2/(d^2+e^2)
// for a distance d and a doubt e; at most a quarter up and 35 % down. If no queue is
// seen in several epochs in a row, it grows by up to a quarter each. At the start and
// after a recovery it searches upwards from a low limit in steps of a half.
//
// Where reserves keep some slots free, fewer count as full, until there are enough
// samples; then no queue only shows that there are at least so many workers. After a
// big change and after a probe, an epoch begins when what was in the server before
// is as good as done, and does not count what outlasted that: it is long.
//
// S_c needs times in which the server is not full. Where the load does not bring
// them, a probe does: every 2 to 10 s, work of all but the most urgent class is held
// back, not refused, until at most half of N is in use, for as long as it takes to
// measure a few pieces of work, as a rule a fortieth of the time, or a tenth where
// work takes seconds. It ends when no work of the class that is to be measured is
// left. The most urgent class is not held back, unless it is most of the work; its
// reserve is then among the slots that the probe keeps free.
//
// When the search ends, and when work takes 1.4 times as long as S_c says, or that
// much less long, S_c itself is in doubt: it may have been measured with a queue or
// while the server was still warming up, or the work has changed. Then up to three
// probes go down to 0.3 of N, and what was begun in them replaces S_c, once it is
// enough for how much it varies.
//
// So there is no refusal by a probe, no smallest time ever seen that grows stale or
// drifts, and no growth without bound under mild overload: growth needs work that
// waits, all slots in use and no queue. Not counted are durations that the caller
// marks as [Unmeasured]: streams, failures, clients that left.
//
// With several servers, work goes to the one with the smallest part of its limit in
// use, and one server is probed at a time.
//
// # The waiting room
//
// Waiting work is bounded per class in number and bytes. An arrival that must
// wait and finds no room, in its class or in all together, pushes out the newest
// work of the least urgent class below it, and goes on until what it pushed out
// held as many bytes as it brings, if bytes are short. A class with a floor keeps
// that share of its places: what is pushed out can't be served by its floor. If
// there is not so much to push out, nothing is. Then, if it is the number that is
// short, the newest work of the longest flow in the class goes, counting the
// arrival as its flow's: a busy flow can't take more than its share of the room.
// Of several longest flows it is the arrival's own, else the one that came to this
// length last. Otherwise the arrival is refused. So urgent work may take room of
// less urgent work, never the other way round, and all classes together never
// exceed the sum of their bounds.
//
// Work ends its wait by being dispatched, shed with a [Reason], or withdrawn when
// its context ends, in O(1) wherever it stands. Work past its max wait is never
// dispatched, nor is work that would not be done by its deadline: because that has
// passed, or because nine of ten of the latest pieces of work of its class (128 at
// most, 16 at least) took longer than is left. When no work of the class has ended for
// 2 s, this is forgotten: some must be tried to learn that the server is well again.
//
// # What a wait was like
//
// Each [Lease] and [ShedError] tells in [Wait] what stood before the work when it
// came, how often later work was dispatched before it, and how much earlier work it
// was dispatched before. The counts are exact; the counter Overtakes counts the work
// that was dispatched before any. Two Fenwick trees over the order of arrival, of what
// waits and of what was dispatched, give each in O(log n); a third, over the lengths of
// a class's flows, gives what stands before a newcomer: of each flow, as many as it has,
// but at most as many as the newcomer's own, which is a prefix sum of the number of
// flows that have at least so many. While nothing waits, none of them is touched.
//
// # Overload
//
// First in, first out is right as long as everybody gets served in time. When a
// class has missed its objective for longer than a burst lasts, it serves those who
// have given up: everybody waits for the same too long time. So when the first in
// line has waited for longer than the objective for 100 ms without a break (CoDel's
// interval, RFC 8289), each flow's newest work goes first, until the first in line
// is younger than the objective again. Those who came lately get an answer, the
// others one in the end or a refusal by their max wait.
//
// [Scheduler.RetryAfter] tells who was refused when to come again: what waits in
// this class and in those above it, each for as long as work of its class lately
// took, in the slots that those above leave; at least one second, at least 1.5 times as long as for the next
// more urgent class, and up to half as long again at random.
package scheduler

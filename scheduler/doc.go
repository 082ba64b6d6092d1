// Package scheduler decides which waiting work goes next to a server of
// limited capacity, so that latency-sensitive work overtakes batch work.
//
// It knows slots, classes and flows; it does not know HTTP, messages or any
// other protocol. A Go service can use it alone:
//
//	lease, err := s.Acquire(ctx, scheduler.Work{Class: 0, Flow: tenant})
//	if err != nil {
//		return err // *ShedError, or the context's cause
//	}
//	defer lease.Release()
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
//     fills its own reserve.
//
//  3. Flows. Inside a class the flows (tenants, clients, queues) take turns,
//     first in, first out inside one flow. A flow that begins to wait has its
//     turn after all that wait already. It is known only while it waits.
//
// # The waiting room
//
// Waiting work is bounded per class in number and bytes. An arrival that must
// wait and finds no room, in its class or in all together, pushes out the newest
// work of the least urgent class below it, and goes on until what it pushed out
// held as many bytes as it brings, if bytes are short. If there is not so much
// below it, it is refused and pushes out nothing. So urgent work may take room of
// less urgent work, never the other way round, and all classes together never
// exceed the sum of their bounds.
//
// Work ends its wait by being dispatched, shed with a [Reason], or withdrawn
// when its context ends. Work past its max wait or deadline is never dispatched.
package scheduler

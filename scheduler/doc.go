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
//  1. Floor. A class with floor f that waits earns f of a dispatch with each
//     dispatch of any class. A class that has earned a whole one is owed it and
//     goes first. The credit never falls below zero and ends with the wait, so
//     a class is neither punished for what it got nor can it hoard. A class is
//     owed as many dispatches early as there are other classes with a floor,
//     since each of them may be served before it; so in any window of 10/f
//     dispatches in which the class waits it gets at least 10 of them. A floor
//     may use reserved slots: it is a promise, the reserve a forecast.
//
//  2. Class order. Otherwise the most urgent waiting class goes, unless the
//     free slots are reserved for classes above it. With limit L, n slots in
//     use, and reserve r_i and m_i slots in use of class i, class k may start
//     while L - n > sum over i < k of max(0, r_i - m_i): a class's running work
//     fills its own reserve.
//
//  3. Flows. Inside a class the flows (tenants, clients, queues) take turns,
//     first in, first out inside one flow. A flow costs memory only while it
//     waits.
//
// # The waiting room
//
// Waiting work is bounded per class in number and bytes. An arrival that finds
// its class full pushes out the newest work of the least urgent class below it,
// rather than being refused; so urgent work may take room of less urgent work,
// never the other way round, and all classes together never exceed the sum of
// their bounds.
//
// Work ends its wait by being dispatched, shed with a [Reason], or withdrawn
// when its context ends. Work past its max wait or deadline is never dispatched.
package scheduler

package scheduler

import (
	"context"
	"fmt"
	"time"

	"overtake/classifier"
)

// Reason says why work was shed.
type Reason uint8

// The reasons, as the wire contract and the metrics name them.
const (
	QueueFull  Reason = iota + 1 // the class's waiting room is full
	QueueBytes                   // the waiting room has no room for so many bytes
	MaxWait                      // waited as long as its class allows
	Deadline                     // the deadline passed before a slot was free
	Displaced                    // pushed out by more urgent work
	Draining                     // the scheduler is shutting down
	numReasons
)

var reasonNames = [numReasons]string{
	QueueFull: "queue_full", QueueBytes: "queue_bytes", MaxWait: "max_wait",
	Deadline: "deadline", Displaced: "displaced", Draining: "draining",
}

// String returns the reason's name in the contract, such as "queue_full".
func (r Reason) String() string {
	if r < numReasons && reasonNames[r] != "" {
		return reasonNames[r]
	}
	return fmt.Sprintf("reason(%d)", uint8(r))
}

// Reasons returns all reasons, for those who count by them.
func Reasons() []Reason {
	all := make([]Reason, 0, numReasons-1)
	for r := QueueFull; r < numReasons; r++ {
		all = append(all, r)
	}
	return all
}

// ShedError is why Acquire refused work.
type ShedError struct {
	Class  classifier.Class
	Reason Reason
	// RetryAfter is when to try again, see [Scheduler.RetryAfter].
	RetryAfter time.Duration
	// Waited is for how long it had waited, and Wait how.
	Waited time.Duration
	Wait   Wait
}

func (e *ShedError) Error() string {
	return fmt.Sprintf("scheduler: shed work of class %d: %s", e.Class, e.Reason)
}

// Is lets errors.Is(err, context.DeadlineExceeded) hold for work whose deadline
// passed, as callers of context-aware functions expect.
func (e *ShedError) Is(target error) bool {
	return target == context.DeadlineExceeded && e.Reason == Deadline
}

// Outcome says what the duration of a piece of work tells about its server.
type Outcome uint8

const (
	// Done is work that took as long as the server needed, whatever came of it.
	Done Outcome = iota
	// Unmeasured is work whose duration says nothing: a stream, a failure to
	// connect, a client that left, an error answered without any work.
	Unmeasured
)

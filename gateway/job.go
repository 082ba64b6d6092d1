package gateway

import (
	"encoding/json"
	"fmt"
	"time"

	"overtake/broker"
)

// jobState is how far a job has come, in the words of the contract.
type jobState string

const (
	jobQueued    jobState = "queued"
	jobRunning   jobState = "running"
	jobDone      jobState = "done"
	jobFailed    jobState = "failed"
	jobCancelled jobState = "cancelled"
)

const (
	// recordLife is how long the record of a job is kept that has not ended.
	recordLife = 30 * 24 * time.Hour
	// leastLife is how long that of one is kept that has.
	leastLife = time.Second
	// keyedLife is the same where a repeated request can make the same id, as
	// long as a broker may take its message for a repetition, and drop it; and where
	// a message of the job may still be in some gateway's hand.
	keyedLife = 5 * time.Minute
)

// job is what a client can see of a job.
type job struct {
	ID       string    `json:"id"`
	State    jobState  `json:"state"`
	Class    string    `json:"class"`
	Queue    string    `json:"queue"`
	Attempts int       `json:"attempts"`
	Created  time.Time `json:"created,omitzero"`
	Started  time.Time `json:"started,omitzero"` // the last attempt
	Finished time.Time `json:"finished,omitzero"`
	// Reason is why it failed, why it comes again, or who cancelled it but its client.
	Reason string     `json:"reason,omitempty"`
	Answer *jobAnswer `json:"answer,omitempty"` // the last one that the app gave
}

// jobAnswer is what a client can see of an answer without reading it.
type jobAnswer struct {
	Status int   `json:"status"`
	Bytes  int64 `json:"bytes"` // of the body
	// Kept says whether it can be read, and Lost why not.
	Kept bool   `json:"kept"`
	Lost string `json:"lost,omitempty"`
}

// record is what the store holds of a job. Its methods are the state machine of
// the package comment: pure, and each reports whether it has changed anything.
type record struct {
	job
	// AnswerName is where the answer is stored.
	AnswerName string `json:"answer_name,omitempty"`
	// Print tells requests under one Idempotency-Key apart.
	Print string `json:"print,omitempty"`
	// Unpublished: the broker has not confirmed the message, as far as the record
	// knows. Nobody has been told of the job then, and the record soon goes.
	Unpublished bool `json:"unpublished,omitempty"`
	// Withdrawn: the broker has refused the message. It counts as no record.
	Withdrawn bool `json:"withdrawn,omitempty"`
	// Replayed is the [broker.HeaderReplayed] of the last message that revived it.
	Replayed string `json:"replayed,omitempty"`
	// Settled: no message of the job is left that its record would have to stop.
	Settled bool `json:"settled,omitempty"`
}

// ended reports whether nothing can change the state any more.
func (s jobState) ended() bool { return s == jobDone || s == jobFailed || s == jobCancelled }

// claim makes the job running. It may be running already: then its gateway has
// died, or was thought dead.
func (r *record) claim(attempt int, now time.Time) bool {
	if r.State.ended() {
		return false
	}
	r.State, r.Started, r.Reason, r.Unpublished = jobRunning, now, "", false
	r.Attempts = max(r.Attempts, attempt)
	return true
}

// requeue makes a job wait again that was claimed then. If it has been claimed
// anew, that is another gateway's matter.
func (r *record) requeue(claimed time.Time, reason string) bool {
	if r.State != jobRunning || !r.Started.Equal(claimed) {
		return false
	}
	r.State, r.Reason = jobQueued, reason
	return true
}

// finish ends the job as done or failed.
func (r *record) finish(state jobState, reason string, now time.Time) bool {
	if r.State.ended() {
		return false
	}
	r.State, r.Reason, r.Finished, r.Settled, r.Unpublished = state, reason, now, true, false
	return true
}

// answered notes the answer to an attempt, whatever it makes of the job.
func (r *record) answered(a *jobAnswer, name string) bool {
	if a == nil || r.State.ended() {
		return false
	}
	r.Answer, r.AnswerName = a, name
	return true
}

// cancel ends the job before the app has answered.
func (r *record) cancel(now time.Time) bool {
	if r.State.ended() {
		return false
	}
	r.State, r.Reason, r.Finished = jobCancelled, "", now
	return true
}

// purge cancels a job that waits, as its message has been removed. One that was not,
// as it was in hand or waits for a retry, meets a job that has ended.
func (r *record) purge(now time.Time) bool {
	if r.State != jobQueued {
		return false
	}
	r.State, r.Reason, r.Finished, r.Settled, r.Unpublished = jobCancelled, reasonPurged, now, r.Attempts == 0, false
	return true
}

// revive makes a failed job wait again, as it was replayed, once for each time. If
// its message comes again after that, the record settles it as ever.
func (r *record) revive(replayed string) bool {
	if r.State != jobFailed || replayed == r.Replayed {
		return false
	}
	r.State, r.Attempts, r.Reason, r.Finished = jobQueued, 0, "", time.Time{}
	r.Answer, r.AnswerName = nil, ""
	r.Settled, r.Withdrawn, r.Replayed = false, false, replayed
	return true
}

// published notes that the broker has confirmed the message.
func (r *record) published() bool {
	was := r.Unpublished
	r.Unpublished = false
	return was
}

// doubt notes that the broker did not confirm the message in time.
func (r *record) doubt() bool {
	if r.Unpublished || r.State != jobQueued || r.Attempts > 0 {
		return false
	}
	r.Unpublished = true
	return true
}

// withdraw ends a job whose message the broker has refused.
func (r *record) withdraw() bool {
	if r.Withdrawn || r.State != jobQueued || r.Attempts > 0 {
		return false
	}
	r.State, r.Withdrawn = jobFailed, true
	return true
}

// settle is for when the message of a cancelled job has been met.
func (r *record) settle() bool {
	if r.State != jobCancelled || r.Settled {
		return false
	}
	r.Settled = true
	return true
}

// stored is the record as the store gets it; keep is how long the queue keeps
// results.
func (r *record) stored(revision uint64, keep time.Duration) *broker.Record {
	value, err := json.Marshal(r)
	if err != nil {
		panic(fmt.Sprintf("gateway: record of a job: %v", err)) // strings, numbers and times
	}
	out := &broker.Record{ID: r.ID, Value: value, Revision: revision, Keep: recordLife}
	switch {
	case r.Withdrawn, r.Unpublished && r.State == jobQueued && r.Print == "":
		out.Keep = leastLife
	case r.Unpublished && r.State == jobQueued:
		out.Keep = keyedLife
	case r.State.ended() && r.Settled && r.Print == "" && r.Reason != reasonPurged:
		out.Keep, out.Least = max(keep, leastLife), leastLife
	case r.State.ended() && r.Settled:
		out.Keep, out.Least = max(keep, keyedLife), keyedLife
	}
	return out
}

// jobIDLength is that of 16 bytes in base32, and of crypto/rand.Text.
const jobIDLength = 26

// isJobID reports whether id can be one that a gateway has made. Messages of
// others have no record: who can guess their ids could read and cancel them.
func isJobID(id string) bool {
	for i := range len(id) {
		if c := id[i]; (c < 'A' || c > 'Z') && (c < '2' || c > '7') {
			return false
		}
	}
	return len(id) == jobIDLength
}

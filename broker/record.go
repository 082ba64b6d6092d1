package broker

import (
	"errors"
	"time"
)

// Errors of stores of records and answers.
var (
	// ErrConflict: the record has been changed since it was loaded. Load it
	// again, and decide anew.
	ErrConflict = errors.New("record changed meanwhile")
	// ErrGone: there is no such answer, or not all of it any more.
	ErrGone = errors.New("not kept any more")
)

// Record is what is known of one job, as the store sees it: bytes under an ID,
// with a revision that every change raises.
type Record struct {
	// ID is 1 to 128 letters and digits.
	ID    string
	Value []byte
	// Revision is the one that was loaded; 0 for a record that does not exist.
	Revision uint64
	// Keep is how long the record lives after it has been saved; 0 is for ever.
	Keep time.Duration
	// Least is how long it lives when the store gets full; 0 is as long as Keep.
	Least time.Duration
}

package gateway

import (
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

const (
	// retriesAnyway are sent each second whatever the budget is, so that few requests
	// are no reason for none.
	retriesAnyway = 3
	// savedRetries bounds how many a quiet time saves up.
	savedRetries = 100
	// wholeRetry is one in the unit of a budget's share, hundredths of a percent.
	wholeRetry = 10_000
)

// budget bounds how many requests are sent again: by a share of all requests, so that
// an app that fails everything gets no more than that on top. It is safe for
// concurrent use.
type budget struct {
	share  int64 // of a retry, that each request saves up
	saved  atomic.Int64
	anyway *rate.Limiter
}

func newBudget(share int) *budget {
	return &budget{share: int64(share), anyway: rate.NewLimiter(retriesAnyway, retriesAnyway)}
}

// request counts a request that is sent for the first time.
func (b *budget) request() {
	if b.saved.Load() < savedRetries*wholeRetry {
		b.saved.Add(b.share)
	}
}

// take reports whether a request may be sent again, and counts it if so.
func (b *budget) take(now time.Time) bool {
	for saved := b.saved.Load(); saved >= wholeRetry; saved = b.saved.Load() {
		if b.saved.CompareAndSwap(saved, saved-wholeRetry) {
			return true
		}
	}
	return b.anyway.AllowN(now, 1)
}

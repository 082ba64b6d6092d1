package loadgen

import (
	"math"
	"sync"
	"time"

	"github.com/valyala/fasthttp"
)

const (
	completionsKept    = 1 << 16 // finished requests that the app remembers
	completionsPerPage = 1 << 13 // at most this many in one answer
)

// completion is one finished work request.
type completion struct {
	ID               string `json:"id"`
	FinishedUnixNano int64  `json:"finished_unix_nano"`
}

// completionsPage is the answer of GET /completions?after=N: what finished
// after the N-th completion, oldest first. A reader goes on with after=next
// until a page is empty.
type completionsPage struct {
	Next  uint64       `json:"next"`
	Lost  uint64       `json:"lost"` // finished after N, but no longer remembered
	Items []completion `json:"items"`
}

// completions is a ring of the latest finished requests: memory stays bounded,
// and who reads too late learns how much was missed.
type completions struct {
	mu    sync.Mutex
	ring  []completion // number n is at n % len
	total uint64       // ever added
}

func newCompletions(keep int) *completions {
	return &completions{ring: make([]completion, keep)}
}

func (c *completions) add(id string, at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ring[c.total%uint64(len(c.ring))] = completion{ID: id, FinishedUnixNano: at.UnixNano()}
	c.total++
}

// page returns at most limit completions after number after. A number from the
// future (the app has restarted) counts as the newest.
func (c *completions) page(after uint64, limit int) completionsPage {
	c.mu.Lock()
	defer c.mu.Unlock()
	first := min(after, c.total)
	var lost uint64
	if kept := min(c.total, uint64(len(c.ring))); c.total-first > kept {
		lost = c.total - first - kept
		first += lost
	}
	count := min(c.total-first, uint64(limit))
	items := make([]completion, count)
	for i := range items {
		items[i] = c.ring[(first+uint64(i))%uint64(len(c.ring))]
	}
	return completionsPage{Next: first + count, Lost: lost, Items: items}
}

func (a *App) handleCompletions(ctx *fasthttp.RequestCtx) {
	after, err := intArg(ctx, "after", 0, math.MaxInt64)
	if err != nil {
		ctx.Error(err.Error()+"\n", fasthttp.StatusBadRequest)
		return
	}
	writeJSONBody(ctx, a.completed.page(uint64(after), completionsPerPage))
}

// Package completion is how the sample app tells a load generator which work it
// has finished, and when: a list that is read by number, so that memory stays
// bounded and a reader learns how much it has missed.
package completion

import (
	"sync"
	"time"
)

// HeaderID is the request header by which the generator names each request:
// <class>/<number>. The app lists finished work under it.
const HeaderID = "Loadgen-Id"

// PerPage is how many items a page has at most.
const PerPage = 1 << 13

// Item is one finished request.
type Item struct {
	ID               string `json:"id"`
	FinishedUnixNano int64  `json:"finished_unix_nano"`
}

// Page is the answer of GET /completions?after=N: what finished
// after the N-th completion, oldest first. A reader goes on with after=next
// until a page is empty.
type Page struct {
	Next  uint64 `json:"next"`
	Lost  uint64 `json:"lost"` // finished after N, but no longer remembered
	Items []Item `json:"items"`
}

// List is a ring of the latest finished requests: memory stays bounded,
// and who reads too late learns how much was missed.
type List struct {
	mu    sync.Mutex
	ring  []Item // number n is at n % len
	total uint64 // ever added
}

// NewList returns a list that remembers the latest keep items.
func NewList(keep int) *List {
	return &List{ring: make([]Item, keep)}
}

// Add appends a finished request.
func (c *List) Add(id string, at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ring[c.total%uint64(len(c.ring))] = Item{ID: id, FinishedUnixNano: at.UnixNano()}
	c.total++
}

// Page returns at most [PerPage] items after number after. A number from the
// future (the app has restarted) counts as the newest.
func (c *List) Page(after uint64) Page {
	c.mu.Lock()
	defer c.mu.Unlock()
	first := min(after, c.total)
	var lost uint64
	if kept := min(c.total, uint64(len(c.ring))); c.total-first > kept {
		lost = c.total - first - kept
		first += lost
	}
	count := min(c.total-first, PerPage)
	items := make([]Item, count)
	for i := range items {
		items[i] = c.ring[(first+uint64(i))%uint64(len(c.ring))]
	}
	return Page{Next: first + count, Lost: lost, Items: items}
}

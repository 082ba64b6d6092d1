package scheduler

import (
	"slices"
	"time"
)

// durations is how long the latest work of one class held its slots.
type durations struct {
	ring   []time.Duration // the latest, up to keptDurations
	next   int             // where the next one goes
	sum    time.Duration   // of ring
	latest time.Duration   // when the last one was added

	// Ordering is put off until somebody asks.
	sorted  []time.Duration // ring in order, but for what was added since
	added   int             // since then
	dropped []time.Duration // from ring since then
	sums    []time.Duration // of the beginnings of sorted; empty until asked for
}

const (
	keptDurations = 128
	// fewDurations is how many it takes to predict anything.
	fewDurations = 16
	// staleAfter is when the past no longer says anything about now. Without
	// it, an estimate by which work is refused could never be corrected.
	staleAfter = 2 * time.Second
	// fewAdded is up to where inserting is faster than sorting.
	fewAdded = 16
)

func (d *durations) add(x, now time.Duration) {
	if len(d.ring) > 0 && now-d.latest >= staleAfter {
		*d = durations{ring: d.ring[:0], sorted: d.sorted[:0], dropped: d.dropped[:0], sums: d.sums[:0]}
	}
	if len(d.ring) < keptDurations {
		d.ring = append(d.ring, x)
	} else {
		old := d.ring[d.next]
		d.ring[d.next] = x
		d.sum -= old
		if d.added < fewAdded {
			d.dropped = append(d.dropped, old)
		}
	}
	d.added++
	d.sum += x
	d.next = (d.next + 1) % keptDurations
	d.latest = now
}

// order brings sorted up to date: one by one where few were added.
func (d *durations) order() {
	if d.added == 0 {
		return
	}
	if d.added > fewAdded {
		d.sorted = append(d.sorted[:0], d.ring...)
		slices.Sort(d.sorted)
	} else {
		for _, x := range d.dropped {
			i, _ := slices.BinarySearch(d.sorted, x)
			d.sorted = slices.Delete(d.sorted, i, i+1)
		}
		for n := d.added; n > 0; n-- {
			x := d.ring[(d.next+keptDurations-n)%keptDurations]
			i, _ := slices.BinarySearch(d.sorted, x)
			d.sorted = slices.Insert(d.sorted, i, x)
		}
	}
	d.added, d.dropped, d.sums = 0, d.dropped[:0], d.sums[:0]
}

// mean returns 0 when nothing is known.
func (d *durations) mean() time.Duration {
	if len(d.ring) == 0 {
		return 0
	}
	return d.sum / time.Duration(len(d.ring))
}

// short returns a duration that nine of ten exceed, or 0 when too little is known.
func (d *durations) short(now time.Duration) time.Duration {
	if len(d.ring) < fewDurations || now-d.latest >= staleAfter {
		return 0
	}
	d.order()
	return d.sorted[len(d.sorted)/10]
}

// soon says how nearly a slot that has been held for age counts as free: the
// expectation of 1 - x/horizon, but at least 0, where x is how long it will
// still be held if it is held like the latest were.
func (d *durations) soon(age, horizon time.Duration) float64 {
	if len(d.ring) < fewDurations {
		return 0
	}
	d.order()
	if len(d.sums) == 0 {
		sum := time.Duration(0)
		d.sums = append(d.sums, 0)
		for _, x := range d.sorted {
			sum += x
			d.sums = append(d.sums, sum)
		}
	}
	first, _ := slices.BinarySearch(d.sorted, age+1)
	longer := len(d.sorted) - first
	if longer == 0 {
		return 0.5 // overdue: it may end any time, or never
	}
	last, _ := slices.BinarySearch(d.sorted, age+horizon)
	n, sum := float64(last-first), float64(d.sums[last]-d.sums[first])
	return (n - (sum-n*float64(age))/float64(horizon)) / float64(longer)
}

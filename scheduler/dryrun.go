package scheduler

import "time"

// dryRun lets everything run at once and has the core decide about it all the
// same: what would have waited, been shed or overtaken is counted, and nothing is
// changed. Work that ends before its turn would have come counts as withdrawn.
type dryRun struct {
	core    *core
	running []int // by server, really
}

// dryWork is one piece of work in a dry run.
type dryWork struct {
	ticket
	concurrency int // of its server when it started
	began       time.Duration
	released    bool
}

func newDryRun(c *core) *dryRun {
	d := &dryRun{core: c, running: make([]int, len(c.servers))}
	d.holdNothingBack()
	return d
}

// holdNothingBack keeps the limiters from probing, for which there is nothing that
// they could hold back.
func (d *dryRun) holdNothingBack() {
	for i := range d.core.servers {
		if l := d.core.servers[i].limiter; l != nil {
			l.passive = true
		}
	}
}

// acquire starts a piece of work whatever the core thinks of it, on the server
// where the least runs.
func (d *dryRun) acquire(t ticket, now time.Duration) (work *dryWork, server int) {
	server = -1
	for i, n := range d.running {
		better := server < 0 || n < d.running[server]
		if server >= 0 && t.avoid != nil && t.avoid[i] != t.avoid[server] {
			better = t.avoid[server]
		}
		if d.core.serves(i) && better {
			server = i
		}
	}
	d.running[server]++
	work = &dryWork{ticket: t, concurrency: d.running[server], began: now}
	d.core.arrive(&work.ticket, now)
	return work, server
}

// release ends a piece of work, and reports false if it had ended before.
func (d *dryRun) release(w *dryWork, on int, outcome Outcome, now time.Duration) bool {
	if w.released {
		return false
	}
	w.released = true
	d.running[on]--
	if outcome == Done {
		d.core.learn(sample{
			class: w.class, inFlight: w.concurrency, took: now - w.began, waiting: d.core.waiting > 0,
		}, on, now)
	}
	switch w.state {
	case started:
		return d.core.release(w.slot, Unmeasured, now)
	case waiting:
		if !d.core.expire(&w.ticket, now) {
			d.core.withdraw(&w.ticket)
		}
	}
	return true
}

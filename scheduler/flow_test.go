package scheduler

import (
	"testing"
	"time"
)

// A million flows cost no more memory than what may wait at the same time.
func TestMillionFlows(t *testing.T) {
	const flows, room = 1_000_000, 1000
	c := newCore(Config{Limit: 1, Classes: []ClassConfig{{MaxWaiting: room}}})
	running, ok := c.startNow(0, 0, nil, time.Hour)
	if !ok {
		t.Fatal("no slot free")
	}
	allocated := testing.AllocsPerRun(1, func() {
		for flow := range uint64(flows) {
			c.arrive(&ticket{flow: flow}, time.Hour)
			if flow >= room && flow%10 == 0 {
				c.release(running, Unmeasured, time.Hour)
				c.dispatch(time.Hour)
				for _, t := range c.decided {
					if t.state == started {
						running = t.slot
					}
				}
			}
			c.decided = c.decided[:0]
		}
	})
	f := &c.classes[0].flows
	spares := 0
	for q := f.spare; q != nil; q = q.next {
		spares++
	}
	if len(f.byKey) > room || spares > 2*room || len(f.byLength) > 3 {
		t.Errorf("%d flows known, %d spare, lengths up to %d: want no more than the %d that wait", len(f.byKey), spares, len(f.byLength), room)
	}
	if perFlow := allocated / flows; perFlow > 1.1 { // the ticket, and nothing that stays
		t.Errorf("%.2f allocations per arrival", perFlow)
	}
}

// What a flow gets of the waiting room does not depend on how much it asks for.
func TestBusyFlowLeavesRoom(t *testing.T) {
	const room = 100
	c := newCore(Config{Limit: 1, Classes: []ClassConfig{{MaxWaiting: room}}})
	c.startNow(0, 0, nil, time.Hour)
	shed := make(map[uint64]int)
	arrive := func(flow uint64) {
		c.arrive(&ticket{flow: flow}, time.Hour)
		for _, t := range c.decided {
			shed[t.flow]++
		}
		c.decided = c.decided[:0]
	}
	for range 1000 {
		arrive(0)
	}
	for range 20 {
		arrive(1)
		for range 10 {
			arrive(0)
		}
	}
	if shed[1] > 0 {
		t.Errorf("%d of 20 of the quiet flow were refused, the busy one has 80 places", shed[1])
	}
	if got := c.classes[0].flows.byKey[0].bounded; got != room-20 {
		t.Errorf("the busy flow has %d places, want %d", got, room-20)
	}
}

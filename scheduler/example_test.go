package scheduler_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"overtake/scheduler"
)

// A service that does not know what it can do at once, nor how many slots its
// interactive work needs: both are found.
func ExampleNew() {
	const interactive, batch = 0, 1
	s, err := scheduler.New(scheduler.Config{
		Limit:    16, // to start with
		Adaptive: &scheduler.AdaptiveConfig{Min: 2, Max: 512},
		Classes: []scheduler.ClassConfig{
			interactive: {Objective: 25 * time.Millisecond, AutoReserve: true, MaxWaiting: 1000, MaxWait: time.Second},
			batch:       {MaxWaiting: 1000, MaxWait: 30 * time.Second, Floor: 500}, // at least 5 % while it waits
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	lease, err := s.Acquire(context.Background(), scheduler.Work{Class: interactive})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(s.Limit(), "slots,", s.Snapshot().Classes[interactive].Running, "in use")
	lease.Release()
	// Output:
	// 16 slots, 1 in use
}

// A service with one worker lets interactive work overtake batch work.
func Example() {
	const interactive, batch = 0, 1
	s, err := scheduler.New(scheduler.Config{
		Limit: 1,
		Classes: []scheduler.ClassConfig{
			interactive: {MaxWaiting: 100, MaxWait: time.Second},
			batch:       {MaxWaiting: 1, Floor: 1000},
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	busy, _ := s.Acquire(ctx, scheduler.Work{Class: batch})

	done := make(chan struct{})
	work := func(name string, w scheduler.Work) {
		lease, err := s.Acquire(ctx, w)
		if err == nil {
			fmt.Println(name, "runs")
			lease.Release()
		}
		done <- struct{}{}
	}
	go work("report", scheduler.Work{Class: batch})
	for s.Snapshot().Classes[batch].Waiting < 1 {
	}
	go work("click", scheduler.Work{Class: interactive})
	for s.Snapshot().Classes[interactive].Waiting < 1 {
	}

	// There is room for one report only.
	_, err = s.Acquire(ctx, scheduler.Work{Class: batch})
	var shed *scheduler.ShedError
	if errors.As(err, &shed) {
		fmt.Println("second report:", shed.Reason)
	}

	busy.Release()
	<-done
	<-done
	// Output:
	// second report: queue_full
	// click runs
	// report runs
}

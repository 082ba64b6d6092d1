package console

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestAskedNeverWaits: one who hangs is waited for a moment at first, and never again;
// what was known stays, with why nothing newer is.
func TestAskedNeverWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTest(t)
		var asked int
		var answer error
		hangs := false
		a := NewAsked(c, func(ctx context.Context) (int, error) {
			if hangs {
				<-ctx.Done() // until the console gives up
				return 0, ctx.Err()
			}
			asked++
			return asked, answer
		})
		latest := func(what string, want int, wantErr bool) {
			t.Helper()
			before := time.Now()
			c.ask()
			got, err := a.Latest()
			if got != want || (err != nil) != wantErr {
				t.Errorf("%s: %d, %v", what, got, err)
			}
			if took := time.Since(before); took > firstPatience {
				t.Errorf("%s: took %v", what, took)
			}
			synctest.Wait()
		}
		latest("first", 1, false)
		for range 10 {
			latest("at once", 1, false)
		}
		time.Sleep(askEvery)
		latest("the old one, while it is asked anew", 1, false)
		latest("the new one", 2, false)
		answer = errors.New("away")
		time.Sleep(askEvery)
		latest("still", 2, false)
		latest("the last known, with the error", 2, true)
		answer, hangs = nil, true
		time.Sleep(askEvery)
		for range 5 { // a new question each time that the last was given up
			latest("hanging", 2, true)
			time.Sleep(askEvery)
		}
		hangs = false
		time.Sleep(askEvery)
		latest("asked", 2, true)
		latest("it is back", 4, false)
	})
}

// TestAskedAfterAPause: what was known before nobody looked for a while is not shown as
// of now: what is so now is waited for, a moment, or it says when it was so.
func TestAskedAfterAPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTest(t)
		var asked, slow time.Duration
		a := NewAsked(c, func(ctx context.Context) (int, error) {
			time.Sleep(slow)
			asked++
			return int(asked), nil
		})
		began := time.Now()
		latest := func() (int, error) { c.ask(); return a.Latest() }
		if got, err := latest(); got != 1 || err != nil {
			t.Errorf("at first: %d, %v", got, err)
		}
		time.Sleep(time.Hour)
		if got, err := latest(); got != 2 || err != nil {
			t.Errorf("an hour later: %d, %v, want what is so now", got, err)
		}
		time.Sleep(time.Hour)
		slow = time.Second
		want := "no answer yet; last known at " + began.Add(time.Hour).UTC().Format(time.TimeOnly) + " UTC"
		if got, err := latest(); got != 2 || err == nil || err.Error() != want {
			t.Errorf("two hours later, of one who is slow: %d, %v, want 2, %s", got, err, want)
		}
		time.Sleep(slow)
		if got, err := latest(); got != 3 || err != nil {
			t.Errorf("when it has answered: %d, %v", got, err)
		}
	})
}

// TestAskedTogether: all are asked at once, and waited for once.
func TestAskedTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTest(t)
		const late = firstPatience - time.Millisecond
		all := make([]*Asked[bool], 50)
		for i := range all {
			all[i] = NewAsked(c, func(context.Context) (bool, error) {
				time.Sleep(late)
				return true, nil
			})
		}
		before := time.Now()
		c.state(before, 0)
		if took := time.Since(before); took != late {
			t.Errorf("the first state took %v, want %v", took, late)
		}
		for i, a := range all {
			if known, err := a.Latest(); !known || err != nil {
				t.Errorf("%d: %v, %v", i, known, err)
			}
		}
	})
}

// TestAskedOfTheDeaf: one who does not even heed the end of the context is asked once.
func TestAskedOfTheDeaf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTest(t)
		hold := make(chan struct{})
		var asked atomic.Int32
		a := NewAsked(c, func(context.Context) (string, error) {
			asked.Add(1)
			<-hold
			return "late", nil
		})
		for i := range 10 {
			before := time.Now()
			c.ask()
			value, err := a.Latest()
			if value != "" || err == nil {
				t.Errorf("%d: %q, %v", i, value, err)
			}
			if took := time.Since(before); i > 0 && took > 0 {
				t.Errorf("%d: waited for %v", i, took)
			}
			time.Sleep(askEvery)
		}
		if n := asked.Load(); n != 1 {
			t.Errorf("asked %d times while the first question was open", n)
		}
		close(hold)
		synctest.Wait()
		if value, err := a.Latest(); value != "late" || err != nil {
			t.Errorf("%q, %v", value, err)
		}
	})
}

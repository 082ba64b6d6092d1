package console

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

const (
	// askEvery is how often others are asked at most.
	askEvery = 2 * time.Second
	// askPatience is how long they may take to answer.
	askPatience = 2 * time.Second
	// firstPatience is how long the first answer is waited for: it is better to show
	// something at once.
	firstPatience = 200 * time.Millisecond
)

// Asked is what others know, such as a broker: it is asked for in the background, only
// while somebody wants to know it, and nobody waits for it.
type Asked[T any] struct {
	console *Console
	ask     func(context.Context) (T, error)

	mu    sync.Mutex
	value T
	err   error
	at    time.Time     // when the last answer came; zero for never
	began time.Time     // when it was asked for last; zero for never
	done  chan struct{} // closed when the last question is answered
}

// NewAsked returns an Asked that asks by ask, whose context ends after 2 seconds, or
// when c is closed.
func NewAsked[T any](c *Console, ask func(context.Context) (T, error)) *Asked[T] {
	return &Asked[T]{console: c, ask: ask}
}

// Latest returns the last answer, with the error that it came with or why there is
// none now. It asks anew if that is older than 2 seconds, one question at a time.
func (a *Asked[T]) Latest() (T, error) {
	a.mu.Lock()
	now, first := time.Now(), a.began.IsZero()
	if a.answered() && (first || now.Sub(a.began) >= askEvery) {
		done := make(chan struct{})
		if a.console.background(func(ctx context.Context) { a.refresh(ctx, done) }) {
			a.began, a.done = now, done
		}
	}
	done := a.done
	a.mu.Unlock()
	if first && done != nil {
		timer := time.NewTimer(firstPatience)
		defer timer.Stop()
		select {
		case <-done:
		case <-timer.C:
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	switch silent := time.Since(a.began); {
	case !a.answered() && silent > askPatience+askEvery/2:
		return a.value, fmt.Errorf("no answer for %v", silent.Round(time.Second))
	case a.at.IsZero():
		return a.value, errNotYet
	}
	return a.value, a.err
}

var errNotYet = errors.New("no answer yet")

// answered reports whether no question is open. Called with mu held.
func (a *Asked[T]) answered() bool {
	if a.done == nil {
		return true
	}
	select {
	case <-a.done:
		return true
	default:
		return false
	}
}

func (a *Asked[T]) refresh(ctx context.Context, done chan struct{}) {
	ctx, cancel := context.WithTimeout(ctx, askPatience)
	defer cancel()
	value, err := a.ask(ctx)
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.err, a.at = err, time.Now(); err == nil {
		a.value = value
	}
	close(done)
}

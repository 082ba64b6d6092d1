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
	// freshFor is how long an answer tells of the present.
	freshFor = 2 * askEvery
	// firstPatience is how long an answer is waited for where none tells of the present,
	// as at first, or when nobody has looked for a while: it is better to show something
	// at once.
	firstPatience = 200 * time.Millisecond
)

// Asked is what others know, such as a broker: it is asked for in the background, only
// while somebody looks, and nobody waits for it but for a moment.
type Asked[T any] struct {
	console  *Console
	question func(context.Context) (T, error)

	mu    sync.Mutex
	value T
	err   error
	at    time.Time     // when the last answer came, be it an error; zero for never
	known time.Time     // when value came; zero for never
	began time.Time     // when it was asked for last; zero for never
	done  chan struct{} // closed when the last question is answered
}

// asker asks anew if it is time to. If there is no answer that tells of the present, and
// the question is new, it returns what is closed when it is answered; else nil.
type asker interface {
	ask(now time.Time) (answered <-chan struct{})
}

// NewAsked returns an Asked that asks by question, whose context ends after 2 seconds,
// or when c is closed. It is asked before each state is made, every 2 seconds at most,
// one question at a time. Called before anybody looks.
func NewAsked[T any](c *Console, question func(context.Context) (T, error)) *Asked[T] {
	a := &Asked[T]{console: c, question: question}
	c.asked = append(c.asked, a)
	return a
}

// ask asks all others at once, and waits a moment for those of whom nothing is known
// that tells of the present.
func (c *Console) ask() {
	var missing []<-chan struct{}
	for now, i := time.Now(), 0; i < len(c.asked); i++ {
		if answered := c.asked[i].ask(now); answered != nil {
			missing = append(missing, answered)
		}
	}
	if len(missing) == 0 {
		return
	}
	timer := time.NewTimer(firstPatience)
	defer timer.Stop()
	for _, answered := range missing {
		select {
		case <-answered:
		case <-timer.C:
			return
		}
	}
}

// ask implements asker.
func (a *Asked[T]) ask(now time.Time) <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.answered() || now.Sub(a.began) < askEvery {
		return nil
	}
	done := make(chan struct{})
	if !a.console.background(func(ctx context.Context) { a.refresh(ctx, done) }) {
		return nil
	}
	a.began, a.done = now, done
	if now.Sub(a.at) <= freshFor {
		return nil
	}
	return done
}

// Latest returns the last value, with the error that the last answer came with, or why
// there is none that tells of the present.
func (a *Asked[T]) Latest() (T, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if time.Since(a.at) <= freshFor {
		return a.value, a.err
	}
	why := "no answer yet"
	if silent := time.Since(a.began).Round(time.Second); !a.began.IsZero() && silent > 0 {
		why = fmt.Sprintf("no answer for %v", silent)
	}
	if !a.known.IsZero() {
		why += a.known.UTC().Format("; last known at 15:04:05 UTC")
	}
	return a.value, errors.New(why)
}

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
	value, err := a.question(ctx)
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.err, a.at = err, time.Now(); err == nil {
		a.value, a.known = value, a.at
	}
	close(done)
}

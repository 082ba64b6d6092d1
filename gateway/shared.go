package gateway

import (
	"context"
	"sync"
	"time"
)

const (
	// depthPatience is how long a scrape or a readiness check waits for a broker or a
	// server.
	depthPatience = 2 * time.Second
	// answerAge is how long an answer of a broker or a server stands.
	answerAge = 250 * time.Millisecond
)

// shared is what a broker or a server said last. All who want to know it within a
// moment have the same answer: to ask the gateway often does not have it ask often. The
// zero value has no answer yet.
type shared[T any] struct {
	mu     sync.Mutex // held while it is asked: the others wait for that answer
	answer T
	at     time.Time // when it came; zero for never
}

// get returns the answer, asked for anew if it is older than answerAge. The question
// ends after 2 seconds or with stop, and not when one of those leaves who wait for it.
func (s *shared[T]) get(stop context.Context, ask func(context.Context) T) T {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.at.IsZero() || time.Since(s.at) >= answerAge {
		ctx, cancel := context.WithTimeout(stop, depthPatience)
		defer cancel()
		s.answer = ask(ctx)
		s.at = time.Now()
	}
	return s.answer
}

// forget has the next one who wants to know ask anew.
func (s *shared[T]) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.at = time.Time{}
}
